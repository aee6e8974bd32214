//! Lets go of what is older than is kept: the catalogue by whole partitions, the rest a bounded number of rows at a time.

use chrono::{DateTime, Utc};

use super::Store;

/// Rows that one statement deletes at the most.
const CHUNK: i64 = 5_000;

/// What was let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LetGo {
    /// Partitions of the catalogue: a week of events each.
    pub partitions: i32,
    /// Events that lay outside any week's partition.
    pub stray_events: u64,
    /// Occurrences that had ended.
    pub occurrences: u64,
    /// Notifications that have no occurrence any more.
    pub notifications: u64,
}

impl Store {
    /// Lets go of everything from before a time.
    ///
    /// # Errors
    /// When the database cannot be asked, or others hold the catalogue for too long; what was let go by then is gone.
    pub async fn let_go(&self, before: DateTime<Utc>) -> Result<LetGo, sqlx::Error> {
        let mut gone = LetGo { partitions: self.drop_partitions(before).await?, ..LetGo::default() };
        loop {
            let strays = sqlx::query!(
                "delete from events_default where ctid = any(array(select ctid from events_default where occurred_at < $1 limit $2))",
                before,
                CHUNK,
            );
            let strays = strays.execute(&self.pool).await?.rows_affected();
            let occurrences = sqlx::query!(
                "delete from occurrences where ctid = any(array(
                     select ctid from occurrences where due_at < $1 and state not in ('pending', 'released') limit $2))",
                before,
                CHUNK,
            );
            let occurrences = occurrences.execute(&self.pool).await?.rows_affected();
            gone.stray_events += strays;
            gone.occurrences += occurrences;
            if strays + occurrences == 0 {
                break;
            }
        }
        loop {
            let notifications = sqlx::query!(
                "delete from notifications where ctid = any(array(
                     select ctid from notifications
                     where updated_at < $1
                       and not exists (select from occurrences where notification_id = notifications.id)
                     limit $2))",
                before,
                CHUNK,
            );
            let notifications = notifications.execute(&self.pool).await?.rows_affected();
            gone.notifications += notifications;
            if notifications == 0 {
                return Ok(gone);
            }
        }
    }

    async fn drop_partitions(&self, before: DateTime<Utc>) -> Result<i32, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("set local lock_timeout = '500ms'").execute(&mut *transaction).await?;
        let dropped = sqlx::query_scalar!(r#"select drop_events_partitions($1) as "dropped!""#, before)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(dropped)
    }

    /// The database's time.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn now(&self) -> Result<DateTime<Utc>, sqlx::Error> {
        sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&self.pool).await
    }
}
