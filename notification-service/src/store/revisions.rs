//! Revisions of occurrences: of those in the ledger, and of those that have not arrived yet.
//!
//! The transactions that accept occurrences (the *intake*) exclude revisions and the start of an
//! erasure: each transaction of the intake shares a lock that the others hold exclusively. So one
//! of the two always sees what the other has committed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contract::{NotifyContent, Reason, SendData};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::payload;
use crate::domain::{
    delivery::{Dispatch, cancellation_reason},
    erasure::user_digest,
    revision::{Change, Revision},
};

/// Advisory lock between the intake on one side and revisions and erasures on the other: a number
/// that no other lock uses.
const INTAKE: i64 = 0x6e6f_7469_6679_0001;

/// Begins a transaction of the intake. Call it before any other statement, so that a transaction
/// that waits here holds no other lock.
///
/// # Errors
/// If the statement fails.
pub async fn share_intake(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", INTAKE).execute(executor).await?;
    Ok(())
}

/// Begins a transaction that excludes the intake: it waits for the intake's transactions under way,
/// and later ones wait for its end.
///
/// # Errors
/// If the statement fails.
pub async fn hold_intake(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock($1)", INTAKE).execute(executor).await?;
    Ok(())
}

/// Revision or erasure that superseded an occurrence before it arrived.
#[derive(Debug, Clone, PartialEq)]
pub enum SupersededBy {
    /// The user was erased after the occurrence was requested.
    Erasure,
    /// There is a newer version.
    Revision {
        /// Newer version.
        version: i64,
        /// Change by the newer version.
        change: Change,
    },
}

/// Returns the revisions and erasures that superseded some of these occurrences on their way. A
/// cancellation supersedes its own version too: an occurrence of that version was released while
/// the version was being applied.
///
/// # Errors
/// If the statement fails.
pub async fn superseding(
    executor: impl PgExecutor<'_>,
    dispatches: &[&Dispatch],
) -> Result<HashMap<Uuid, SupersededBy>, sqlx::Error> {
    let ids: Vec<Uuid> = dispatches.iter().map(|dispatch| dispatch.occurrence_id()).collect();
    let versions: Vec<i64> = dispatches.iter().map(|dispatch| dispatch.version).collect();
    let asked: Vec<DateTime<Utc>> = dispatches
        .iter()
        .map(|dispatch| dispatch.send.item_changed_at.unwrap_or(dispatch.send.due_at))
        .collect();
    let digests: Vec<Vec<u8>> =
        dispatches.iter().map(|dispatch| user_digest(&dispatch.user_id)).collect();
    let rows = sqlx::query!(
        r#"select incoming.occurrence_id as "occurrence_id!", e.user_digest is not null as "is_erased!",
               r.version as "version?", r.content::text as "content?", r.reason as "reason?"
           from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::bytea[]) as incoming (occurrence_id, version, asked_at, user_digest)
               left join revisions as r on r.occurrence_id = incoming.occurrence_id
                   and (r.version > incoming.version or (r.version = incoming.version and r.content is null))
               left join erasures as e on e.user_digest = incoming.user_digest and e.erased_at >= incoming.asked_at
           where r.occurrence_id is not null or e.user_digest is not null"#,
        &ids,
        &versions,
        &asked,
        &digests,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let superseded_by = match (row.is_erased, row.version) {
                (false, Some(version)) => {
                    let (content, reason) = (row.content.as_deref(), row.reason.as_deref());
                    let change = stored_change(row.occurrence_id, content, reason)?;
                    SupersededBy::Revision { version, change }
                }
                _ => SupersededBy::Erasure,
            };
            Some((row.occurrence_id, superseded_by))
        })
        .collect())
}

/// Reads the change of a stored revision; returns `None` if this version of the service cannot read
/// it: an occurrence with its former content is better than none. If the content has no channel
/// that this version knows, the occurrence counts as cancelled.
fn stored_change(
    occurrence_id: Uuid,
    content: Option<&str>,
    reason: Option<&str>,
) -> Option<Change> {
    let Some(text) = content else {
        return Some(Change::Cancellation(cancellation_reason(reason)));
    };
    match payload::read::<NotifyContent>(text) {
        Some(content) if content.channels.is_empty() => Some(Change::Cancellation(Reason::Edited)),
        Some(content) => Some(Change::Content(content)),
        None => {
            payload::note("revisions", occurrence_id);
            None
        }
    }
}

/// Returns the reasons of stored cancellations of occurrences that have not arrived.
///
/// # Errors
/// If the statement fails.
pub async fn cancellations(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Reason>, sqlx::Error> {
    let rows = sqlx::query!(
        "select occurrence_id, reason from revisions
         where occurrence_id = any($1) and content is null",
        ids,
    )
    .fetch_all(executor)
    .await?;
    let reason = |code: Option<String>| cancellation_reason(code.as_deref());
    Ok(rows.into_iter().map(|row| (row.occurrence_id, reason(row.reason))).collect())
}

/// Returns the ledger's versions of occurrences; only a transaction that holds the intake may
/// change them.
///
/// # Errors
/// If the statement fails.
pub async fn known(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        "select occurrence_id, version from dispatches where occurrence_id = any($1)",
        ids,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.occurrence_id, row.version)).collect())
}

/// Stores revisions of occurrences that have not arrived yet, each in its newest version.
///
/// # Errors
/// If the statement fails.
pub async fn store_ahead(
    executor: impl PgExecutor<'_>,
    revisions: &[&Revision],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = revisions.iter().map(|revision| revision.occurrence_id).collect();
    let users: Vec<&str> = revisions.iter().map(|revision| revision.user_id.as_str()).collect();
    let versions: Vec<i64> = revisions.iter().map(|revision| revision.version).collect();
    let contents =
        revisions.iter().map(|revision| revision.content().map(serde_json::to_string).transpose());
    let contents = contents
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    let decided: Vec<DateTime<Utc>> = revisions.iter().map(|revision| revision.at).collect();
    let reasons: Vec<Option<&str>> = revisions
        .iter()
        .map(|revision| match revision.change {
            Change::Content(_) => None,
            Change::Cancellation(reason) => Some(reason.as_str()),
        })
        .collect();
    sqlx::query!(
        "insert into revisions (occurrence_id, user_id, version, content, at, reason)
         select occurrence_id, user_id, version, content::jsonb, at, reason
         from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[])
             as new (occurrence_id, user_id, version, content, at, reason)
         on conflict (occurrence_id) do update
         set version = excluded.version, content = excluded.content, at = excluded.at, reason = excluded.reason
         where revisions.version < excluded.version
            or (revisions.version = excluded.version and excluded.content is null)",
        &ids,
        &users as &[&str],
        &versions,
        &contents as &[Option<String>],
        &decided,
        &reasons as &[Option<&str>],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Writes newer versions of occurrences to the ledger, with their content where a delivery is still
/// pending.
///
/// # Errors
/// If the statement fails.
pub async fn apply(
    executor: impl PgExecutor<'_>,
    revised: &[(Uuid, i64, Option<SendData>)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = revised.iter().map(|(id, ..)| *id).collect();
    let versions: Vec<i64> = revised.iter().map(|(_, version, _)| *version).collect();
    let expiries: Vec<Option<DateTime<Utc>>> =
        revised.iter().map(|(.., send)| Some(send.as_ref()?.expires_at)).collect();
    let payloads =
        revised.iter().map(|(.., send)| send.as_ref().map(serde_json::to_string).transpose());
    let payloads = payloads
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query!(
        "update dispatches
         set version = new.version, payload = coalesce(new.payload::jsonb, dispatches.payload),
             expires_at = coalesce(new.expires_at, dispatches.expires_at)
         from unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[]) as new (occurrence_id, version, payload, expires_at)
         where dispatches.occurrence_id = new.occurrence_id",
        &ids,
        &versions,
        &payloads as &[Option<String>],
        &expiries as &[Option<DateTime<Utc>>],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Deletes old revisions whose occurrences never arrived, a bounded number at a time; returns the
/// number of rows deleted.
///
/// # Errors
/// If the statement fails.
pub async fn purge_old(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let removed = sqlx::query!(
        "delete from revisions where occurrence_id = any(array(
             select occurrence_id from revisions where at < now() - interval '14 days' order by at limit 5000))"
    )
    .execute(pool)
    .await?;
    Ok(removed.rows_affected())
}
