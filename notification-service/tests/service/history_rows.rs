//! Rows of a user's history, written directly into the database.

use crate::test_service::TestService;

impl TestService {
    /// Makes every delivery three hours older.
    pub(crate) async fn age_deliveries(&self) {
        let hours = "update deliveries set id = (
                lpad(to_hex(
                    ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint - 10800000
                ), 12, '0')
                || right(replace(id::text, '-', ''), 20)
            )::uuid";
        sqlx::query(hours).execute(&self.pool).await.expect("older");
    }

    /// Adds occurrences to the history of a user, each with a sent push.
    pub(crate) async fn write_sent(&self, user: &str, count: i32) {
        let mut transaction = self.pool.begin().await.expect("a transaction");
        sqlx::query(
            "insert into dispatches (occurrence_id, source, item_id, user_id, version, due_at,
             expires_at, payload, deliveries)
             select md5($1 || n)::uuid, 'reminder', 'item', $1, 1, now(), now(),
                 jsonb_build_object('occurrenceId', md5($1 || n),
                 'source', 'reminder', 'itemId', 'item', 'dueAt', now(), 'date', now(),
                 'expiresAt', now(), 'channels', '[]'::jsonb,
                 'message', 'Water them', 'timeZone', 'UTC', 'expiresAfterMinutes', 1), 1
             from generate_series(1, $2) as n",
        )
        .bind(user)
        .bind(count)
        .execute(&mut *transaction)
        .await
        .expect("dispatches");
        sqlx::query(
            "insert into deliveries (occurrence_id, channel, device_id, id, user_id, state,
             attempts, finished_at)
             select md5($1 || n)::uuid, 'push', md5('device')::uuid,
                 (lpad(to_hex((extract(epoch from now()) * 1000)::bigint), 12, '0')
                     || '7000a' || lpad(to_hex(n), 15, '0'))::uuid,
                 $1, 'sent', 1, now()
             from generate_series(1, $2) as n",
        )
        .bind(user)
        .bind(count)
        .execute(&mut *transaction)
        .await
        .expect("deliveries");
        transaction.commit().await.expect("committed");
    }
}
