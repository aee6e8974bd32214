//! Claimed occurrences, and the batches in which they are claimed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use contract::{ItemId, NotifyContent, Traceparent};
use uuid::Uuid;

use super::user_key::UserKey;

/// Lease of an occurrence: ordered by the occurrence, which is the order in which event-service
/// locks rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// Id of the occurrence.
    pub id: Uuid,
    /// Fence token: distinguishes this lease from the next one.
    pub fence: i32,
}

/// Terms of the leases of a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// Time for which an occurrence is leased.
    pub lease: Duration,
    /// Time before its due time from which on an occurrence may be leased.
    pub ahead: Duration,
}

/// An occurrence under a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Lease, with the id of the occurrence.
    pub lease: Lease,
    /// Time at which the occurrence is due.
    pub due_at: DateTime<Utc>,
    /// Date of the instance.
    pub date: DateTime<Utc>,
    /// Time after which the occurrence is not sent.
    pub expires_at: DateTime<Utc>,
    /// `true` if the occurrence had expired when it was claimed.
    pub expired: bool,
    /// `true` if an outcome has arrived: the occurrence was published by a scheduler that died
    /// before it could mark it.
    pub was_published: bool,
    /// Notification that the occurrence belongs to.
    pub notification_id: Uuid,
    /// Key of the user in the claim index.
    pub user_key: UserKey,
    /// `true` if the notification recurs: the next occurrence is created when this one is released.
    pub recurs: bool,
    /// Seconds between the due time and the claim; negative if it was claimed ahead.
    pub lateness: f64,
    /// Time at which its content was known to be up to date: the time of the claim; after an
    /// outage, when changes may be in transit, its due time.
    pub as_of: DateTime<Utc>,
    /// Source: `reminder` or `notification`.
    pub source: String,
    /// Item that the occurrence belongs to.
    pub item_id: ItemId,
    /// User who is notified.
    pub user_id: String,
    /// E-mail address of the user.
    pub user_email: Option<String>,
    /// Version of the item.
    pub version: i64,
    /// Time at which that version was made.
    pub item_changed_at: DateTime<Utc>,
    /// Content.
    pub content: NotifyContent,
    /// Trace that the occurrence belongs to.
    pub traceparent: Option<Traceparent>,
}

/// A leased occurrence that this binary cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Lease of the occurrence.
    pub lease: Lease,
    /// The reason, without values of the row.
    pub problem: String,
}

/// Status of a publish whose occurrence's lease is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishStatus {
    /// Not published under this lease.
    NotPublished,
    /// A publish was begun, and its result is not known.
    Unknown,
}

/// Occurrences claimed together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Before the claim was sent, by the monotonic clock: the lease runs out no sooner than its
    /// length after this.
    pub claimed_at: Instant,
    /// Claimed occurrences, in the order of their due times.
    pub claimed: Vec<Claimed>,
    /// Leases of occurrences with nothing left to publish: their notification is deleted or
    /// missing, or a change cancelled them since their lease.
    pub orphans: Vec<Lease>,
    /// Occurrences whose notification this binary cannot read.
    pub unreadable: Vec<Unreadable>,
}

impl Batch {
    /// Builds a batch from the leases and from the rows that were read under them. Leases without a
    /// row are orphans.
    #[must_use]
    pub fn new(
        claimed_at: Instant,
        leased: Vec<Lease>,
        rows: Vec<Result<Claimed, Unreadable>>,
    ) -> Self {
        let mut orphans: HashMap<Uuid, Lease> =
            leased.into_iter().map(|lease| (lease.id, lease)).collect();
        let (mut claimed, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            match row {
                Ok(row) => {
                    orphans.remove(&row.lease.id);
                    claimed.push(row);
                }
                Err(row) => {
                    orphans.remove(&row.lease.id);
                    unreadable.push(row);
                }
            }
        }
        claimed.sort_by_key(|claimed| claimed.due_at);
        Self { claimed_at, claimed, orphans: orphans.into_values().collect(), unreadable }
    }

    /// The number of rows that were leased.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.claimed.len() + self.orphans.len() + self.unreadable.len()
    }

    /// Marks occurrences that were due before the end of an outage as possibly changed: their
    /// content is known to be current only as of their due time.
    pub fn mark_possibly_changed(&mut self, since_outage: Duration) {
        let delayed = self
            .claimed
            .iter_mut()
            .filter(|claimed| claimed.lateness >= since_outage.as_secs_f64());
        delayed.for_each(|claimed| claimed.as_of = claimed.due_at);
    }

    /// Returns the due time from which an ascending claim continues: that of the last row that was
    /// read, but no later than the claim, as occurrences are still planned for times after it.
    #[must_use]
    pub fn last_due_at(&self) -> Option<DateTime<Utc>> {
        let last = self.claimed.last()?;
        let claimed_after = TimeDelta::microseconds((last.lateness * 1e6) as i64);
        Some(last.due_at + claimed_after.min(TimeDelta::zero()))
    }
}

/// Returns the leases of claims.
#[must_use]
pub fn leases<'a>(claims: impl IntoIterator<Item = &'a Claimed>) -> Vec<Lease> {
    claims.into_iter().map(|claimed| claimed.lease).collect()
}

/// Returns the leases of claims in the order in which event-service locks their rows, so that no
/// deadlock arises.
#[must_use]
pub fn sorted_leases<'a>(claims: impl IntoIterator<Item = &'a Claimed>) -> Vec<Lease> {
    let mut leases = leases(claims);
    leases.sort_unstable();
    leases
}
