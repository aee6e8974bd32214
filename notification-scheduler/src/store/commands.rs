//! Commands that event-service leaves for the notification topic.

use std::collections::BTreeMap;

use shared::bus::Message;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Store, StoreError, interval};

impl Store {
    /// Claims commands that nobody has leased, oldest first.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn claim_commands(&self, limit: i64) -> Result<Vec<(Uuid, Message)>, StoreError> {
        let rows = sqlx::query!(
            r#"update commands set lease_until = now() + $2
               from (
                   select event_id from commands
                   where lease_until <= now() and parked_reason is null
                   order by event_id limit $1
                   for update skip locked
               ) as free
               where commands.event_id = free.event_id
               returning commands.event_id, body, attributes as "attributes: Json<BTreeMap<String, String>>""#,
            limit,
            interval(self.lease),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim commands"))?;
        let message = |body, attributes: Json<BTreeMap<String, String>>| Message { body, attributes: attributes.0 };
        Ok(rows.into_iter().map(|row| (row.event_id, message(row.body, row.attributes))).collect())
    }

    /// Settles commands: removes what the topic took, gives back what it may take later, and parks what it never will.
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
            sqlx::query!("update commands set lease_until = '-infinity' where event_id = any($1)", refused)
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
