//! Second thoughts about deliveries that wait: what follows from a change of their user's preferences, and from a newer version
//! of what they deliver.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use shared::{
    contract::{Channel, DeliveryState, Priority, SendData},
    outbox::OutboxMessage,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    delivery::{DeliveryKey, reason},
    erasure::user_digest,
    events::{self, Ending},
    preferences::Preferences,
    revision::{self, Revision},
    store::{
        erasures, preferences, revisions,
        waiting::{self, Waiting},
    },
};

/// Why waiting deliveries were not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("change what waits")]
    Sql(#[from] sqlx::Error),
    /// An event could not be written.
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
}

/// Looks at everything that waits for a user with other preferences: what they do not want any more ends, and what was
/// deferred waits for the end of the quiet hours that now are, or no longer. Answers what is to be told, which is not in the
/// outbox yet. Call it in the transaction of the change.
///
/// # Errors
/// When a statement fails or an event cannot be written.
pub async fn reconsider(
    transaction: &mut PgConnection,
    user_id: &str,
    preferences: &Preferences,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    let waiting = waiting::of_user(&mut *transaction, user_id).await?;
    let (wanted, unwanted): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|it| preferences.allows(it.key.channel));
    let mut messages = withdraw(&mut *transaction, &unwanted, reason::OPTED_OUT, now).await?;
    let deferred: Vec<_> = wanted.into_iter().filter(|it| it.state == DeliveryState::Deferred).collect();
    let until = preferences.quiet_hours.and_then(|quiet| quiet.until(now));
    messages.extend(defer(&mut *transaction, &deferred, until, now).await?);
    Ok(messages)
}

/// Applies revisions, at most one of each occurrence: what is cancelled or no longer wanted on a channel ends, what still waits
/// says what the newest version says. One that is not newer than what the ledger knows changes nothing; one whose occurrence has
/// not come is kept for it. Answers what is to be told, which is not in the outbox yet. Call it in a transaction that holds the
/// intake.
///
/// # Errors
/// When a statement fails or an event cannot be written.
pub async fn revise(
    transaction: &mut PgConnection,
    revisions: &[Revision],
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    let revisions = of_the_living(&mut *transaction, revisions).await?;
    let ids: Vec<Uuid> = revisions.iter().map(|it| it.occurrence_id).collect();
    let known = revisions::known(&mut *transaction, &ids).await?;
    let (known_ones, ahead): (Vec<&Revision>, Vec<&Revision>) =
        revisions.into_iter().partition(|it| known.contains_key(&it.occurrence_id));
    if !ahead.is_empty() {
        revisions::remember(&mut *transaction, &ahead).await?;
    }
    let newer: BTreeMap<Uuid, &Revision> = known_ones
        .into_iter()
        .filter(|it| known.get(&it.occurrence_id).is_some_and(|version| *version < it.version))
        .map(|it| (it.occurrence_id, it))
        .collect();
    if newer.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = newer.keys().copied().collect();
    let waiting = waiting::of_occurrences(&mut *transaction, &ids).await?;
    let keeps = |it: &Waiting| newer.get(&it.key.occurrence_id).is_some_and(|revision| revision.keeps(it.key.channel));
    let (kept, cancelled): (Vec<_>, Vec<_>) = waiting.into_iter().partition(keeps);
    let mut messages = withdraw(&mut *transaction, &cancelled, reason::CANCELLED, now).await?;
    rewrite(&mut *transaction, &newer, &kept).await?;
    let is_urgent = |it: &&Waiting| newer.get(&it.key.occurrence_id).is_some_and(|revision| is_urgent(revision));
    let woken: Vec<Waiting> =
        kept.iter().filter(|it| it.state == DeliveryState::Deferred).filter(is_urgent).cloned().collect();
    messages.extend(defer(&mut *transaction, &woken, None, now).await?);
    Ok(messages)
}

fn is_urgent(revision: &Revision) -> bool {
    revision.content.as_ref().is_some_and(|content| content.priority == Priority::High)
}

/// Without the revisions of users who were erased since.
async fn of_the_living<'a>(
    transaction: &mut PgConnection,
    revisions: &'a [Revision],
) -> Result<Vec<&'a Revision>, sqlx::Error> {
    let users: HashSet<&str> = revisions.iter().map(|it| it.user_id.as_str()).collect();
    let users: Vec<&str> = users.into_iter().collect();
    let erased = erasures::of_users(transaction, &users).await?;
    let is_erased = |it: &&Revision| erased.get(&user_digest(&it.user_id)).is_some_and(|until| it.at <= *until);
    Ok(revisions.iter().filter(|it| !is_erased(it)).collect())
}

/// Writes the newer versions, with what they say where something still waits to say it.
async fn rewrite(
    transaction: &mut PgConnection,
    newer: &BTreeMap<Uuid, &Revision>,
    kept: &[Waiting],
) -> Result<(), sqlx::Error> {
    let users: HashSet<&str> = newer.values().map(|it| it.user_id.as_str()).collect();
    let users: Vec<&str> = users.into_iter().collect();
    let preferences = preferences::of_users(&mut *transaction, &users).await?;
    let waiting: HashMap<Uuid, &Waiting> = kept.iter().map(|it| (it.key.occurrence_id, it)).collect();
    let said = |revision: &Revision| -> Option<SendData> {
        let mut send = waiting.get(&revision.occurrence_id)?.dispatch.send.clone();
        revision::revise(&mut send, revision.content.clone()?);
        if let Some(preferences) = preferences.get(&revision.user_id) {
            preferences.suit(&mut send.content);
        }
        Some(send)
    };
    let revised: Vec<_> = newer.values().map(|it| (it.occurrence_id, it.version, said(it))).collect();
    revisions::apply(transaction, &revised).await
}

/// Ends deliveries; tells of those that nobody is just making.
async fn withdraw(
    transaction: &mut PgConnection,
    deliveries: &[Waiting],
    reason: &'static str,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    waiting::withdraw(&mut *transaction, &keys(deliveries), reason).await?;
    let mut messages = Vec::with_capacity(deliveries.len());
    for delivery in deliveries.iter().filter(|it| !it.leased) {
        let ending = Ending { attempts: delivery.attempts, ..Ending::suppressed(reason, now) };
        messages.extend(events::outcome(&delivery.dispatch, delivery.key, &ending)?);
        metrics::counter!("deliveries_total", "channel" => Channel::as_str(delivery.key.channel), "state" => "suppressed")
            .increment(1);
    }
    Ok(messages)
}

/// Puts deferred deliveries off anew; their time to live is kept from the new end on.
async fn defer(
    transaction: &mut PgConnection,
    deliveries: &[Waiting],
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    let moved: Vec<Waiting> = deliveries.iter().filter(|it| it.deferred_until != until).cloned().collect();
    if moved.is_empty() {
        return Ok(Vec::new());
    }
    waiting::defer(&mut *transaction, &keys(&moved), until).await?;
    let Some(until) = until else { return Ok(Vec::new()) };
    let mut expiries = BTreeMap::<Uuid, DateTime<Utc>>::new();
    let mut messages = Vec::with_capacity(moved.len());
    for delivery in &moved {
        let later = delivery.deferred_until.map_or(chrono::TimeDelta::zero(), |before| until - before);
        let expires_at = delivery.dispatch.send.expires_at;
        let moved = expires_at.checked_add_signed(later).unwrap_or(expires_at);
        expiries.insert(delivery.key.occurrence_id, moved);
        messages.extend(events::outcome(&delivery.dispatch, delivery.key, &Ending::deferred(until, now))?);
    }
    let expiries: Vec<_> = expiries.into_iter().collect();
    waiting::prolong(&mut *transaction, &expiries).await?;
    Ok(messages)
}

fn keys(deliveries: &[Waiting]) -> Vec<DeliveryKey> {
    deliveries.iter().map(|it| it.key).collect()
}
