//! Addresses that a user's e-mails go to.

use sqlx::PgExecutor;

/// Notes that a user's e-mails go to an address today: one statement on the primary key. Returns
/// `false`, and notes nothing, if `limit` other addresses are noted already. Users and addresses are
/// given by their digests. Two requests at the same instant can each note one.
///
/// # Errors
/// When the statement fails.
pub async fn note_address(
    executor: impl PgExecutor<'_>,
    user: &[u8],
    address: &[u8],
    limit: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with known as materialized (
               select count(*) as number, coalesce(bool_or(address = $2), false) as is_noted
               from email_addresses
               where user_digest = $1 and day = (now() at time zone 'UTC')::date
           ), noted as (
               insert into email_addresses (user_digest, day, address)
               select $1, (now() at time zone 'UTC')::date, $2 from known where not is_noted and number < $3
               on conflict do nothing
           )
           select is_noted or number < $3 as "is_accepted!" from known"#,
        user,
        address,
        limit,
    )
    .fetch_one(executor)
    .await
}

/// Deletes addresses noted before yesterday, a bounded number at a time; returns how many.
///
/// # Errors
/// When the statement fails.
pub async fn purge_addresses(executor: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query!(
        "delete from email_addresses where ctid = any(array(
             select ctid from email_addresses where day < (now() at time zone 'UTC')::date - 1 limit 5000))"
    )
    .execute(executor)
    .await?;
    Ok(purged.rows_affected())
}
