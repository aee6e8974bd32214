//! What becomes of one notification by the versions of it that a batch brings. Pure: it knows no database.
//!
//! The highest version wins; on the way there each version says which times of delivery are owed:
//!
//! - of a new notification: those that lie ahead; when none does, past ones that have not expired, which are delivered at
//!   once (a command that says "now");
//! - of a changed one: those that lay ahead when it was changed. A past one is kept when it was owed before and is still
//!   waiting, but never made anew: an edit does not fire again what has been.
//!
//! "Ahead" is measured from when the change was made, not from when its event arrived here: an event that comes late
//! loses no delivery. What has expired by then is owed all the same; the scheduler ends it as `suppressed: expired`.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::{Envelope, ReminderData};

use crate::intake::{Change, due_at};

/// What is known of a notification before the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its version.
    pub version: i64,
    /// Whether it is active; else it is a tombstone.
    pub active: bool,
}

impl Known {
    /// Whether a change is newer. Of equal versions the deletion is: the predecessor's carries the version of what it deletes.
    fn gives_way_to(self, version: i64, change: &Change) -> bool {
        version > self.version || (version == self.version && self.active && change.is_delete())
    }
}

/// What it is after the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<'a> {
    /// The event that decides: the one of the highest version.
    pub event: &'a Envelope,
    /// What it looks like; nothing when it is deleted.
    pub data: Option<&'a ReminderData>,
    /// Its times of delivery.
    pub deliveries: BTreeMap<DateTime<Utc>, Delivery>,
}

/// One time of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// What it reminds of.
    pub date: DateTime<Utc>,
    /// After this it is no longer sent.
    pub expires_at: DateTime<Utc>,
    /// Owed: made if it is not there, revived if it was cancelled. Otherwise only kept if it is still waiting.
    pub owed: bool,
}

/// Works out what becomes of a notification; nothing when no event is newer than what is known.
#[must_use]
pub fn settle<'a>(
    known: Option<Known>,
    mut events: Vec<(&'a Envelope, &'a Change)>,
    now: DateTime<Utc>,
) -> Option<Outcome<'a>> {
    events.retain(|(event, change)| known.is_none_or(|known| known.gives_way_to(event.version, change)));
    // Between equals the event id decides, so that every replica decides alike.
    events.sort_by_key(|(event, change)| (event.version, change.is_delete(), event.event_id));
    events.dedup_by_key(|(event, change)| (event.version, change.is_delete()));
    let mut before = None;
    for (event, change) in &events {
        let first_seen = before.is_none() && known.is_none_or(|known| !known.active);
        before = Some(match change {
            Change::Delete => BTreeMap::new(),
            Change::Create(data) => deliveries(event, data, true, before.as_ref(), now),
            Change::Update(data) => deliveries(event, data, first_seen, before.as_ref(), now),
        });
    }
    let (event, change) = events.last()?;
    let data = match change {
        Change::Create(data) | Change::Update(data) => Some(data),
        Change::Delete => None,
    };
    Some(Outcome { event, data, deliveries: before? })
}

fn deliveries(
    event: &Envelope,
    data: &ReminderData,
    is_new: bool,
    before: Option<&BTreeMap<DateTime<Utc>, Delivery>>,
    now: DateTime<Utc>,
) -> BTreeMap<DateTime<Utc>, Delivery> {
    let lifetime = TimeDelta::minutes(data.content.expires_after_minutes.into());
    let times = data.notify_offsets.iter().map(|offset| due_at(data.date, *offset));
    let none_is_ahead = times.clone().all(|due| due <= event.occurred_at);
    times
        .filter_map(|due| {
            let expires_at = due + lifetime;
            let ahead = due > event.occurred_at;
            let was_owed = before.and_then(|before| before.get(&due)).map(|delivery| delivery.owed);
            // Without an earlier version in the batch, the database knows whether it is waiting.
            let may_wait = before.is_none() || was_owed.is_some();
            let owed = ahead || was_owed == Some(true) || (is_new && none_is_ahead && now <= expires_at);
            (owed || may_wait).then_some((due, Delivery { date: data.date, expires_at, owed }))
        })
        .collect()
}

#[cfg(test)]
mod tests;
