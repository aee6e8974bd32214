//! Texts of single occurrences that differ from those of the others.

use chrono::{DateTime, TimeDelta, Utc};
use contract::bounds::MAX_CHANGED_OCCURRENCES;
use time_zone::Zone;

use super::{
    Details, EditRefusal, Handled, Link, Message, Pairs, Reminder, Schedule, TimeZone, Title,
};

/// Texts of a reminder or of one occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// Title.
    pub title: Option<Title>,
    /// Message.
    pub message: Message,
    /// Link that a tap opens.
    pub url: Option<Link>,
    /// Key-value pairs of the client.
    pub data: Pairs,
}

/// An occurrence whose texts differ from those of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedOccurrence {
    /// Date of the occurrence.
    pub date: DateTime<Utc>,
    /// Texts of the occurrence.
    pub texts: Texts,
}

/// A change of texts: fields that are `None` stay unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextChange {
    /// New title, or its removal.
    pub title: Option<Option<Title>>,
    /// New message.
    pub message: Option<Message>,
    /// New link, or its removal.
    pub url: Option<Option<Link>>,
    /// New pairs that replace all present ones.
    pub data: Option<Pairs>,
}

impl Texts {
    pub(super) fn with(self, change: TextChange) -> Self {
        Self {
            title: change.title.unwrap_or(self.title),
            message: change.message.unwrap_or(self.message),
            url: change.url.unwrap_or(self.url),
            data: change.data.unwrap_or(self.data),
        }
    }
}

impl Details {
    /// Changes the texts of all occurrences.
    pub(super) fn change_texts(&mut self, change: TextChange) {
        let Texts { title, message, url, data } = self.texts().with(change);
        (self.title, self.message, self.url, self.data) = (title, message, url, data);
    }

    pub(super) fn texts(&self) -> Texts {
        Texts {
            title: self.title.clone(),
            message: self.message.clone(),
            url: self.url.clone(),
            data: self.data.clone(),
        }
    }
}

impl Reminder {
    /// Title of the occurrence of a date.
    #[must_use]
    pub fn title_of(&self, date: DateTime<Utc>) -> Option<&Title> {
        let changed = self.changed_occurrences.iter().find(|changed| changed.date == date);
        changed.map_or(self.details.title.as_ref(), |changed| changed.texts.title.as_ref())
    }

    /// Changes the texts of the occurrence of a date. They are no longer kept apart if they are
    /// those of the reminder.
    pub(super) fn change_texts(
        &mut self,
        date: DateTime<Utc>,
        change: TextChange,
        now: DateTime<Utc>,
    ) -> Result<(), EditRefusal> {
        self.drop_outdated_texts(now);
        let of_reminder = self.details.texts();
        let at = self.changed_occurrences.iter().position(|changed| changed.date == date);
        let before = at.map(|at| self.changed_occurrences.remove(at).texts);
        let texts = before.unwrap_or_else(|| of_reminder.clone()).with(change);
        if texts == of_reminder {
            return Ok(());
        }
        if self.changed_occurrences.len() >= MAX_CHANGED_OCCURRENCES {
            return Err(EditRefusal::TooManyTexts);
        }
        self.changed_occurrences.push(ChangedOccurrence { date, texts });
        self.changed_occurrences.sort_by_key(|changed| changed.date);
        Ok(())
    }

    /// Adapts what belongs to single occurrences after the schedule was changed. A new schedule has
    /// other occurrences: acknowledgement and snooze of the old ones are reset.
    pub fn start_new_schedule(&mut self, before: &Schedule, now: DateTime<Utc>) {
        self.handled = Handled::default();
        self.late_placements.clear();
        self.move_texts_from(before.time_zone);
        self.drop_outdated_texts(now);
    }

    /// Keeps the texts of occurrences whose wall-clock times stay the same in another zone.
    pub(super) fn move_texts_from(&mut self, before: TimeZone) {
        let (before, zone) = (Zone::from(before), Zone::from(self.details.schedule.time_zone));
        if before.name() == zone.name() {
            return;
        }
        for changed in &mut self.changed_occurrences {
            let moved = zone.instant(before.wall_clock(changed.date));
            changed.date = moved.unwrap_or(changed.date);
        }
    }

    /// Drops the texts of occurrences that the schedule does not have any more, or that have
    /// expired; those of a snoozed one stay.
    pub fn drop_outdated_texts(&mut self, now: DateTime<Utc>) {
        let schedule = self.details.schedule.schedule();
        let expiry = TimeDelta::minutes(self.details.expires_after.minutes().into());
        let snoozed = self.handled.snooze.map(|snooze| snooze.date);
        self.changed_occurrences.retain(|changed| {
            let is_sent_later = changed.date.checked_add_signed(expiry).is_none_or(|at| at > now);
            (is_sent_later || snoozed == Some(changed.date))
                && schedule.has_occurrence(changed.date)
        });
    }
}
