//! Conversions of an entry of a calendar file into the fields of a reminder, and back.

use super::{Entry, Exported};
use crate::domain::reminder::{
    Channels, Details, ExpiresAfter, InvalidDetails, Link, Locale, Message, NotifyOffsets, Pairs,
    Recurrence, Reminder, Schedule, TimeZone, Title, due_date,
};

impl Entry {
    /// Fields of the reminder that the entry becomes.
    ///
    /// # Errors
    /// The first field that a reminder refuses; the rule comes last.
    pub fn details(&self) -> Result<Details, InvalidDetails> {
        let entry = self.clone();
        let date = due_date(&entry.date.to_rfc3339())?;
        let time_zone = TimeZone::parse(&entry.time_zone)?.with_floating(entry.is_floating);
        let offsets = NotifyOffsets::from_fields(None, Some(entry.notify_offsets))?;
        let message = Message::parse(entry.message)?;
        let channels = Channels::from_fields(None, entry.channels)?;
        let title = entry.title.map(Title::parse).transpose()?.flatten();
        let url = entry.url.map(Link::parse).transpose()?.flatten();
        let data = Pairs::parse(entry.data)?;
        let expires_after = entry.expires_after_minutes.map(ExpiresAfter::parse).transpose()?;
        let locale = entry.locale.map(Locale::parse).transpose()?;
        let recurrence = entry.recurrence.map(|rule| Recurrence::from(rule).parse()).transpose()?;
        let schedule = Schedule::new(date, time_zone, offsets.unwrap_or_default(), recurrence)?;
        schedule.check_fires()?;
        // Computed before a transaction begins; the schedule caches it.
        let _cached = schedule.last_at();
        Ok(Details {
            schedule,
            channels: channels.unwrap_or_default(),
            title,
            message,
            url,
            data,
            expires_after: expires_after.unwrap_or_default(),
            priority: entry.priority.unwrap_or_default(),
            locale,
        })
    }

    /// Fields of a stored reminder after an import of the entry, whose own fields are `details`:
    /// what the entry does not state stays as it is, and the schedule if `keeps_schedule`.
    #[must_use]
    pub fn over(&self, stored: &Details, details: Details, keeps_schedule: bool) -> Details {
        let stored = stored.clone();
        Details {
            schedule: if keeps_schedule { stored.schedule } else { details.schedule },
            channels: self.channels.as_ref().map_or(stored.channels, |_| details.channels),
            expires_after: self
                .expires_after_minutes
                .map_or(stored.expires_after, |_| details.expires_after),
            priority: self.priority.map_or(stored.priority, |_| details.priority),
            data: if self.data.is_empty() { stored.data } else { details.data },
            locale: details.locale.or(stored.locale),
            ..details
        }
    }
}

impl From<Reminder> for Exported {
    fn from(reminder: Reminder) -> Self {
        let Reminder { id, version, created_at, updated_at, details, .. } = reminder;
        let Details { schedule, channels, .. } = details;
        let time_zone = schedule.time_zone;
        let recurrence = schedule.recurrence.map(|rule| match time_zone.is_floating() {
            true => rule.by_wall_clock(time_zone.into()),
            false => rule,
        });
        Self {
            id: id.simple().to_string(),
            version,
            created_at,
            updated_at,
            date: schedule.date,
            time_zone: time_zone.name().to_owned(),
            is_floating: time_zone.is_floating(),
            recurrence: recurrence.map(Into::into),
            notify_offsets: schedule.offsets.as_slice().to_vec(),
            channels: channels.as_slice().to_vec(),
            title: details.title.map(Title::into_string),
            message: details.message.into_string(),
            url: details.url.map(Link::into_string),
            data: details.data.into_map(),
            expires_after_minutes: details.expires_after.minutes(),
            priority: details.priority,
            locale: details.locale.map(Locale::into_string),
        }
    }
}
