//! The catalogue's partitions.

use super::Store;

/// Weeks for which there is a partition before they begin.
const WEEKS_AHEAD: i32 = 4;

impl Store {
    /// Creates missing partitions of the last week, this week and the weeks ahead; returns the
    /// number created.
    ///
    /// # Errors
    /// When the database cannot be asked, or others hold the catalogue for too long.
    pub async fn create_partitions(&self) -> Result<i64, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("set local lock_timeout = '500ms'").execute(&mut *transaction).await?;
        let made = sqlx::query_scalar!(
            r#"select count(*) filter (where create_events_partition(now()
                + week * interval '7 days')) as "made!"
               from generate_series(-1, $1) as week"#,
            WEEKS_AHEAD,
        )
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(made)
    }
}
