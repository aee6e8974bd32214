//! Migrations that change rows, beside what works with them.

use event_service::store::MIGRATOR;
use sqlx::PgPool;

use crate::fixture::{created, hours, now, test_service};

/// Applies a migration once more.
async fn again(pool: &PgPool, version: i64) {
    sqlx::query("delete from _sqlx_migrations where version = $1")
        .bind(version)
        .execute(pool)
        .await
        .expect("forgotten");
    db::migrate(pool, &MIGRATOR).await.expect("migrated");
}

#[tokio::test]
async fn fills_keys_of_users_while_rows_are_locked() {
    let service = test_service().await;
    let due = now() + hours(1);
    service.apply(&[created("a", 1, due, &[0]), created("b", 1, due, &[0])]).await;
    let many = "insert into occurrences (id, notification_id, due_at, date, expires_at)
        select gen_random_uuid(), case when number % 10 = 0 then gen_random_uuid() else n.id end,
            n.date, n.date, n.date
        from notifications as n, generate_series(1, 2500) as number where item_id = 'a'";
    sqlx::query(many).execute(&service.pool).await.expect("made");
    sqlx::query("update occurrences set user_key = 0")
        .execute(&service.pool)
        .await
        .expect("not filled");
    let mut claim = service.pool.begin().await.expect("begun");
    let lock =
        "select occurrences.id from occurrences join notifications as n on n.id = notification_id
        where item_id = 'b' for update of occurrences";
    sqlx::query(lock).execute(&mut *claim).await.expect("claimed");

    again(&service.pool, 14).await;

    claim.commit().await.expect("committed");
    let wrong = "occurrences join notifications as n on n.id = notification_id
        where user_key <> case
            when item_id = 'b' then 0
            else occurrence_user_key(n.user_id, n.content->>'priority')
        end";
    assert_eq!(
        (service.count(wrong).await, service.count("occurrences where user_key = 0").await),
        (0, 1)
    );
    again(&service.pool, 14).await;
    assert_eq!(service.count("occurrences where user_key = 0").await, 0);
}

#[tokio::test]
async fn watches_what_was_released_before() {
    let service = test_service().await;
    service
        .apply(&[created("a", 1, now() + hours(1), &[0]), created("b", 1, now() + hours(1), &[0])])
        .await;
    let release = "update occurrences set state = 'released'
        where id = (select min(id::text)::uuid from occurrences)";
    sqlx::query(release).execute(&service.pool).await.expect("released");
    again(&service.pool, 15).await;
    again(&service.pool, 15).await;
    assert_eq!(service.count("unsettled").await, 1);
}
