//! Revision of pending deliveries: effects on deliveries that are not sent yet when their reminder
//! is deleted or edited, snoozed or acknowledged, when their user changes preferences, or when a
//! later occurrence of the same item replaces them.
//!
//! - A delivery that waits in the ledger (deferred, between two attempts, or not claimed yet) ends
//!   as suppressed, with the reason of the change (`DELETED`, `EDITED`, `ACKNOWLEDGED`, `SNOOZED`),
//!   `OPTED_OUT` or `MISSED`; or it gets the content of the newest version, on the channels that
//!   both versions have.
//! - A delivery that a process holds under a lease is only marked, and recalled (`store::recalls`).
//!   If its attempt has not begun, the process releases it. The result of an attempt that has begun
//!   is written as it is, and no other attempt follows.
//! - An occurrence that arrives after its revision is written as the revision says
//!   ([`accept_occurrences`](super::accept_occurrences)).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, Priority, Reason, SendData};
use service::{
    consumer::isolation::Attempt,
    outbox::{self, OutboxMessage, RelayHandle},
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Error;
use crate::{
    dispatch::Recalls,
    domain::{
        delivery::DeliveryKey,
        erasure::user_digest,
        events::{self, DeliveryOutcome},
        preferences::Preferences,
        revision::{self, Revision},
    },
    store::{
        self, erasures,
        pending_deliveries::{self, Affected, PendingDelivery, PreferenceChange},
        preferences, recalls, revisions,
    },
};

/// Deliveries that one transaction revises after a change of preferences.
const PART: i64 = 1_000;
/// Most occurrences that one transaction revises.
const MAX_REVISED: usize = 200;

/// Applies the revisions that messages bring, a bounded number in each transaction. A revision that
/// is applied again changes nothing.
pub struct ApplyRevisions {
    /// Pool of the devices database.
    pub pool: PgPool,
    /// Hands published messages to the relay.
    pub relay_handle: RelayHandle,
    /// Recalls of deliveries that this process holds in memory.
    pub recalls: Arc<Recalls>,
}

impl Attempt for ApplyRevisions {
    type Item = Vec<Revision>;
    type Error = Error;

    async fn attempt(&self, messages: &[Vec<Revision>]) -> Result<(), Error> {
        for revisions in newest(messages.iter().flatten()).chunks(MAX_REVISED) {
            self.apply(revisions).await?;
        }
        Ok(())
    }
}

impl ApplyRevisions {
    async fn apply(&self, revisions: &[Revision]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        revisions::hold_intake(&mut *transaction).await?;
        let now = store::now(&mut *transaction).await?;
        let messages = apply_revisions(&mut transaction, revisions, now).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        self.recalls.poll_now();
        self.relay_handle.after_commit(messages);
        Ok(())
    }
}

/// Returns the newest revision of each occurrence.
fn newest<'a>(revisions: impl Iterator<Item = &'a Revision>) -> Vec<Revision> {
    let mut newest = BTreeMap::<Uuid, &Revision>::new();
    for revision in revisions {
        let known = newest.entry(revision.occurrence_id).or_insert(revision);
        if revision.replaces(known.version) {
            *known = revision;
        }
    }
    newest.into_values().cloned().collect()
}

/// Result of one transaction after a change of preferences.
#[derive(Debug)]
pub struct Revised {
    /// Events to publish, which are not in the outbox yet.
    pub messages: Vec<OutboxMessage>,
    /// `true` if more deliveries are left for another transaction.
    pub has_more: bool,
}

/// Applies changed preferences to a part of a user's pending deliveries: those on a channel that
/// the user switched off end, and deferred ones wait for the end of the new quiet hours, or no
/// longer. Call it in the transaction of the change, and in others until no more are left;
/// deliveries that were revised before are not found again.
///
/// # Errors
/// If a statement fails or an event cannot be serialized.
pub async fn apply_preferences(
    transaction: &mut PgConnection,
    user_id: &str,
    preferences: &Preferences,
    takeover: Duration,
    now: DateTime<Utc>,
) -> Result<Revised, Error> {
    let all = [Channel::Email, Channel::Push];
    let unwanted: Vec<&str> = all
        .into_iter()
        .filter(|channel| !preferences.allows(*channel))
        .map(Channel::as_str)
        .collect();
    let until = preferences.quiet_hours.and_then(|quiet| quiet.until(now));
    let change = PreferenceChange { user_id, unwanted: &unwanted, until };
    let Affected { keys, has_more } =
        pending_deliveries::affected_by(&mut *transaction, change, takeover, PART).await?;
    let locked = pending_deliveries::lock(&mut *transaction, &keys).await?;
    let (mut deferred, ended): (Vec<_>, Vec<_>) =
        locked.into_iter().partition(|delivery| preferences.allows(delivery.key.channel));
    // Others were claimed before they were locked, as their quiet hours had ended.
    deferred.retain(|delivery| delivery.state == DeliveryState::Deferred);
    let mut messages = cancel(&mut *transaction, &ended, Reason::OptedOut, now).await?;
    messages.extend(defer(&mut *transaction, &deferred, until, now).await?);
    Ok(Revised { messages, has_more })
}

/// Ends deferred deliveries that a later occurrence of their item replaces. Returns the events to
/// publish, which are not in the outbox yet. Call it in the transaction that writes the later one.
///
/// # Errors
/// If a statement fails or an event cannot be serialized.
pub async fn end_missed(
    transaction: &mut PgConnection,
    deliveries: &[PendingDelivery],
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    cancel(transaction, deliveries, Reason::Missed, now).await
}

/// Applies revisions, at most one of each occurrence: deliveries that are cancelled, or on a
/// channel that the newest version does not have, end; the others get its content. A revision that
/// is not newer than the ledger's version changes nothing; one whose occurrence has not arrived is
/// stored for it. Returns the events to publish, which are not in the outbox yet. Call it in a
/// transaction that holds the intake.
///
/// # Errors
/// If a statement fails or an event cannot be serialized.
pub async fn apply_revisions(
    transaction: &mut PgConnection,
    revisions: &[Revision],
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    let revisions = without_erased_users(&mut *transaction, revisions).await?;
    let ids: Vec<Uuid> = revisions.iter().map(|revision| revision.occurrence_id).collect();
    let known = revisions::known(&mut *transaction, &ids).await?;
    let (of_known, ahead): (Vec<&Revision>, Vec<&Revision>) =
        revisions.into_iter().partition(|revision| known.contains_key(&revision.occurrence_id));
    if !ahead.is_empty() {
        revisions::store_ahead(&mut *transaction, &ahead).await?;
    }
    let newer: BTreeMap<Uuid, &Revision> = of_known
        .into_iter()
        .filter(|revision| {
            known.get(&revision.occurrence_id).is_some_and(|version| revision.replaces(*version))
        })
        .map(|revision| (revision.occurrence_id, revision))
        .collect();
    if newer.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = newer.keys().copied().collect();
    let pending = pending_deliveries::of_occurrences(&mut *transaction, &ids).await?;
    let revision_of = |delivery: &PendingDelivery| newer.get(&delivery.key.occurrence_id);
    let (kept, cancelled): (Vec<_>, Vec<_>) = pending.into_iter().partition(|delivery| {
        revision_of(delivery).is_some_and(|revision| revision.keeps(delivery.key.channel))
    });
    let mut by_reason = BTreeMap::<Reason, Vec<PendingDelivery>>::new();
    for delivery in cancelled {
        let Some(revision) = revision_of(&delivery) else { continue };
        by_reason.entry(revision.cancellation_reason()).or_default().push(delivery);
    }
    let mut messages = Vec::new();
    for (reason, cancelled) in &by_reason {
        messages.extend(cancel(&mut *transaction, cancelled, *reason, now).await?);
    }
    rewrite(&mut *transaction, &newer, &kept).await?;
    // Quiet hours do not defer urgent occurrences.
    let undeferred: Vec<PendingDelivery> = kept
        .iter()
        .filter(|delivery| delivery.state == DeliveryState::Deferred)
        .filter(|delivery| revision_of(delivery).is_some_and(|revision| is_urgent(revision)))
        .cloned()
        .collect();
    messages.extend(defer(&mut *transaction, &undeferred, None, now).await?);
    Ok(messages)
}

fn is_urgent(revision: &Revision) -> bool {
    revision.content().is_some_and(|content| content.priority == Priority::High)
}

/// Returns the revisions without those of users who were erased later.
async fn without_erased_users<'a>(
    transaction: &mut PgConnection,
    revisions: &'a [Revision],
) -> Result<Vec<&'a Revision>, sqlx::Error> {
    let users: HashSet<&str> = revisions.iter().map(|revision| revision.user_id.as_str()).collect();
    let users: Vec<&str> = users.into_iter().collect();
    let erased = erasures::of_users(transaction, &users).await?;
    let is_erased = |revision: &&Revision| {
        let erased_at = erased.get(&user_digest(&revision.user_id));
        erased_at.is_some_and(|erased_at| revision.at <= *erased_at)
    };
    Ok(revisions.iter().filter(|revision| !is_erased(revision)).collect())
}

/// Writes the newer versions, with their content where a delivery is still pending, and recalls
/// the deliveries that a process holds in memory.
async fn rewrite(
    transaction: &mut PgConnection,
    newer: &BTreeMap<Uuid, &Revision>,
    kept: &[PendingDelivery],
) -> Result<(), sqlx::Error> {
    let users: HashSet<&str> = newer.values().map(|revision| revision.user_id.as_str()).collect();
    let users: Vec<&str> = users.into_iter().collect();
    let preferences = preferences::of_users(&mut *transaction, &users).await?;
    recall(&mut *transaction, kept).await?;
    let pending: HashMap<Uuid, &PendingDelivery> =
        kept.iter().map(|delivery| (delivery.key.occurrence_id, delivery)).collect();
    let new_content = |revision: &Revision| -> Option<SendData> {
        let mut send = pending.get(&revision.occurrence_id)?.dispatch.send.clone();
        revision::replace_content(&mut send, revision.content().cloned()?);
        if let Some(preferences) = preferences.get(&revision.user_id) {
            preferences.apply_locale(&mut send.content);
        }
        Some(send)
    };
    let revised: Vec<_> = newer
        .values()
        .map(|revision| (revision.occurrence_id, revision.version, new_content(revision)))
        .collect();
    revisions::apply(transaction, &revised).await
}

/// Cancels deliveries for a reason. Returns the events of those that end now; the others are
/// recalled from the processes that hold them in memory.
async fn cancel(
    transaction: &mut PgConnection,
    deliveries: &[PendingDelivery],
    reason: Reason,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    pending_deliveries::cancel(&mut *transaction, &keys(deliveries), reason).await?;
    recall(&mut *transaction, deliveries).await?;
    let mut messages = Vec::with_capacity(deliveries.len());
    for delivery in deliveries.iter().filter(|delivery| !delivery.leased) {
        let suppressed = DeliveryOutcome::suppressed(reason, now);
        let outcome = DeliveryOutcome { attempts: delivery.attempts, ..suppressed };
        messages.extend(
            events::outcome(&delivery.dispatch, delivery.key, &outcome)
                .as_ref()
                .map(OutboxMessage::of)
                .transpose()?,
        );
        let channel = Channel::as_str(delivery.key.channel);
        metrics::counter!(
            "reminders_deliveries_total", "channel" => channel, "state" => "suppressed"
        )
        .increment(1);
    }
    Ok(messages)
}

/// Recalls deliveries from the processes that hold them in memory.
async fn recall(
    transaction: &mut PgConnection,
    deliveries: &[PendingDelivery],
) -> Result<(), sqlx::Error> {
    let held = deliveries.iter().filter(|delivery| delivery.leased);
    let recalled: Vec<_> = held.map(|delivery| (delivery.key, delivery.fence)).collect();
    recalls::note(transaction, &recalled).await
}

/// Defers deferred deliveries to another time; their time to live counts from it.
async fn defer(
    transaction: &mut PgConnection,
    deliveries: &[PendingDelivery],
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    let moved: Vec<PendingDelivery> =
        deliveries.iter().filter(|delivery| delivery.deferred_until != until).cloned().collect();
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
        let extended = expires_at.checked_add_signed(later).unwrap_or(expires_at);
        expiries.insert(delivery.key.occurrence_id, extended);
        let outcome = DeliveryOutcome::deferred(until, now);
        messages.extend(
            events::outcome(&delivery.dispatch, delivery.key, &outcome)
                .as_ref()
                .map(OutboxMessage::of)
                .transpose()?,
        );
    }
    let expiries: Vec<_> = expiries.into_iter().collect();
    pending_deliveries::extend_expiry(&mut *transaction, &expiries).await?;
    Ok(messages)
}

fn keys(deliveries: &[PendingDelivery]) -> Vec<DeliveryKey> {
    deliveries.iter().map(|delivery| delivery.key).collect()
}
