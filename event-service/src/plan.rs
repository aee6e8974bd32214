//! What becomes of one notification by the versions of it that a batch brings. Pure: it knows no
//! database.
//!
//! The highest version wins; on the way there each version says which times of delivery are owed:
//!
//! - of a new notification: those that lie ahead; when none does, past ones that have not expired,
//!   which are delivered at once (a command that says "now");
//! - of a changed one: those that lay ahead when it was changed. A past one is kept when it was
//!   owed before and is still waiting, but never made anew: an edit does not fire again what has
//!   been.
//!
//! Of one that recurs, the next time alone is owed, and the one after it once it is released; a
//! snooze is owed beside it, and in place of what was due of the snoozed occurrence and has not
//! gone out. What belongs to an acknowledged occurrence is not delivered any more. A snooze that is
//! past was asked for by an earlier version: where that version never came (it was overtaken on the
//! way), it is owed all the same.
//!
//! "Ahead" is measured from when the change was made, not from when its event arrived here: an
//! event that comes late loses no delivery. What has expired by then is owed all the same; the
//! scheduler ends it as `suppressed: EXPIRED`.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::{Envelope, ReminderData};

use crate::intake::{Change, Wanted};

/// Times of a recurring notification that an event that came late makes up for at the most, beside
/// the next one.
const MOST_MADE_UP: usize = 100;
/// For how long an event may be behind a later one of the same item: several visibility timeouts of
/// a queue.
const DISORDER: TimeDelta = TimeDelta::hours(1);

/// What is known of a notification before the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its version.
    pub version: i64,
    /// Whether it is active; else it is a tombstone.
    pub active: bool,
    /// When that version was made.
    pub changed_at: DateTime<Utc>,
    /// Its times of delivery that wait.
    pub waiting: Vec<DateTime<Utc>>,
    /// Its times of delivery that were released, or claimed to be, and have not ended.
    pub released: Vec<DateTime<Utc>>,
    /// The latest of those that no longer wait.
    pub gone_until: Option<DateTime<Utc>>,
}

impl Known {
    /// Whether a change is newer. Of equal versions the deletion is: the predecessor's carries the
    /// version of what it deletes.
    fn gives_way_to(&self, version: i64, change: &Change) -> bool {
        version > self.version || (version == self.version && self.active && change.is_delete())
    }
}

/// What it is after the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<'a> {
    /// The event that decides: the one of the highest version.
    pub event: &'a Envelope,
    /// What it looks like; nothing when it is deleted.
    pub wanted: Option<&'a Wanted>,
    /// Its times of delivery.
    pub deliveries: BTreeMap<DateTime<Utc>, Delivery>,
}

impl Outcome<'_> {
    /// What it looks like; nothing when it is deleted.
    #[must_use]
    pub fn data(&self) -> Option<&ReminderData> {
        self.wanted.map(|wanted| &wanted.data)
    }

    /// Whether what was released for a time of delivery still belongs to it.
    #[must_use]
    pub fn still_has(&self, due: DateTime<Utc>) -> bool {
        let Some(wanted) = self.wanted else { return false };
        let snoozed = wanted.data.snooze.is_some_and(|snooze| snooze.until == due);
        let is_owed = |date| {
            !wanted.is_done_with(date) && !is_put_off(wanted, due, date, self.event.occurred_at)
        };
        snoozed || delivery_at(wanted, due).is_some_and(is_owed)
    }
}

/// Returns whether a delivery that was past when its notification was changed, and that the snooze
/// is later than, is of the snoozed occurrence: where it has not gone out yet, it goes out at the
/// snooze's time instead.
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

/// The occurrence of a time of delivery.
fn delivery_at(wanted: &Wanted, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
    wanted.timetable.delivery_at(due).map(|delivery| delivery.date)
}

/// One time of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// What it reminds of.
    pub date: DateTime<Utc>,
    /// After this it is no longer sent.
    pub expires_at: DateTime<Utc>,
    /// Owed: made if it is not there, revived if it was cancelled. Otherwise only kept if it is
    /// still waiting.
    pub owed: bool,
}

/// Works out what becomes of a notification; nothing when no event is newer than what is known.
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

/// Times of delivery, by time.
type Deliveries = BTreeMap<DateTime<Utc>, Delivery>;

/// One version on the way to the newest.
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

    /// Returns whether a time that was past when this version was made is that of a snooze whose
    /// own version may not have come: it lies after the version that is known. Where it was made
    /// before, making it again changes nothing.
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

    /// The times that may be owed, and the occurrence of each.
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

    /// Of one that recurs: what was waiting and is past.
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

    /// Of one that recurs: the next after it was changed, which was found when the event was read;
    /// and when the event comes so late that later ones are gone already, the next after those,
    /// with what lies between. The next is always among them: without it the series would stand
    /// still.
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
