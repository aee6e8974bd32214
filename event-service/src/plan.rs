//! Merges the versions of one notification that a batch brings into its new state. Pure: no
//! database access.
//!
//! The highest version wins. Each version on the way to it decides which delivery times are
//! required:
//!
//! - of a new notification: those that lie ahead; when none does, past ones that have not expired,
//!   which are delivered at once (a command that says "now");
//! - of a changed one: those that lay ahead when it was changed. A past one is kept when it was
//!   owed before and is still waiting, but never made anew: an edit does not fire again what has
//!   been.
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
use shared::contract::{Envelope, Reason, ReminderData};

use crate::incoming::{Change, Wanted};

/// Largest number of missed times of a recurring notification that a late event adds, besides the
/// next one.
const MOST_MADE_UP: usize = 100;
/// Longest time that an event may arrive after a later one of the same item: several visibility
/// timeouts of a queue.
const DISORDER: TimeDelta = TimeDelta::hours(1);

/// Stored state of a notification before the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Stored version.
    pub version: i64,
    /// `true` if the notification is active, `false` if it is a tombstone.
    pub active: bool,
    /// Time at which that version was made.
    pub changed_at: DateTime<Utc>,
    /// Delivery times of pending occurrences.
    pub waiting: Vec<DateTime<Utc>>,
    /// Delivery times of occurrences that were released or claimed, and have no outcome.
    pub released: Vec<DateTime<Utc>>,
    /// Dates of the instances that pending and released occurrences belong to, by delivery time.
    pub dates: BTreeMap<DateTime<Utc>, DateTime<Utc>>,
    /// Latest delivery time that is no longer pending.
    pub gone_until: Option<DateTime<Utc>>,
}

impl Known {
    /// Returns `true` if a change is newer. Of equal versions a deletion counts as newer: release
    /// 1.0.0 publishes deletions with the version of the deleted item.
    fn gives_way_to(&self, version: i64, change: &Change) -> bool {
        version > self.version || (version == self.version && self.active && change.is_delete())
    }
}

/// State of a notification after the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<'a> {
    /// Event of the highest version.
    pub event: &'a Envelope,
    /// Content and schedule; `None` if the notification is deleted.
    pub wanted: Option<&'a Wanted>,
    /// Delivery times.
    pub deliveries: BTreeMap<DateTime<Utc>, Delivery>,
}

impl Outcome<'_> {
    /// Content and schedule; `None` if the notification is deleted.
    #[must_use]
    pub fn data(&self) -> Option<&ReminderData> {
        self.wanted.map(|wanted| &wanted.data)
    }

    /// Returns `true` if the notification still has a delivery at this time, so that a released
    /// occurrence remains valid.
    #[must_use]
    pub fn still_has(&self, due: DateTime<Utc>) -> bool {
        let Some(wanted) = self.wanted else { return false };
        let snoozed = wanted.data.snooze.is_some_and(|snooze| snooze.until == due);
        let is_owed = |date| {
            !wanted.is_done_with(date) && !is_put_off(wanted, due, date, self.event.occurred_at)
        };
        snoozed || delivery_at(wanted, due).is_some_and(is_owed)
    }

    /// Returns the reason why an occurrence at this time is cancelled. `date` is that of its
    /// instance, if it is known.
    #[must_use]
    pub fn cancellation_reason(&self, due: DateTime<Utc>, date: Option<DateTime<Utc>>) -> Reason {
        let Some(wanted) = self.wanted else { return Reason::Deleted };
        let Some(date) = date.or_else(|| delivery_at(wanted, due)) else { return Reason::Edited };
        let snooze = wanted.data.snooze;
        if wanted.is_done_with(date) {
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
fn is_put_off(
    wanted: &Wanted,
    due: DateTime<Utc>,
    date: DateTime<Utc>,
    changed_at: DateTime<Utc>,
) -> bool {
    wanted
        .data
        .snooze
        .is_some_and(|snooze| snooze.date == date && due <= changed_at && due < snooze.until)
}

/// Returns the date of the instance that a delivery time belongs to.
fn delivery_at(wanted: &Wanted, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
    wanted.timetable.delivery_at(due).map(|delivery| delivery.date)
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
    pub owed: bool,
}

/// Merges the events of a batch into the new state of a notification. Returns `None` if no event is
/// newer than the stored version.
#[must_use]
pub fn settle<'a>(
    known: Option<&Known>,
    mut events: Vec<(&'a Envelope, &'a Change)>,
    now: DateTime<Utc>,
) -> Option<Outcome<'a>> {
    events.retain(|(event, change)| {
        known.is_none_or(|known| known.gives_way_to(event.version, change))
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
            Change::Create(wanted) => step.deliveries(wanted, true),
            Change::Update(wanted) => step.deliveries(wanted, first_seen),
        });
    }
    let (event, change) = events.last()?;
    let wanted = match change {
        Change::Create(wanted) | Change::Update(wanted) => Some(&**wanted),
        Change::Delete => None,
    };
    Some(Outcome { event, wanted, deliveries: before? })
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
    fn deliveries(&self, wanted: &Wanted, is_new: bool) -> Deliveries {
        let lifetime = TimeDelta::minutes(wanted.data.content.expires_after_minutes.into());
        let made = self.event.occurred_at;
        let times = self.times(wanted);
        let none_is_ahead = times.keys().all(|due| *due <= made);
        let deliveries = times.into_iter().filter_map(|(due, date)| {
            let expires_at = due + lifetime;
            let was_owed =
                self.before.and_then(|before| before.get(&due)).map(|delivery| delivery.owed);
            // Without an earlier version in the batch, the database knows whether it is waiting.
            let may_wait = self.before.is_none() || was_owed.is_some();
            let is_late = is_new && none_is_ahead && self.now <= expires_at;
            let owed = due > made
                || was_owed == Some(true)
                || is_late
                || self.is_overtaken_snooze(wanted, due);
            (owed || may_wait).then_some((due, Delivery { date, expires_at, owed }))
        });
        deliveries.collect()
    }

    /// Returns `true` if a delivery time that had passed when this version was made is that of a
    /// snooze whose own version may not have arrived: it lies after the stored version. If the
    /// snooze was applied before, requiring it again changes nothing.
    fn is_overtaken_snooze(&self, wanted: &Wanted, due: DateTime<Utc>) -> bool {
        let made = self.event.occurred_at;
        let earliest = made.checked_sub_signed(DISORDER).unwrap_or(made);
        let known_until = match self.known {
            Some(known) if known.active => known.changed_at.max(earliest),
            Some(_) => return false,
            None => earliest,
        };
        wanted.data.snooze.is_some_and(|snooze| snooze.until == due && due > known_until)
    }

    /// Candidate delivery times, each with the date of its instance.
    fn times(&self, wanted: &Wanted) -> BTreeMap<DateTime<Utc>, DateTime<Utc>> {
        let mut times: BTreeMap<_, _> = if wanted.data.recurrence.is_some() {
            self.past_times(wanted).chain(self.next_times(wanted)).collect()
        } else {
            let all = wanted.timetable.after(DateTime::<Utc>::MIN_UTC);
            all.map(|delivery| (delivery.at, delivery.date))
                .filter(|(_, date)| !wanted.is_done_with(*date))
                .collect()
        };
        times.retain(|due, date| !is_put_off(wanted, *due, *date, self.event.occurred_at));
        if let Some(snooze) = wanted.data.snooze {
            times.entry(snooze.until).or_insert(snooze.date);
        }
        times
    }

    /// Delivery times of a recurring notification that are pending and have passed.
    fn past_times(&self, wanted: &Wanted) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let in_batch = self.before.into_iter().flat_map(|before| before.keys());
        let known = self
            .known
            .filter(|_| self.before.is_none())
            .into_iter()
            .flat_map(|known| &known.waiting);
        let past = in_batch.chain(known).filter(|due| **due <= self.event.occurred_at);
        past.filter_map(|due| delivery_at(wanted, *due).map(|date| (*due, date)))
            .filter(|(_, date)| !wanted.is_done_with(*date))
    }

    /// Next delivery time of a recurring notification after the change, as computed when the event
    /// was decoded. If the event arrives so late that later times are no longer pending, the next
    /// one after those, with the times between. The next time is always included: without it the
    /// series would end.
    fn next_times(&self, wanted: &Wanted) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let made = self.event.occurred_at;
        let gone_until =
            self.known.and_then(|known| known.gone_until).map_or(made, |gone| gone.max(made));
        let is_late = gone_until > made;
        let after = |time| wanted.timetable.unacknowledged_after(time, wanted.data.acknowledged);
        let late = is_late.then(|| {
            after(made).take_while(move |delivery| delivery.at <= gone_until).take(MOST_MADE_UP)
        });
        let next = if is_late { after(gone_until).next() } else { wanted.next_after(made) };
        late.into_iter().flatten().chain(next).map(|delivery| (delivery.at, delivery.date))
    }
}

#[cfg(test)]
mod tests;
