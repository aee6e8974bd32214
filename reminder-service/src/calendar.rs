//! Reminders as calendar files (iCalendar, RFC 5545): what a file asks for ([`read`]), and
//! reminders as a file ([`write()`]).
//!
//! A file of another product is taken as far as it can be: what cannot is refused by its line, and
//! the rest goes on. The `icalendar` crate reads and writes single content lines (names,
//! parameters, escapes, folding). Lines, components and their nesting are read here, because its
//! parser gives up a whole file at the first bad line, knows no line numbers of the file as it was
//! sent, unfolds only text that is UTF-8 already, and nests without a bound; they are written here,
//! because its builder puts a `DTSTAMP` and a `UID` into every component, which time zones and
//! alarms must not have.
//!
//! Choices where the format leaves one:
//! - An all-day entry without alarms is due at 09:00 of its day. With alarms it is due at midnight,
//!   from which alarms are counted (`-PT15H` is 09:00 of the day before), or at the time of its
//!   latest alarm within the day (`PT9H`).
//! - A single entry in UTC takes the calendar's zone (`X-WR-TIMEZONE`) for its wall clock; a
//!   recurring one stays in UTC, where its rule is meant.
//! - An instance that was changed on its own (`RECURRENCE-ID`) is left out of its series and
//!   becomes a single entry.
//! - Alarms in seconds are rounded up to whole minutes before the date.

mod alarms;
mod component;
mod entry;
mod lines;
mod property;
mod read;
mod recurring;
mod texts;
mod times;
mod vtimezone;
mod write;
mod x_properties;
mod zones;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared::contract::{Channel, Priority, Recurrence};

pub use read::read;
pub use write::{Calendar, write};

/// The most entries that are taken from one file.
pub const MAX_ENTRIES: usize = 1_000;

/// The most refusals, and the most notes, that a file is answered with; one more says that there
/// are others.
const MAX_TOLD: usize = 1_000;
/// The most characters of a UID (RFC 7986 §5.3 recommends 255 bytes).
const MAX_UID: usize = 1_000;

/// What a file asks for; each list in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// What can be taken.
    pub entries: Vec<Entry>,
    /// What cannot.
    pub refused: Vec<Refused>,
    /// What an entry was taken without.
    pub notes: Vec<Note>,
}

/// An event or a task, in the terms of a reminder. The last five are only ever in files that were
/// written here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line on which it begins; the first is 1.
    pub line: usize,
    /// Its identity in the calendar that it comes from.
    pub uid: Option<String>,
    /// Which instance of the `uid`'s series it replaces, as an exclusion is written; none for what
    /// stands for itself.
    pub instance: Option<String>,
    /// When it is due; DTSTART of a recurring one.
    pub date: DateTime<Utc>,
    /// The IANA zone of its wall clock.
    pub time_zone: String,
    /// How it recurs. The rule has the form of one, and may still be one that no reminder can have.
    pub recurrence: Option<Recurrence>,
    /// Minutes before `date`: 1 to 5, ascending, each 0 to 40,320.
    pub notify_offsets: Vec<i32>,
    /// One line of at most 200 characters.
    pub title: Option<String>,
    /// 1 to 2,000 characters.
    pub message: String,
    /// An http or https address.
    pub url: Option<String>,
    /// The channels, in alphabetical order.
    pub channels: Option<Vec<Channel>>,
    /// The client's own pairs.
    pub data: BTreeMap<String, String>,
    /// Minutes after its time in which a delivery is still made.
    pub expires_after_minutes: Option<i32>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// A BCP 47 language tag.
    pub locale: Option<String>,
}

/// Something that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line of the component, or of the property in it that is the reason.
    pub line: usize,
    /// The component's identity.
    pub uid: Option<String>,
    /// The component's heading.
    pub summary: Option<String>,
    /// Why, for the user.
    pub reason: String,
}

/// Something that an entry was taken without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The line of the property or component.
    pub line: usize,
    /// The entry's identity; none for what is not an entry's.
    pub uid: Option<String>,
    /// What was left out and why, for the user.
    pub text: String,
}

/// A reminder to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Its identity, as clients know it.
    pub id: String,
    /// Which change of it this is; the first is 1.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it is due.
    pub date: DateTime<Utc>,
    /// The IANA zone of its wall clock.
    pub time_zone: String,
    /// How it recurs.
    pub recurrence: Option<Recurrence>,
    /// Minutes before `date`.
    pub notify_offsets: Vec<i32>,
    /// The ways in which it is delivered.
    pub channels: Vec<Channel>,
    /// A short heading.
    pub title: Option<String>,
    /// The text.
    pub message: String,
    /// What a tap opens.
    pub url: Option<String>,
    /// The client's own pairs.
    pub data: BTreeMap<String, String>,
    /// Minutes after its time in which a delivery is still made.
    pub expires_after_minutes: i32,
    /// How urgent it is.
    pub priority: Priority,
    /// The language of the texts around it.
    pub locale: Option<String>,
}

/// Why a component cannot be taken: the line of the property that is the reason, and the reason.
#[derive(Debug)]
struct Problem {
    line: usize,
    reason: String,
}

impl Problem {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into() }
    }
}

/// Refusals or notes: as many as are told of, and the number of the others.
#[derive(Debug)]
struct Told<T> {
    list: Vec<T>,
    untold: usize,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { list: Vec::new(), untold: 0 }
    }
}

impl<T> Told<T> {
    /// Adds one, which is not even made when there are enough.
    fn add(&mut self, one: impl FnOnce() -> T) {
        if self.list.len() < MAX_TOLD {
            self.list.push(one());
        } else {
            self.untold += 1;
        }
    }

    /// A text that tells of the others, if there are any.
    fn others(&self) -> Option<String> {
        (self.untold > 0)
            .then(|| format!("{} more, which are not told of: only {MAX_TOLD} are", self.untold))
    }
}

/// A text of a file as it is shown to the user: one line, not long.
fn shown(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(200).collect()
}

#[cfg(test)]
mod tests;
