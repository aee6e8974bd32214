//! Conversion of a row of `reminders` into a reminder.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::reminder::{
    ChangedOccurrence, Channels, Details, ExpiresAfter, Handled, LatePlacement, Link, Locale,
    Message, NotifyOffsets, Pairs, Recurrence, Reminder, Schedule, Snooze, TimeZone, Title,
};

/// A value with the database's time at which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// The value.
    pub value: T,
    /// Time at which the value was read.
    pub now: DateTime<Utc>,
}

pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) date: DateTime<Utc>,
    pub(super) time_zone: String,
    pub(super) is_floating: bool,
    pub(super) notify_offsets: Vec<i32>,
    pub(super) recurrence: Option<Json<contract::Recurrence>>,
    pub(super) acknowledged: Option<DateTime<Utc>>,
    pub(super) acknowledged_at: Option<DateTime<Utc>>,
    pub(super) snooze_date: Option<DateTime<Utc>>,
    pub(super) snooze_until: Option<DateTime<Utc>>,
    pub(super) late_dates: Vec<DateTime<Utc>>,
    pub(super) late_placed_at: Vec<DateTime<Utc>>,
    pub(super) paused_at: Option<DateTime<Utc>>,
    pub(super) changed_occurrences: Option<Json<Vec<contract::ChangedOccurrence>>>,
    pub(super) channels: Vec<String>,
    pub(super) title: Option<String>,
    pub(super) message: String,
    pub(super) url: Option<String>,
    pub(super) data: Json<BTreeMap<String, String>>,
    pub(super) expires_after_minutes: i32,
    pub(super) priority: String,
    pub(super) locale: Option<String>,
    pub(super) version: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) scheduled_at: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
    /// Total of the list; other queries select 0.
    pub(super) total: i64,
}

/// Error: a stored value is unknown to this version.
#[derive(Debug, thiserror::Error)]
#[error("reminder {id}: this version does not know the stored value of {column}")]
struct UnknownWord {
    id: Uuid,
    column: &'static str,
}

impl Row {
    /// Error of a stored value that is unknown to this version.
    pub(super) fn unknown(id: Uuid, column: &'static str) -> sqlx::Error {
        sqlx::Error::Decode(UnknownWord { id, column }.into())
    }

    pub(super) fn seen(self) -> Result<Seen<Reminder>, sqlx::Error> {
        let now = self.now;
        Ok(Seen { value: self.reminder()?, now })
    }

    pub(super) fn reminder(self) -> Result<Reminder, sqlx::Error> {
        let id = self.id;
        let unknown = |column| Self::unknown(id, column);
        let channels =
            self.channels.iter().map(|word| word.parse().ok()).collect::<Option<Vec<_>>>();
        let channels = channels
            .and_then(|channels| Channels::from_fields(None, Some(channels)).ok().flatten());
        let time_zone = TimeZone::parse(&self.time_zone).map_err(|_| unknown("time_zone"))?;
        let schedule = Schedule::stored(
            self.date,
            time_zone.with_floating(self.is_floating),
            NotifyOffsets::from_store(self.notify_offsets),
            self.recurrence.map(|stored| Recurrence::from(stored.0).from_store()),
        );
        let snooze =
            self.snooze_date.zip(self.snooze_until).map(|(date, until)| Snooze { date, until });
        // Of an acknowledgement of an earlier version only the change after it is known.
        // Occurrences of a floating reminder may be over without one.
        let known_at = self.acknowledged.filter(|_| !self.is_floating).map(|_| self.updated_at);
        let acknowledged_at = self.acknowledged_at.or(known_at);
        let handled = Handled { acknowledged: self.acknowledged, acknowledged_at, snooze };
        let late = self.late_dates.into_iter().zip(self.late_placed_at);
        let late_placements = late.map(|(date, placed_at)| LatePlacement { date, placed_at });
        let changed_occurrences = self.changed_occurrences.map(|stored| stored.0);
        let changed_occurrences =
            changed_occurrences.into_iter().flatten().map(ChangedOccurrence::from_store);
        let details = Details {
            schedule,
            channels: channels.ok_or_else(|| unknown("channels"))?,
            title: self.title.map(Title::from_store),
            message: Message::from_store(self.message),
            url: self.url.map(Link::from_store),
            data: Pairs::from_store(self.data.0),
            expires_after: ExpiresAfter::from_store(self.expires_after_minutes),
            priority: self.priority.parse().map_err(|_| unknown("priority"))?,
            locale: self.locale.map(Locale::from_store),
        };
        let Self { version, created_at, updated_at, scheduled_at, .. } = self;
        Ok(Reminder {
            id,
            version,
            created_at,
            updated_at,
            scheduled_at,
            details,
            handled,
            late_placements: late_placements.collect(),
            changed_occurrences: changed_occurrences.collect(),
            paused_at: self.paused_at,
        })
    }
}
