//! Creation of the event catalogue's partitions ahead of their weeks.

use sqlx::PgPool;

use crate::store::partitions;

/// Creates missing partitions of the last week, this week and the weeks ahead; returns the number
/// created.
///
/// # Errors
/// If a statement fails, or others lock the catalogue for too long.
pub async fn create_partitions(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    partitions::limit_lock_wait(&mut transaction).await?;
    let created = partitions::create(&mut transaction).await?;
    transaction.commit().await?;
    Ok(created)
}
