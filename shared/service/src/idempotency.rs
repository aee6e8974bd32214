//! `Idempotency-Key`: the first response is stored in the transaction of its effect, and replayed
//! for 24 hours.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

/// Reason for which a request with an idempotency key cannot be handled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key was used for another request.
    #[error("this Idempotency-Key was used for another request")]
    Reused,
    /// The response cannot be written as JSON.
    #[error("write a response as JSON")]
    Json(#[from] serde_json::Error),
    /// A statement failed.
    #[error("read or store an idempotency key")]
    Sql(#[from] sqlx::Error),
}

/// Key of a request, with the digest of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 visible ASCII characters.
    pub key: String,
    /// SHA-256 of method, path with query, and body; a JSON body counts by its values.
    pub request_hash: Vec<u8>,
    /// SHA-256 of method, path with query, and the bytes of the body, which earlier builds stored:
    /// a key that was used before an upgrade is known by it.
    pub bytes_hash: Vec<u8>,
}

impl IdempotencyKey {
    /// Returns whether a stored hash is that of this request.
    fn is_of(&self, stored: &[u8]) -> bool {
        stored == self.request_hash || stored == self.bytes_hash
    }
}

/// State of a key when a request is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// The key is new: handle the request, then [`finish`].
    New,
    /// The key was used: replay the first response.
    Answered(Replay),
}

/// First response, to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
}

/// Transaction of a request that is handled once for each key.
#[derive(Debug)]
pub struct Once<'a> {
    transaction: Transaction<'static, Postgres>,
    user_id: &'a str,
    key: Option<&'a IdempotencyKey>,
}

/// Start of a request that may be a repeat.
#[derive(Debug)]
pub enum Start<'a> {
    /// The first request with its key, or one without a key: handle it.
    First(Once<'a>),
    /// A repeat: replay the first response.
    Repeat(Replay),
}

/// Begins a transaction and claims the key of a request. A repeat waits until the transaction of
/// the first request ends.
///
/// # Errors
/// [`Error::Reused`] if the key was used for another request.
pub async fn once<'a>(
    pool: &PgPool,
    user_id: &'a str,
    key: Option<&'a IdempotencyKey>,
) -> Result<Start<'a>, Error> {
    let mut transaction = pool.begin().await?;
    if let Some(key) = key
        && let Known::Answered(replay) = begin(&mut transaction, user_id, key).await?
    {
        return Ok(Start::Repeat(replay));
    }
    Ok(Start::First(Once { transaction, user_id, key }))
}

impl Once<'_> {
    /// Connection of the transaction.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Stores the response to the key, if there is one, and commits.
    ///
    /// # Errors
    /// If a statement fails; nothing is committed then.
    pub async fn commit(
        mut self,
        status: impl Into<u16>,
        body: Option<&impl Serialize>,
    ) -> Result<(), Error> {
        if let Some(key) = self.key {
            finish(&mut self.transaction, self.user_id, key, status, body).await?;
        }
        Ok(self.transaction.commit().await?)
    }

    /// Rolls back; the key is free again.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn rollback(self) -> Result<(), Error> {
        Ok(self.transaction.rollback().await?)
    }
}

/// Claims a key for this request, or returns the first response. A second request with the same key
/// waits until the transaction of the first one ends.
///
/// # Errors
/// [`Error::Reused`] if the key was used for another request.
pub async fn begin(
    connection: &mut PgConnection,
    user_id: &str,
    key: &IdempotencyKey,
) -> Result<Known, Error> {
    let taken = sqlx::query_scalar!(
        r#"insert into idempotency_keys as known (user_id, key, request_hash) values ($1, $2, $3)
           on conflict (user_id, key) do update
           set request_hash = excluded.request_hash, status = null, response = null, created_at = now()
           where known.created_at < now() - interval '24 hours'
           returning true as "taken!""#,
        user_id,
        key.key,
        key.request_hash,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if taken.is_some() {
        return Ok(Known::New);
    }
    lookup(connection, user_id, key).await
}

/// Returns the state of a key without claiming it.
///
/// # Errors
/// [`Error::Reused`] if the key was used for another request.
pub async fn lookup(
    connection: &mut PgConnection,
    user_id: &str,
    key: &IdempotencyKey,
) -> Result<Known, Error> {
    let row = sqlx::query!(
        "select request_hash, status, response from idempotency_keys where user_id = $1 and key = $2",
        user_id,
        key.key,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(Known::New) };
    if !key.is_of(&row.request_hash) {
        return Err(Error::Reused);
    }
    let status = row.status.and_then(|status| u16::try_from(status).ok());
    Ok(Known::Answered(Replay { status: status.unwrap_or(200), body: row.response }))
}

/// Stores the response, in the same transaction as the effect.
///
/// # Errors
/// If the statement fails.
pub async fn finish(
    connection: &mut PgConnection,
    user_id: &str,
    key: &IdempotencyKey,
    status: impl Into<u16>,
    body: Option<&impl Serialize>,
) -> Result<(), Error> {
    let response = body.map(serde_json::to_value).transpose()?;
    let status = i16::try_from(status.into()).unwrap_or(200);
    sqlx::query!(
        "update idempotency_keys set status = $3, response = $4 where user_id = $1 and key = $2",
        user_id,
        key.key,
        status,
        response
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Purges all keys older than 24 hours, a bounded number in each statement; returns their number.
/// Each statement continues where the previous one ended, because deleted rows stay in the index
/// while a snapshot is held.
///
/// # Errors
/// If a statement fails; keys that were deleted before stay deleted.
pub async fn purge_old(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let (mut removed, mut low) = (0, None::<DateTime<Utc>>);
    loop {
        let chunk = sqlx::query!(
            r#"with gone as (
                   delete from idempotency_keys where ctid = any(array(
                       select ctid from idempotency_keys
                       where created_at < now() - interval '24 hours' and created_at >= coalesce($1::timestamptz, '-infinity')
                       order by created_at limit 5000))
                   returning created_at
               )
               select count(*) as "count!", max(created_at) as last from gone"#,
            low,
        )
        .fetch_one(pool)
        .await?;
        if chunk.count == 0 {
            return Ok(removed);
        }
        removed += chunk.count.unsigned_abs();
        low = chunk.last;
    }
}
