//! Commands that event-service inserts for the notification topic.

use bus::{Message, attributes_in};
use uuid::Uuid;

use super::{Store, StoreError, interval};

impl Store {
    /// Claims commands that nobody has leased, at most `limit` of them and `bytes` together (a
    /// single one whatever its size). Attributes are read as text: a row that somebody else wrote
    /// must not keep the others.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn claim_commands(
        &self,
        limit: i64,
        bytes: i64,
    ) -> Result<Vec<(Uuid, Message)>, StoreError> {
        let rows = sqlx::query!(
            r#"with free as materialized (
                   select event_id, octet_length(body) + pg_column_size(attributes) as bytes
                       from commands
                   where lease_until <= now() and parked_reason is null
                   order by event_id limit $1
                   for update skip locked
               ), fitting as materialized (
                   select event_id from (
                       select event_id, bytes,
                           sum(bytes) over (order by event_id rows unbounded preceding) as until
                           from free
                   ) as sized
                   where until <= $2 or until = bytes
               )
               update commands set lease_until = now() + $3
               from fitting
               where commands.event_id = fitting.event_id
               returning commands.event_id, body, attributes::text as "attributes!""#,
            limit,
            bytes,
            interval(self.lease),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim commands"))?;
        let message =
            |body, attributes: &str| Message { body, attributes: attributes_in(attributes) };
        Ok(rows.into_iter().map(|row| (row.event_id, message(row.body, &row.attributes))).collect())
    }

    /// Settles commands: deletes those that the topic accepted, releases those that it may accept
    /// later, and parks those that it never will.
    ///
    /// # Errors
    /// When a statement fails; the leases then run out by themselves.
    pub async fn settle_commands(
        &self,
        taken: &[Uuid],
        refused: &[Uuid],
        parked: &[(Uuid, String)],
    ) -> Result<(), StoreError> {
        let action = "settle commands";
        sqlx::query!("delete from commands where event_id = any($1)", taken)
            .execute(&self.pool)
            .await
            .map_err(StoreError::of(action))?;
        if !refused.is_empty() {
            sqlx::query!(
                "update commands set lease_until = '-infinity' where event_id = any($1)",
                refused
            )
            .execute(&self.pool)
            .await
            .map_err(StoreError::of(action))?;
        }
        for (id, reason) in parked {
            sqlx::query!("update commands set parked_reason = $2 where event_id = $1", id, reason)
                .execute(&self.pool)
                .await
                .map_err(StoreError::of(action))?;
        }
        Ok(())
    }
}
