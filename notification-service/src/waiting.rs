//! Second thoughts about deliveries that wait: what follows from a change of their user's
//! preferences, and from a newer version of what they deliver.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

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
    events::{self, DeliveryOutcome},
    preferences::Preferences,
    revision::{self, Revision},
    store::{
        erasures,
        pending_deliveries::{self, Change, Waiting},
        preferences,
        recalls::{self, EVERY_VERSION},
        revisions,
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

/// Deliveries that one transaction looks at with other preferences.
const PART: i64 = 1_000;

/// Result of a look at waiting deliveries with other preferences.
#[derive(Debug)]
pub struct Reconsidered {
    /// Events to tell, which are not in the outbox yet.
    pub messages: Vec<OutboxMessage>,
    /// `true` if there is more to be looked at, in another transaction.
    pub has_more: bool,
}

/// Looks at a part of what waits for a user with other preferences: what they do not want any more
/// ends, and what was deferred waits for the end of the quiet hours that now are, or no longer.
/// Call it in the transaction of the change, and in others until there is no more; what was looked
/// at before is not found again.
///
/// # Errors
/// When a statement fails or an event cannot be written.
pub async fn reconsider(
    transaction: &mut PgConnection,
    user_id: &str,
    preferences: &Preferences,
    takeover: Duration,
    now: DateTime<Utc>,
) -> Result<Reconsidered, Error> {
    let all = [Channel::Email, Channel::Push];
    let unwanted: Vec<&str> = all
        .into_iter()
        .filter(|channel| !preferences.allows(*channel))
        .map(Channel::as_str)
        .collect();
    let until = preferences.quiet_hours.and_then(|quiet| quiet.until(now));
    let change = Change { user_id, unwanted: &unwanted, until };
    let changed = pending_deliveries::changed_by(&mut *transaction, change, PART).await?;
    let has_more = changed.len() as i64 == PART;
    let (deferred, mut ended): (Vec<_>, Vec<_>) =
        changed.into_iter().partition(|delivery| preferences.allows(delivery.key.channel));
    if !unwanted.is_empty() && !has_more {
        ended.extend(pending_deliveries::held_of_user(&mut *transaction, change, takeover).await?);
    }
    let mut messages = withdraw(&mut *transaction, &ended, reason::OPTED_OUT, now).await?;
    messages.extend(defer(&mut *transaction, &deferred, until, now).await?);
    Ok(Reconsidered { messages, has_more })
}

/// Ends deferred deliveries that a later occurrence of their item takes the place of. Answers what
/// is to be told, which is not in the outbox yet. Call it in the transaction in which the later one
/// is written.
///
/// # Errors
/// When a statement fails or an event cannot be written.
pub async fn miss(
    transaction: &mut PgConnection,
    deliveries: &[Waiting],
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    withdraw(transaction, deliveries, reason::MISSED, now).await
}

/// Applies revisions, at most one of each occurrence: what is cancelled or no longer wanted on a
/// channel ends, what still waits says what the newest version says. One that is not newer than
/// what the ledger knows changes nothing; one whose occurrence has not come is kept for it. Answers
/// what is to be told, which is not in the outbox yet. Call it in a transaction that holds the
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
        .filter(|revision| {
            known.get(&revision.occurrence_id).is_some_and(|version| revision.replaces(*version))
        })
        .map(|it| (it.occurrence_id, it))
        .collect();
    if newer.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = newer.keys().copied().collect();
    let waiting = pending_deliveries::of_occurrences(&mut *transaction, &ids).await?;
    let keeps = |it: &Waiting| {
        newer.get(&it.key.occurrence_id).is_some_and(|revision| revision.keeps(it.key.channel))
    };
    let (kept, cancelled): (Vec<_>, Vec<_>) = waiting.into_iter().partition(keeps);
    let mut messages = withdraw(&mut *transaction, &cancelled, reason::CANCELLED, now).await?;
    rewrite(&mut *transaction, &newer, &kept).await?;
    let is_urgent = |it: &&Waiting| {
        newer.get(&it.key.occurrence_id).is_some_and(|revision| is_urgent(revision))
    };
    let woken: Vec<Waiting> = kept
        .iter()
        .filter(|it| it.state == DeliveryState::Deferred)
        .filter(is_urgent)
        .cloned()
        .collect();
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
    let is_erased =
        |it: &&Revision| erased.get(&user_digest(&it.user_id)).is_some_and(|until| it.at <= *until);
    Ok(revisions.iter().filter(|it| !is_erased(it)).collect())
}

/// Writes the newer versions, with what they say where something still waits to say it. What a
/// process holds in memory in an older version is recalled.
async fn rewrite(
    transaction: &mut PgConnection,
    newer: &BTreeMap<Uuid, &Revision>,
    kept: &[Waiting],
) -> Result<(), sqlx::Error> {
    let users: HashSet<&str> = newer.values().map(|it| it.user_id.as_str()).collect();
    let users: Vec<&str> = users.into_iter().collect();
    let preferences = preferences::of_users(&mut *transaction, &users).await?;
    recall(&mut *transaction, kept, |key| {
        newer.get(&key.occurrence_id).map_or(0, |revision| revision.version)
    })
    .await?;
    let waiting: HashMap<Uuid, &Waiting> =
        kept.iter().map(|it| (it.key.occurrence_id, it)).collect();
    let said = |revision: &Revision| -> Option<SendData> {
        let mut send = waiting.get(&revision.occurrence_id)?.dispatch.send.clone();
        revision::revise(&mut send, revision.content.clone()?);
        if let Some(preferences) = preferences.get(&revision.user_id) {
            preferences.suit(&mut send.content);
        }
        Some(send)
    };
    let revised: Vec<_> =
        newer.values().map(|it| (it.occurrence_id, it.version, said(it))).collect();
    revisions::apply(transaction, &revised).await
}

/// Ends deliveries; tells of those that nobody is just making, and recalls the others from whoever
/// holds them in memory.
async fn withdraw(
    transaction: &mut PgConnection,
    deliveries: &[Waiting],
    reason: &'static str,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    pending_deliveries::withdraw(&mut *transaction, &keys(deliveries), reason).await?;
    recall(&mut *transaction, deliveries, |_| EVERY_VERSION).await?;
    let mut messages = Vec::with_capacity(deliveries.len());
    for delivery in deliveries.iter().filter(|it| !it.leased) {
        let ending = DeliveryOutcome {
            attempts: delivery.attempts,
            ..DeliveryOutcome::suppressed(reason, now)
        };
        messages.extend(events::outcome(&delivery.dispatch, delivery.key, &ending)?);
        metrics::counter!(
            "reminders_deliveries_total",
            "channel" => Channel::as_str(delivery.key.channel),
            "state" => "suppressed"
        )
        .increment(1);
    }
    Ok(messages)
}

/// Recalls deliveries of an older version from whoever holds them in memory.
async fn recall(
    transaction: &mut PgConnection,
    deliveries: &[Waiting],
    version: impl Fn(DeliveryKey) -> i64,
) -> Result<(), sqlx::Error> {
    let held = deliveries.iter().filter(|delivery| delivery.leased).map(|delivery| delivery.key);
    let recalled = held.map(|key| ((key.occurrence_id, key.channel), version(key))).collect();
    recalls::note(transaction, &recalled).await
}

/// Puts deferred deliveries off anew; their time to live is kept from the new end on.
async fn defer(
    transaction: &mut PgConnection,
    deliveries: &[Waiting],
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    let moved: Vec<Waiting> =
        deliveries.iter().filter(|it| it.deferred_until != until).cloned().collect();
    if moved.is_empty() {
        return Ok(Vec::new());
    }
    pending_deliveries::defer(&mut *transaction, &keys(&moved), until).await?;
    let Some(until) = until else { return Ok(Vec::new()) };
    let mut expiries = BTreeMap::<Uuid, DateTime<Utc>>::new();
    let mut messages = Vec::with_capacity(moved.len());
    for delivery in &moved {
        let later =
            delivery.deferred_until.map_or(chrono::TimeDelta::zero(), |before| until - before);
        let expires_at = delivery.dispatch.send.expires_at;
        let moved = expires_at.checked_add_signed(later).unwrap_or(expires_at);
        expiries.insert(delivery.key.occurrence_id, moved);
        messages.extend(events::outcome(
            &delivery.dispatch,
            delivery.key,
            &DeliveryOutcome::deferred(until, now),
        )?);
    }
    let expiries: Vec<_> = expiries.into_iter().collect();
    pending_deliveries::prolong(&mut *transaction, &expiries).await?;
    Ok(messages)
}

fn keys(deliveries: &[Waiting]) -> Vec<DeliveryKey> {
    deliveries.iter().map(|it| it.key).collect()
}
