//! Merges the versions of one notification that a batch brings into its new state. Pure: no
//! database access.
//!
//! The highest version wins. Each version on the way to it decides which delivery times are
//! required:
//!
//! - of a new notification: those that lie ahead; if none does, past ones that have not expired,
//!   which are delivered at once (a command that says "now");
//! - of a changed one: those that lay ahead when it was changed. A past one is kept if it was
//!   required before and is still pending, but it is never created again: an edit does not repeat a
//!   delivery.
//!
//! Of a recurring notification only the next time is required, and the one after it once that is
//! released. A snooze is required in addition, and in place of those delivery times of the snoozed
//! occurrence that were due and are not sent. No delivery time of an acknowledged occurrence is
//! required. A snooze whose time has passed was requested by an earlier version: if that version
//! never arrived (a later one superseded it), the snooze is required all the same.
//!
//! "Ahead" is measured from the time of the change, not from the arrival of its event: an event
//! that arrives late loses no delivery. A delivery time that has expired by then is required all
//! the same; the scheduler ends it as `suppressed: EXPIRED`.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use contract::{Envelope, Reason, ReminderData};

use super::incoming::{Change, RequestedNotification};

/// Largest number of missed times of a recurring notification that a late event adds, besides the
/// next one.
const MAX_MISSED_TIMES: usize = 100;
/// Longest time that an event may arrive after a later one of the same item: several visibility
/// timeouts of a queue.
const MAX_EVENT_DELAY: TimeDelta = TimeDelta::hours(1);

/// Stored state of a notification before the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Stored version.
    pub version: i64,
    /// `true` if the notification is active, `false` if it is a tombstone.
    pub active: bool,
    /// Time of that version.
    pub changed_at: DateTime<Utc>,
    /// Delivery times of pending occurrences.
    pub pending: Vec<DateTime<Utc>>,
    /// Delivery times of occurrences that were released or claimed, and have no outcome.
    pub released: Vec<DateTime<Utc>>,
    /// Dates of the instances that pending and released occurrences belong to, by delivery time.
    pub dates: BTreeMap<DateTime<Utc>, DateTime<Utc>>,
    /// Latest delivery time that is no longer pending.
    pub passed_until: Option<DateTime<Utc>>,
}

impl Known {
    /// Returns `true` if a change is newer. Of equal versions a deletion counts as newer: release
    /// 1.0.0 publishes deletions with the version of the deleted item.
    fn is_superseded_by(&self, version: i64, change: &Change) -> bool {
        version > self.version || (version == self.version && self.active && change.is_delete())
    }
}

/// State of a notification after the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<'a> {
    /// Event of the highest version.
    pub event: &'a Envelope,
    /// Content and schedule; `None` if the notification is deleted.
    pub requested: Option<&'a RequestedNotification>,
    /// Delivery times.
    pub deliveries: BTreeMap<DateTime<Utc>, Delivery>,
}

impl Plan<'_> {
    /// Content and schedule; `None` if the notification is deleted.
    #[must_use]
    pub fn data(&self) -> Option<&ReminderData> {
        self.requested.map(|requested| &requested.data)
    }

    /// Returns `true` if the notification still has a delivery at this time, so that a released
    /// occurrence remains valid.
    #[must_use]
    pub fn still_includes(&self, due: DateTime<Utc>) -> bool {
        let Some(requested) = self.requested else { return false };
        let snoozed = requested.data.snooze.is_some_and(|snooze| snooze.until == due);
        let is_required = |date| {
            !requested.is_acknowledged(date)
                && !is_replaced_by_snooze(requested, due, date, self.event.occurred_at)
        };
        snoozed || delivery_at(requested, due).is_some_and(is_required)
    }

    /// Returns the date of the instance that a delivery time belongs to.
    #[must_use]
    pub fn date_at(&self, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.requested.and_then(|requested| delivery_at(requested, due))
    }

    /// Returns the reason why an occurrence at this time is cancelled. `date` is that of its
    /// instance, if it is known.
    #[must_use]
    pub fn cancellation_reason(&self, due: DateTime<Utc>, date: Option<DateTime<Utc>>) -> Reason {
        let Some(requested) = self.requested else { return Reason::Deleted };
        if requested.data.paused {
            return Reason::Paused;
        }
        let Some(date) = date.or_else(|| delivery_at(requested, due)) else {
            return Reason::Edited;
        };
        let snooze = requested.data.snooze;
        if requested.is_acknowledged(date) {
            Reason::Acknowledged
        } else if snooze.is_some_and(|snooze| snooze.date == date && due < snooze.until) {
            Reason::Snoozed
        } else {
            Reason::Edited
        }
    }
}

/// Returns `true` if a delivery is replaced by the snooze: it belongs to the snoozed occurrence and
/// its time had passed when the snooze was requested. If it is not sent yet, it is sent at the time
/// of the snooze instead.
fn is_replaced_by_snooze(
    requested: &RequestedNotification,
    due: DateTime<Utc>,
    date: DateTime<Utc>,
    changed_at: DateTime<Utc>,
) -> bool {
    requested
        .data
        .snooze
        .is_some_and(|snooze| snooze.date == date && due <= changed_at && due < snooze.until)
}

/// Returns the date of the instance that a delivery time belongs to.
fn delivery_at(requested: &RequestedNotification, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
    requested.schedule.delivery_at(due).map(|delivery| delivery.date)
}

/// One delivery time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Date of the instance.
    pub date: DateTime<Utc>,
    /// Time after which the occurrence is no longer sent.
    pub expires_at: DateTime<Utc>,
    /// `true` if the occurrence is required: created if missing, made pending again if it was
    /// cancelled. `false` if it is only kept where it is still pending.
    pub required: bool,
}

/// Merges the events of a batch into the new state of a notification. Returns `None` if no event is
/// newer than the stored version.
#[must_use]
pub fn merge<'a>(
    known: Option<&Known>,
    mut events: Vec<(&'a Envelope, &'a Change)>,
    now: DateTime<Utc>,
) -> Option<Plan<'a>> {
    events.retain(|(event, change)| {
        known.is_none_or(|known| known.is_superseded_by(event.version, change))
    });
    // Between equals the event id decides, so that every replica decides alike.
    events.sort_by_key(|(event, change)| (event.version, change.is_delete(), event.event_id));
    events.dedup_by_key(|(event, change)| (event.version, change.is_delete()));
    let mut before = None;
    for (event, change) in &events {
        let first_seen = before.is_none() && known.is_none_or(|known| !known.active);
        let step = Step { event, known, before: before.as_ref(), now };
        before = Some(match change {
            Change::Delete => BTreeMap::new(),
            Change::Create(requested) => step.deliveries(requested, true),
            Change::Update(requested) => step.deliveries(requested, first_seen),
        });
    }
    let (event, change) = events.last()?;
    let requested = match change {
        Change::Create(requested) | Change::Update(requested) => Some(&**requested),
        Change::Delete => None,
    };
    Some(Plan { event, requested, deliveries: before? })
}

/// Delivery times, in order.
type Deliveries = BTreeMap<DateTime<Utc>, Delivery>;

/// One of the versions that a batch merges.
struct Step<'a> {
    event: &'a Envelope,
    known: Option<&'a Known>,
    before: Option<&'a Deliveries>,
    now: DateTime<Utc>,
}

impl Step<'_> {
    fn deliveries(&self, requested: &RequestedNotification, is_new: bool) -> Deliveries {
        let lifetime = TimeDelta::minutes(requested.data.content.expires_after_minutes.into());
        let made = self.event.occurred_at;
        let times = self.times(requested);
        let none_is_ahead = times.keys().all(|due| *due <= made);
        let deliveries = times.into_iter().filter_map(|(due, date)| {
            let expires_at = due + lifetime;
            let was_required =
                self.before.and_then(|before| before.get(&due)).map(|delivery| delivery.required);
            // Without an earlier version in the batch, the database knows whether it is pending.
            let may_wait = self.before.is_none() || was_required.is_some();
            let is_late = is_new && none_is_ahead && self.now <= expires_at;
            let required = due > made
                || was_required == Some(true)
                || is_late
                || self.is_superseded_snooze(requested, due);
            (required || may_wait).then_some((due, Delivery { date, expires_at, required }))
        });
        deliveries.collect()
    }

    /// Returns `true` if a delivery time that had passed when this version was made is that of a
    /// snooze whose own version may not have arrived: it lies after the stored version. If the
    /// snooze was applied before, requiring it again changes nothing.
    fn is_superseded_snooze(&self, requested: &RequestedNotification, due: DateTime<Utc>) -> bool {
        let made = self.event.occurred_at;
        let earliest = made.checked_sub_signed(MAX_EVENT_DELAY).unwrap_or(made);
        let known_until = match self.known {
            Some(known) if known.active => known.changed_at.max(earliest),
            Some(_) => return false,
            None => earliest,
        };
        requested.data.snooze.is_some_and(|snooze| snooze.until == due && due > known_until)
    }

    /// Candidate delivery times, each with the date of its instance.
    fn times(&self, requested: &RequestedNotification) -> BTreeMap<DateTime<Utc>, DateTime<Utc>> {
        let mut times: BTreeMap<_, _> = if requested.data.recurrence.is_some() {
            self.past_times(requested).chain(self.next_times(requested)).collect()
        } else {
            let all = requested.schedule.after(DateTime::<Utc>::MIN_UTC);
            all.map(|delivery| (delivery.at, delivery.date))
                .filter(|(_, date)| !requested.is_acknowledged(*date))
                .collect()
        };
        times.retain(|due, date| {
            !is_replaced_by_snooze(requested, *due, *date, self.event.occurred_at)
        });
        if let Some(snooze) = requested.data.snooze {
            times.entry(snooze.until).or_insert(snooze.date);
        }
        times
    }

    /// Delivery times of a recurring notification that are pending and have passed.
    fn past_times(
        &self,
        requested: &RequestedNotification,
    ) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let in_batch = self.before.into_iter().flat_map(|before| before.keys());
        let known = self
            .known
            .filter(|_| self.before.is_none())
            .into_iter()
            .flat_map(|known| &known.pending);
        let past = in_batch.chain(known).filter(|due| **due <= self.event.occurred_at);
        past.filter_map(|due| delivery_at(requested, *due).map(|date| (*due, date)))
            .filter(|(_, date)| !requested.is_acknowledged(*date))
    }

    /// Next delivery time of a recurring notification after the change, as computed when the event
    /// was decoded. If the event arrives so late that later times are no longer pending, the next
    /// one after those, with the times between. The next time is always included: without it the
    /// series would end.
    fn next_times(
        &self,
        requested: &RequestedNotification,
    ) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let made = self.event.occurred_at;
        let passed_until =
            self.known.and_then(|known| known.passed_until).map_or(made, |gone| gone.max(made));
        let is_late = passed_until > made;
        let after =
            |time| requested.schedule.unacknowledged_after(time, requested.data.acknowledged);
        let late = is_late.then(|| {
            after(made)
                .take_while(move |delivery| delivery.at <= passed_until)
                .take(MAX_MISSED_TIMES)
        });
        let next = if is_late { after(passed_until).next() } else { requested.next_after(made) };
        late.into_iter().flatten().chain(next).map(|delivery| (delivery.at, delivery.date))
    }
}

#[cfg(test)]
mod tests;
