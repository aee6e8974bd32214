//! Ends occurrences that are not published: state, catalogue, outbox and the command that shows
//! them to their users, in one transaction.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contract::{Event, OutcomeData};
use service::outbox::{self, OutboxMessage};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Error, compute_next_occurrences, quarantine_unreadable::keep_pending};
use crate::{
    domain::{
        claim::{Claimed, PublishStatus, leases},
        events::{UnpublishedOutcome, ended, record},
        next_occurrences::no_longer_pending,
    },
    store::{commands, outcomes},
};

const ACTION: &str = "end unpublished occurrences";

/// Ends occurrences under their leases, adds the outcome to the catalogue and to the outbox, from
/// which event-service's relay publishes it, and commands the ledger to record those that expired
/// or were missed. The commands are written with the end: a scheduler whose lease has passed on
/// must record nothing, as the occurrence may still be sent. Returns the number ended: an
/// occurrence whose lease has passed on is left to its new holder, and one whose recurrence rule
/// cannot be read stays pending.
///
/// # Errors
/// When a statement fails; nothing is ended then.
pub async fn end_unpublished(
    pool: &PgPool,
    claims: &[&Claimed],
    outcome: UnpublishedOutcome,
) -> Result<usize, Error> {
    let recurring: Vec<&Claimed> =
        claims.iter().copied().filter(|claimed| claimed.recurs).collect();
    let prepared = compute_next_occurrences::prepare(pool, &recurring).await?;
    let mut transaction = pool.begin().await.map_err(Error::of(ACTION))?;
    // Before the occurrences, as event-service locks them.
    let next = compute_next_occurrences::lock(&mut transaction, &recurring, prepared).await?;
    let (staying_pending, claims): (Vec<&Claimed>, Vec<&Claimed>) = claims
        .iter()
        .copied()
        .partition(|claimed| claimed.recurs && next.must_stay_pending(claimed));
    let ended_at = outcomes::end(&mut transaction, &leases(claims.iter().copied()), outcome)
        .await
        .map_err(Error::of(ACTION))?;
    let passed = no_longer_pending(
        claims.iter().copied().filter(|claimed| ended_at.contains_key(&claimed.lease.id)),
    );
    compute_next_occurrences::insert_following(&mut transaction, &next, &passed).await?;
    let events: Vec<Event<OutcomeData>> = claims
        .iter()
        .filter_map(|claimed| {
            ended_at.get(&claimed.lease.id).map(|at| ended(claimed, outcome, *at))
        })
        .collect();
    outcomes::insert_events(&mut transaction, &events).await.map_err(Error::of(ACTION))?;
    let messages: Result<Vec<OutboxMessage>, _> = events.iter().map(OutboxMessage::of).collect();
    let messages = messages.map_err(Error::of(ACTION))?;
    outbox::insert_unleased(&mut *transaction, &messages).await.map_err(Error::of(ACTION))?;
    let records = records(&claims, &ended_at, outcome).map_err(Error::of(ACTION))?;
    commands::insert(&mut transaction, &records).await.map_err(Error::of(ACTION))?;
    transaction.commit().await.map_err(Error::of(ACTION))?;
    keep_pending(pool, &staying_pending, PublishStatus::NotPublished).await?;
    Ok(events.len())
}

/// Commands to record the occurrences that ended. One whose message the topic can never accept has
/// none, as its record would be as large.
fn records(
    claims: &[&Claimed],
    ended_at: &HashMap<Uuid, DateTime<Utc>>,
    outcome: UnpublishedOutcome,
) -> Result<Vec<OutboxMessage>, serde_json::Error> {
    if outcome == UnpublishedOutcome::Unpublishable {
        return Ok(Vec::new());
    }
    let ended = claims.iter().filter(|claimed| ended_at.contains_key(&claimed.lease.id));
    ended.map(|claimed| OutboxMessage::of(&record((*claimed).clone(), outcome))).collect()
}
