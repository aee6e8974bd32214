//! Domain types of a reminder: its fields with their rules, its schedule, and its changes.

mod agenda;
mod channels;
mod conversions;
mod due_range;
mod floating;
mod given_time;
mod last_delivery;
mod listed_time;
mod occurrence_edit;
mod occurrence_texts;
mod pairs;
mod pause;
mod ranking;
mod recurrence;
mod schedule;
mod snooze_end;
mod split;
mod text;
mod upcoming;
mod user_zone;

use chrono::{DateTime, Utc};
use contract::Priority;
use uuid::Uuid;

pub use agenda::{Agenda, Entry, Position, Range};
pub use channels::{Channels, looks_like_an_address};
pub use due_range::DueRange;
pub use floating::Moved;
pub use given_time::{GivenTime, InvalidDueDate};
pub use last_delivery::LastDelivery;
pub use occurrence_edit::{EditRefusal, OccurrenceEdit};
pub use occurrence_texts::{ChangedOccurrence, TextChange, Texts};
pub use pairs::Pairs;
pub use pause::Paused;
pub use ranking::{ByNextAt, NO_DELIVERY, NextAt, Ranking};
pub use recurrence::{Fold, Gap, InvalidRecurrence, Recurrence};
pub use schedule::{ExpiresAfter, NotifyOffsets, Schedule, Status, TimeZone, due_date, instant};
pub use snooze_end::{InvalidSnoozeEnd, SnoozeEnd};
pub use split::Following;
pub use text::{Link, Locale, Message, Title};
pub use upcoming::{LatePlacement, NothingDelivered, Snooze, Upcoming};
pub use user_zone::UserZone;

/// Fault of one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidField {
    /// Name of the field in the API.
    pub field: &'static str,
    /// Rule that the value breaks.
    pub problem: String,
}

impl InvalidField {
    /// Fault of a field.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// Reason for which fields do not become a reminder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDetails {
    /// A field breaks its rule.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// The recurrence rule is invalid.
    #[error(transparent)]
    Recurrence(#[from] InvalidRecurrence),
    /// The local due date has no usable instant.
    #[error(transparent)]
    DueDate(#[from] InvalidDueDate),
}

/// Fields of a reminder that its user sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Due time, recurrence and delivery times.
    pub schedule: Schedule,
    /// Channels on which it is delivered.
    pub channels: Channels,
    /// Title.
    pub title: Option<Title>,
    /// Message.
    pub message: Message,
    /// Link that a tap opens.
    pub url: Option<Link>,
    /// Key-value pairs of the client.
    pub data: Pairs,
    /// Time after which a delivery that is late is no longer sent.
    pub expires_after: ExpiresAfter,
    /// Priority.
    pub priority: Priority,
    /// Language of the surrounding texts.
    pub locale: Option<Locale>,
}

/// A stored reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminder {
    /// Id.
    pub id: Uuid,
    /// Version; the first is 1.
    pub version: i64,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
    /// Time at which it got its present schedule. Earlier deliveries of that schedule were never
    /// sent.
    pub scheduled_at: DateTime<Utc>,
    /// Fields that the user sets.
    pub details: Details,
    /// Acknowledgement and snooze by the user.
    pub handled: Handled,
    /// Occurrences that were placed when some of their deliveries had passed.
    pub late_placements: Vec<LatePlacement>,
    /// Occurrences whose texts differ from those of the others, in order.
    pub changed_occurrences: Vec<ChangedOccurrence>,
    /// Time from which on nothing is delivered; `None` if the reminder is not paused.
    pub paused_at: Option<DateTime<Utc>>,
}

impl Reminder {
    /// A reminder that is not stored yet.
    #[must_use]
    pub fn new(id: Uuid, following: Following) -> Self {
        let Following { details, changed_occurrences } = following;
        let [created_at, updated_at, scheduled_at] = [DateTime::UNIX_EPOCH; 3];
        let (handled, late_placements, paused_at) = Default::default();
        Self {
            id,
            version: 1,
            created_at,
            updated_at,
            scheduled_at,
            details,
            handled,
            late_placements,
            changed_occurrences,
            paused_at,
        }
    }
}

/// Acknowledgement and snooze of the latest occurrences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handled {
    /// Occurrences up to this one are acknowledged.
    pub acknowledged: Option<DateTime<Utc>>,
    /// Time of the last acknowledgement; `None` if there was none, and the occurrences of a
    /// floating reminder were delivered before its zone changed.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// Occurrence that is delivered once more.
    pub snooze: Option<Snooze>,
}

/// A change of a reminder: fields that are `None` stay unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// New due date. A local one is in the new time zone, or in the present one if there is none.
    pub date: Option<GivenTime>,
    /// New time zone. Without a new date, the due date keeps its wall-clock time.
    pub time_zone: Option<TimeZone>,
    /// New offsets.
    pub offsets: Option<NotifyOffsets>,
    /// New rule, or removal of the rule.
    pub recurrence: Option<Option<Recurrence>>,
    /// Value of `isRecurring`, which must match the rule.
    pub is_recurring: Option<bool>,
    /// New channels.
    pub channels: Option<Channels>,
    /// New title, or its removal.
    pub title: Option<Option<Title>>,
    /// New message.
    pub message: Option<Message>,
    /// New link, or its removal.
    pub url: Option<Option<Link>>,
    /// New pairs that replace all present ones.
    pub data: Option<Pairs>,
    /// New expiry.
    pub expires_after: Option<ExpiresAfter>,
    /// New priority.
    pub priority: Option<Priority>,
    /// New language, or its removal.
    pub locale: Option<Option<Locale>>,
}

impl Change {
    /// Returns `true` if the change has a field of the schedule, even with the same value.
    #[must_use]
    pub fn reschedules(&self) -> bool {
        self.date.is_some()
            || self.time_zone.is_some()
            || self.offsets.is_some()
            || self.recurrence.is_some()
    }
}

impl Details {
    /// Applies a change.
    ///
    /// # Errors
    /// If the rule is invalid, `isRecurring` contradicts it, or a local due date has no usable
    /// instant.
    pub fn with(self, change: Change) -> Result<Self, InvalidDetails> {
        // A schedule that does not change is kept, even if its rule exceeds today's limits.
        let schedule = if change.reschedules() {
            let before = self.schedule;
            let time_zone = change.time_zone.unwrap_or(before.time_zone);
            let date = change.date.unwrap_or_else(|| before.date_in(time_zone));
            let recurrence = change.recurrence.unwrap_or(before.recurrence);
            Schedule::new(
                date.due_date(time_zone, recurrence.as_ref())?,
                time_zone,
                change.offsets.unwrap_or(before.offsets),
                recurrence,
            )?
        } else {
            self.schedule
        };
        check_is_recurring(change.is_recurring, schedule.recurrence.is_some())?;
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

/// Checks that `isRecurring` is true exactly if there is a rule.
///
/// # Errors
/// If it contradicts the rule.
pub fn check_is_recurring(
    is_recurring: Option<bool>,
    has_rule: bool,
) -> Result<(), InvalidRecurrence> {
    let problem = match (is_recurring, has_rule) {
        (Some(true), false) => "isRecurring: cannot be true without recurrence",
        (Some(false), true) => "isRecurring: cannot be false with recurrence",
        _ => return Ok(()),
    };
    Err(InvalidRecurrence(problem.to_owned()))
}

#[cfg(test)]
mod tests;
