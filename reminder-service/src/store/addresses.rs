//! E-mail addresses of users, by their digests.

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgExecutor};

/// Records an e-mail address that a user uses today, by the digests of both. Returns `false`, and
/// records nothing, if `limit` other addresses are recorded already.
///
/// An advisory lock serializes the requests of one user until the transaction ends, so that each
/// counts the addresses that the one before recorded. The transaction must hold no other lock.
///
/// # Errors
/// If a statement fails.
pub async fn record_address(
    connection: &mut PgConnection,
    user_id: &str,
    address: &str,
    limit: i64,
) -> Result<bool, sqlx::Error> {
    let (user, address) = (digest(user_id), digest(address));
    sqlx::query!("select pg_advisory_xact_lock($1)", lock_key(&user))
        .execute(&mut *connection)
        .await?;
    // A separate statement sees rows that were committed while this one waited for the lock.
    sqlx::query_scalar!(
        r#"with known as materialized (
               select count(*) as number, coalesce(bool_or(address = $2), false) as is_noted
               from email_addresses
               where user_digest = $1 and day = (now() at time zone 'UTC')::date
           ), noted as (
               insert into email_addresses (user_digest, day, address)
               select $1, (now() at time zone 'UTC')::date, $2 from known where not is_noted
                   and number < $3
               on conflict do nothing
           )
           select is_noted or number < $3 as "is_accepted!" from known"#,
        user.as_slice(),
        address.as_slice(),
        limit,
    )
    .fetch_one(&mut *connection)
    .await
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Key of the advisory lock of a user's addresses: a part of the user's digest.
fn lock_key(user: &[u8; 32]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *user;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Deletes addresses recorded before yesterday, a bounded number at a time; returns their number.
///
/// # Errors
/// If the statement fails.
pub async fn purge_addresses(executor: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query!(
        "delete from email_addresses where ctid = any(array(
             select ctid from email_addresses
                 where day < (now() at time zone 'UTC')::date - 1 limit 5000))"
    )
    .execute(executor)
    .await?;
    Ok(purged.rows_affected())
}
