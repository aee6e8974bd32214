//! Revisions of occurrences, in the ledger and ahead of it, and what overtook an occurrence on its
//! way here.
//!
//! The intake and those who change its mind exclude each other: each transaction of the intake
//! shares a lock that a revision and the beginning of an erasure hold alone. So one of the two
//! always sees what the other has committed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared::contract::{NotifyContent, SendData};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::payload;
use crate::{delivery::Dispatch, erasure::user_digest, revision::Revision};

/// The advisory lock between the intake and those who change its mind; any number will do that
/// nobody else takes.
const INTAKE: i64 = 0x6e6f_7469_6679_0001;

/// Begins a transaction of the intake: before any other statement, so that who waits here holds
/// nothing.
///
/// # Errors
/// When the statement fails.
pub async fn share_intake(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", INTAKE).execute(executor).await?;
    Ok(())
}

/// Begins a transaction that no intake may be beside: it waits for those under way, and those to
/// come wait for its end.
///
/// # Errors
/// When the statement fails.
pub async fn hold_intake(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock($1)", INTAKE).execute(executor).await?;
    Ok(())
}

/// What was known of an occurrence before it came.
#[derive(Debug, Clone, PartialEq)]
pub enum Overtaken {
    /// The user was erased after the occurrence was asked for.
    Erased,
    /// There is a newer version: what it says, or that it is cancelled.
    Revised {
        /// The newer version.
        version: i64,
        /// What it says; none when it is cancelled.
        content: Option<NotifyContent>,
    },
}

/// Which of these occurrences were overtaken on their way, and by what. A version that cancels an
/// occurrence does not ask for it: what was asked for in the name of that very version was read
/// while the version was being applied.
///
/// # Errors
/// When the statement fails.
pub async fn overtaken(
    executor: impl PgExecutor<'_>,
    dispatches: &[&Dispatch],
) -> Result<HashMap<Uuid, Overtaken>, sqlx::Error> {
    let ids: Vec<Uuid> = dispatches.iter().map(|dispatch| dispatch.occurrence_id()).collect();
    let versions: Vec<i64> = dispatches.iter().map(|it| it.version).collect();
    let asked: Vec<DateTime<Utc>> = dispatches
        .iter()
        .map(|dispatch| dispatch.send.item_changed_at.unwrap_or(dispatch.send.due_at))
        .collect();
    let digests: Vec<Vec<u8>> = dispatches.iter().map(|it| user_digest(&it.user_id)).collect();
    let rows = sqlx::query!(
        r#"select it.occurrence_id as "occurrence_id!", e.user_digest is not null as "is_erased!",
               r.version as "version?", r.content::text as "content?"
           from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::bytea[]) as it (occurrence_id, version, asked_at, user_digest)
               left join revisions as r on r.occurrence_id = it.occurrence_id
                   and (r.version > it.version or (r.version = it.version and r.content is null))
               left join erasures as e on e.user_digest = it.user_digest and e.erased_at >= it.asked_at
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
            let overtaken = match (row.is_erased, row.version) {
                (false, Some(version)) => {
                    revised(row.occurrence_id, version, row.content.as_deref())?
                }
                _ => Overtaken::Erased,
            };
            Some((row.occurrence_id, overtaken))
        })
        .collect())
}

/// A newer version as it was stored; none when this version of the service cannot read it: an
/// occurrence that says what it said before is better than none. Where no channel is left that this
/// version knows, nothing is left for it to deliver.
fn revised(occurrence_id: Uuid, version: i64, content: Option<&str>) -> Option<Overtaken> {
    let Some(text) = content else { return Some(Overtaken::Revised { version, content: None }) };
    let Some(content) = payload::read::<NotifyContent>(text) else {
        payload::note("revisions", occurrence_id);
        return None;
    };
    let content = Some(content).filter(|content| !content.channels.is_empty());
    Some(Overtaken::Revised { version, content })
}

/// The versions in which the ledger knows occurrences; only who holds the intake may change them.
///
/// # Errors
/// When the statement fails.
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

/// Keeps revisions of occurrences that have not come yet, each in its newest version.
///
/// # Errors
/// When the statement fails.
pub async fn remember(
    executor: impl PgExecutor<'_>,
    revisions: &[&Revision],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = revisions.iter().map(|it| it.occurrence_id).collect();
    let users: Vec<&str> = revisions.iter().map(|it| it.user_id.as_str()).collect();
    let versions: Vec<i64> = revisions.iter().map(|it| it.version).collect();
    let contents =
        revisions.iter().map(|it| it.content.as_ref().map(serde_json::to_string).transpose());
    let contents = contents
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    let decided: Vec<DateTime<Utc>> = revisions.iter().map(|it| it.at).collect();
    sqlx::query!(
        "insert into revisions (occurrence_id, user_id, version, content, at)
         select occurrence_id, user_id, version, content::jsonb, at
         from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[])
             as new (occurrence_id, user_id, version, content, at)
         on conflict (occurrence_id) do update
         set version = excluded.version, content = excluded.content, at = excluded.at
         where revisions.version < excluded.version
            or (revisions.version = excluded.version and excluded.content is null)",
        &ids,
        &users as &[&str],
        &versions,
        &contents as &[Option<String>],
        &decided,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Lets the ledger know occurrences in a newer version, and with what they now say where something
/// of them still waits.
///
/// # Errors
/// When the statement fails.
pub async fn apply(
    executor: impl PgExecutor<'_>,
    revised: &[(Uuid, i64, Option<SendData>)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = revised.iter().map(|it| it.0).collect();
    let versions: Vec<i64> = revised.iter().map(|it| it.1).collect();
    let expiries: Vec<Option<DateTime<Utc>>> =
        revised.iter().map(|it| Some(it.2.as_ref()?.expires_at)).collect();
    let payloads = revised.iter().map(|it| it.2.as_ref().map(serde_json::to_string).transpose());
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

/// Forgets revisions whose occurrences never came, a bounded number at a time; returns how many.
///
/// # Errors
/// When the statement fails.
pub async fn forget_old(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let removed = sqlx::query!(
        "delete from revisions where occurrence_id = any(array(
             select occurrence_id from revisions where at < now() - interval '14 days' order by at limit 5000))"
    )
    .execute(pool)
    .await?;
    Ok(removed.rows_affected())
}
