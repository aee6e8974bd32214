//! Records of erasures: the tables `erased_users`, which keeps a digest of each erased user, and
//! `pending_erasures`, whose statements are in [`super::erasures`].

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use contract::ItemId;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

/// Advisory lock that every batch of version 2.0.0 shares. An erasure takes it alone, so that a
/// replica of that version has ended its batches before the erasure is committed. To be removed
/// with the next version.
const LOCK_OF_2_0: i64 = 0x6572_6173_7572_6521;

/// Assigns a number to the transaction, by which erasures wait for its end.
///
/// # Errors
/// If the query fails.
pub async fn assign_transaction_id(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("select pg_current_xact_id()::text").fetch_one(connection).await?;
    Ok(())
}

/// Returns the times at which users were erased, of those that were.
///
/// # Errors
/// If the query fails.
pub async fn erased_among<'a>(
    connection: &mut PgConnection,
    user_ids: &[&'a str],
) -> Result<HashMap<&'a str, DateTime<Utc>>, sqlx::Error> {
    let by_digest: BTreeMap<Vec<u8>, &str> =
        user_ids.iter().map(|user_id| (digest(user_id), *user_id)).collect();
    let digests: Vec<Vec<u8>> = by_digest.keys().cloned().collect();
    let rows = sqlx::query!(
        "select user_digest, erased_at from erased_users where user_digest = any($1)",
        &digests
    )
    .fetch_all(connection)
    .await?;
    let erased =
        rows.iter().filter_map(|row| Some((*by_digest.get(&row.user_digest)?, row.erased_at)));
    Ok(erased.collect())
}

/// Waits until no replica of version 2.0.0 applies a batch, and excludes them until the transaction
/// ends.
///
/// # Errors
/// If the statement fails.
pub async fn exclude_batches_of_2_0(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK_OF_2_0).execute(connection).await?;
    Ok(())
}

/// Records an erasure, whose rows are deleted later. Returns `false` if it is known, or older than
/// the recorded one.
///
/// # Errors
/// If the statement fails.
pub async fn record(
    connection: &mut PgConnection,
    user_id: &str,
    erased_at: DateTime<Utc>,
    receipt: &ItemId,
) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query_scalar!(
        r#"with noted as (
               insert into erased_users as known (user_digest, erased_at, receipt_id)
               values ($1, $3, $4)
               on conflict (user_digest) do update
               set erased_at = excluded.erased_at, receipt_id = excluded.receipt_id
               where known.erased_at < excluded.erased_at
               returning user_digest, erased_at, receipt_id
           )
           insert into pending_erasures (user_digest, user_id, erased_at, receipt_id)
           select user_digest, $2, erased_at, receipt_id from noted
           on conflict (user_digest) do update
           set erased_at = excluded.erased_at, receipt_id = excluded.receipt_id, horizon = null,
               lease_until = '-infinity'
           returning true as "noted!""#,
        digest(user_id),
        user_id,
        erased_at,
        receipt.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(noted.is_some())
}

fn digest(user_id: &str) -> Vec<u8> {
    Sha256::digest(user_id.as_bytes()).to_vec()
}
