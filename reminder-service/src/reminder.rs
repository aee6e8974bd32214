//! A reminder: what a user asked to be reminded of, when, and how it may change.

mod channels;
mod pairs;
mod recurrence;
mod schedule;
mod text;
mod upcoming;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use channels::{Channel, Channels, looks_like_an_address};
pub use pairs::Pairs;
pub use recurrence::{Fold, Gap, InvalidRecurrence, Recurrence};
pub use schedule::{ExpiresAfter, NotifyOffsets, Schedule, Status, TimeZone, due_date, instant};
pub use text::{Link, Locale, Message, Title};
pub use upcoming::{NothingDelivered, Snooze, Upcoming};

/// A field whose value breaks one of the rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidField {
    /// The field's name on the wire.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl InvalidField {
    /// A refusal that names the field.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// How urgent a reminder is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Priority {
    /// May wait.
    #[default]
    Normal,
    /// Wakes the device.
    High,
}

impl Priority {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// The priority that a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Normal, Self::High].into_iter().find(|it| it.as_str() == word)
    }
}

/// What the user decides of a reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// When it is due and when before that it is delivered.
    pub schedule: Schedule,
    /// The ways in which it is delivered.
    pub channels: Channels,
    /// A short heading.
    pub title: Option<Title>,
    /// The text.
    pub message: Message,
    /// What a tap opens.
    pub url: Option<Link>,
    /// The client's own pairs.
    pub data: Pairs,
    /// For how long after its time a delivery is still worth making.
    pub expires_after: ExpiresAfter,
    /// How urgent it is.
    pub priority: Priority,
    /// The language of the texts around it.
    pub locale: Option<Locale>,
}

/// A reminder as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminder {
    /// Its identity.
    pub id: Uuid,
    /// Which change of it this is; the first is 1.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it got its present schedule: deliveries of that schedule which lie before were never
    /// made.
    pub scheduled_at: DateTime<Utc>,
    /// What the user decided.
    pub details: Details,
    /// What the user did with the latest occurrence.
    pub handled: Handled,
}

/// What a user did with the latest occurrences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handled {
    /// Occurrences up to this one are acknowledged.
    pub acknowledged: Option<DateTime<Utc>>,
    /// One that comes once more.
    pub snooze: Option<Snooze>,
}

/// A change: what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Another due date.
    pub date: Option<DateTime<Utc>>,
    /// Another zone.
    pub time_zone: Option<TimeZone>,
    /// Other offsets.
    pub offsets: Option<NotifyOffsets>,
    /// Another rule, or none any more.
    pub recurrence: Option<Option<Recurrence>>,
    /// What the change says of whether it recurs; it must agree.
    pub is_recurring: Option<bool>,
    /// Other channels.
    pub channels: Option<Channels>,
    /// Another title, or none any more.
    pub title: Option<Option<Title>>,
    /// Another text.
    pub message: Option<Message>,
    /// Another link, or none any more.
    pub url: Option<Option<Link>>,
    /// Other pairs, in place of all that there are.
    pub data: Option<Pairs>,
    /// Another expiry.
    pub expires_after: Option<ExpiresAfter>,
    /// Another priority.
    pub priority: Option<Priority>,
    /// Another language, or none any more.
    pub locale: Option<Option<Locale>>,
}

impl Change {
    /// Returns `true` if it names a part of the schedule, be it the same as before.
    #[must_use]
    pub fn reschedules(&self) -> bool {
        self.date.is_some()
            || self.time_zone.is_some()
            || self.offsets.is_some()
            || self.recurrence.is_some()
    }
}

impl Details {
    /// These details with a change made to them.
    ///
    /// # Errors
    /// When the rule cannot be followed, or the change contradicts itself about whether there is
    /// one.
    pub fn with(self, change: Change) -> Result<Self, InvalidRecurrence> {
        // A schedule that nobody asks to change stays, even if its rule is beyond today's limits.
        let schedule = if change.reschedules() {
            Schedule::new(
                change.date.unwrap_or(self.schedule.date),
                change.time_zone.unwrap_or(self.schedule.time_zone),
                change.offsets.unwrap_or(self.schedule.offsets),
                change.recurrence.unwrap_or(self.schedule.recurrence),
            )?
        } else {
            self.schedule
        };
        agree(change.is_recurring, schedule.recurrence.is_some())?;
        Ok(Self {
            schedule,
            channels: change.channels.unwrap_or(self.channels),
            title: change.title.unwrap_or(self.title),
            message: change.message.unwrap_or(self.message),
            url: change.url.unwrap_or(self.url),
            data: change.data.unwrap_or(self.data),
            expires_after: change.expires_after.unwrap_or(self.expires_after),
            priority: change.priority.unwrap_or(self.priority),
            locale: change.locale.unwrap_or(self.locale),
        })
    }
}

/// `isRecurring` is true exactly when there is a rule.
///
/// # Errors
/// When it is said to be otherwise.
pub fn agree(is_recurring: Option<bool>, has_rule: bool) -> Result<(), InvalidRecurrence> {
    let problem = match (is_recurring, has_rule) {
        (Some(true), false) => "isRecurring: cannot be true without recurrence",
        (Some(false), true) => "isRecurring: cannot be false with recurrence",
        _ => return Ok(()),
    };
    Err(InvalidRecurrence(problem.to_owned()))
}

#[cfg(test)]
mod tests;
