//! Finds late occurrences that a later occurrence of the same series supersedes.

use std::collections::HashSet;

use sqlx::PgPool;
use uuid::Uuid;

use super::{
    Error,
    read_series::{decode, evaluate},
};
use crate::{
    domain::claim::{Claimed, Lease},
    store,
};

const ACTION: &str = "find superseded occurrences";

/// Returns the superseded ones of some late claims.
pub(super) async fn find_superseded(
    pool: &PgPool,
    claims: &[&Claimed],
) -> Result<HashSet<Lease>, Error> {
    let ids: Vec<Uuid> = claims.iter().map(|claimed| claimed.notification_id).collect();
    let rows = store::series::read(pool, &ids).await.map_err(Error::of(ACTION))?;
    let due: Vec<_> = claims
        .iter()
        .map(|claimed| (claimed.lease, claimed.notification_id, claimed.due_at))
        .collect();
    let superseded = evaluate(due.len(), ACTION, move || {
        let series = decode(rows).series;
        let superseded = due.iter().filter(|(_, notification, due)| {
            series.get(notification).is_some_and(|series| series.is_superseded(*due))
        });
        superseded.map(|(lease, ..)| *lease).collect()
    });
    superseded.await
}
