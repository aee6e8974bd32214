//! Occurrences that follow those which are no longer pending, of all series of a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use contract::Reason;
use uuid::Uuid;

use super::{
    claim::Claimed,
    series::{NewRow, NextRows, Series},
};

/// Largest number of occurrences created at once of a series that fell behind; the rest follow with
/// the next release.
const MAX_PER_SERIES: usize = 500;
/// Largest number of occurrences created at once of all series of a batch, if each has at least
/// one.
const MAX_PER_BATCH: usize = 5_000;

/// An occurrence that is no longer pending: its notification and its due time.
pub type NoLongerPending = (Uuid, DateTime<Utc>);

/// Returns the notification and the due time of each claim.
#[must_use]
pub fn no_longer_pending<'a>(
    claims: impl IntoIterator<Item = &'a Claimed>,
) -> Vec<NoLongerPending> {
    claims.into_iter().map(|claimed| (claimed.notification_id, claimed.due_at)).collect()
}

/// Recurring notifications as they were read, by their ids.
#[derive(Debug, Default)]
pub struct DecodedSeries {
    /// Those that this binary can read.
    pub series: HashMap<Uuid, Series>,
    /// Versions of those that it cannot read.
    pub unreadable: HashMap<Uuid, i64>,
}

/// Next occurrences of series, by notification.
#[derive(Debug, Default)]
pub struct NextOccurrences {
    next: HashMap<Uuid, NextRows>,
    /// Versions of notifications whose rules this binary cannot read.
    unreadable: HashMap<Uuid, i64>,
}

/// Rows to create by their ids, each with its notification and its reason.
pub type RowsById<'a> = BTreeMap<Uuid, (Uuid, &'a NewRow, Option<Reason>)>;

/// Occurrences to create.
#[derive(Debug, Default)]
pub struct Following<'a> {
    /// The rows.
    pub rows: RowsById<'a>,
    /// Notifications whose times other time zone data may have moved.
    pub moved: Vec<Uuid>,
}

impl NextOccurrences {
    /// Computes the occurrences that follow the times which are no longer pending.
    #[must_use]
    pub fn compute(decoded: DecodedSeries, passed: &[NoLongerPending], edition: &str) -> Self {
        let DecodedSeries { series, unreadable } = decoded;
        let mut times: HashMap<Uuid, BTreeSet<DateTime<Utc>>> = HashMap::new();
        for (id, due) in passed {
            times.entry(*id).or_default().insert(*due);
        }
        let most = (MAX_PER_BATCH / series.len().max(1)).clamp(1, MAX_PER_SERIES);
        let next = series
            .into_iter()
            .filter_map(|(id, series)| Some((id, series.next(times.get(&id)?, most, edition))));
        Self { next: next.collect(), unreadable }
    }

    /// Returns `true` if an occurrence must stay pending because this binary cannot read its
    /// recurrence rule.
    #[must_use]
    pub fn must_stay_pending(&self, claimed: &Claimed) -> bool {
        self.unreadable.contains_key(&claimed.notification_id)
    }

    /// Keeps those that were computed from the present version of their notification. Returns the
    /// notifications that have another version, and must be computed anew.
    pub fn retain_versions(&mut self, present: HashMap<Uuid, i64>) -> Vec<Uuid> {
        self.next.retain(|id, next| present.get(id) == Some(&next.version));
        self.unreadable.retain(|id, version| present.get(id) == Some(version));
        let is_known = |id: &Uuid| self.next.contains_key(id) || self.unreadable.contains_key(id);
        present.into_keys().filter(|id| !is_known(id)).collect()
    }

    /// Adds those of further notifications.
    pub fn extend(&mut self, others: Self) {
        self.next.extend(others.next);
        self.unreadable.extend(others.unreadable);
    }

    /// Returns the occurrences that follow those which are no longer pending.
    #[must_use]
    pub fn following(&self, passed: &[NoLongerPending]) -> Following<'_> {
        let passed: BTreeSet<Uuid> = passed.iter().map(|(id, _)| *id).collect();
        let mut following = Following::default();
        for (id, next) in passed.iter().filter_map(|id| self.next.get_key_value(id)) {
            if next.reason.is_some() {
                following.moved.push(*id);
            }
            following.rows.extend(next.rows.iter().map(|row| (row.id, (*id, row, next.reason))));
        }
        following
    }
}
