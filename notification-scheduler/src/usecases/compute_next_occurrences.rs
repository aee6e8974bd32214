//! Next occurrences of recurring notifications, created when the one before is no longer pending.
//!
//! The next occurrence is created in the transaction in which the one before is released or ended,
//! from the notification as it is then, under its lock: either an edit is seen here, or it sees the
//! rows written here. The next occurrences are computed before the transaction; under the lock
//! their version is only compared.
//!
//! A series whose rule this binary cannot read (a newer version wrote it, or its zone is unknown
//! here) does not end: its occurrence is published and stays pending, a minute at a time, until a
//! binary runs that can read it.

use std::collections::HashMap;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Error,
    read_series::{decode, evaluate},
};
use crate::{
    domain::{
        claim::Claimed,
        next_occurrences::{Following, NextOccurrences, NoLongerPending, no_longer_pending},
    },
    store::{self, series::StoredSeries},
};

const ACTION: &str = "create the next occurrences of a series";

/// Computes the occurrences that follow some claims, before the transaction in which they are
/// marked.
pub(super) async fn prepare(pool: &PgPool, claims: &[&Claimed]) -> Result<NextOccurrences, Error> {
    if claims.is_empty() {
        return Ok(NextOccurrences::default());
    }
    let passed = no_longer_pending(claims.iter().copied());
    let ids: Vec<Uuid> = passed.iter().map(|(id, _)| *id).collect();
    let rows = store::series::read(pool, &ids).await.map_err(Error::of(ACTION))?;
    evaluate(passed.len(), ACTION, move || compute(rows, &passed)).await
}

fn compute(rows: Vec<StoredSeries>, passed: &[NoLongerPending]) -> NextOccurrences {
    let decoded = decode(rows);
    if !decoded.unreadable.is_empty() {
        metrics::counter!("reminders_scheduler_series_invalid_total")
            .increment(decoded.unreadable.len() as u64);
    }
    NextOccurrences::compute(decoded, passed, time_zone::edition())
}

/// Locks the recurring notifications of some claims, in the order of their ids, and computes anew
/// the occurrences of those that have changed since.
pub(super) async fn lock(
    connection: &mut PgConnection,
    claims: &[&Claimed],
    mut prepared: NextOccurrences,
) -> Result<NextOccurrences, Error> {
    if claims.is_empty() {
        return Ok(prepared);
    }
    let ids: Vec<Uuid> = claims.iter().map(|claimed| claimed.notification_id).collect();
    let locked = store::series::lock(&mut *connection, &ids).await.map_err(Error::of(ACTION))?;
    let still_recur: HashMap<Uuid, i64> = locked
        .into_iter()
        .filter(|locked| locked.still_recurs)
        .map(|locked| (locked.id, locked.version))
        .collect();
    let changed = prepared.retain_versions(still_recur);
    if !changed.is_empty() {
        let rows = store::series::read(connection, &changed).await.map_err(Error::of(ACTION))?;
        prepared.extend(compute(rows, &no_longer_pending(claims.iter().copied())));
    }
    Ok(prepared)
}

/// Creates the occurrences that follow those which are no longer pending.
pub(super) async fn insert_following(
    connection: &mut PgConnection,
    next: &NextOccurrences,
    passed: &[NoLongerPending],
) -> Result<(), Error> {
    let Following { rows, moved } = next.following(passed);
    if !rows.is_empty() {
        store::series::insert(connection, &rows).await.map_err(Error::of(ACTION))?;
    }
    if !moved.is_empty() {
        let edition = time_zone::edition();
        tracing::warn!(
            notifications = moved.len(),
            edition,
            "time zone data changed, series were rescheduled"
        );
        metrics::counter!("reminders_scheduler_series_rescheduled_total")
            .increment(moved.len() as u64);
        store::series::record_time_zone_database(connection, &moved, edition)
            .await
            .map_err(Error::of(ACTION))?;
    }
    Ok(())
}
