//! Import and export of reminders as calendar files (iCalendar, RFC 5545): [`read`] and
//! [`write()`].
//!
//! A file of another product is imported as far as possible: a component that cannot be imported is
//! refused with its line number, and the rest of the file is still read. The `icalendar` crate
//! reads and writes single content lines (names, parameters, escapes, folding). Lines, components
//! and their nesting are read here, because its parser rejects a whole file at the first bad line,
//! keeps no line numbers of the original file, unfolds only valid UTF-8, and nests without a bound.
//! They are written here, because its builder adds a `DTSTAMP` and a `UID` to every component,
//! which time zones and alarms must not have.
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
mod conversions;
mod default_title;
mod defined;
mod entry;
mod identity;
mod instances;
mod lines;
mod property;
mod read;
mod recurring;
mod rule;
mod split;
mod texts;
mod times;
mod vtimezone;
mod write;
mod x_properties;
mod zones;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::{Channel, Priority, Recurrence};

pub use default_title::Languages;
pub use entry::Version;
pub use identity::{Counterpart, Digest, Identity, LastImport, Unchanged, identities};
pub use read::{Defaults, needs_zone, read};
pub use write::{Calendar, write};

/// Largest number of entries that are imported from one file.
pub const MAX_ENTRIES: usize = 1_000;

/// Largest number of refusals, and of notes, in one answer; one more entry counts the others.
const MAX_REPORTED: usize = 1_000;
/// End of the UIDs of exported reminders, behind their ids.
const OWN_DOMAIN: &str = "@reminders";
/// Largest number of characters of a UID (RFC 7986 §5.3 recommends 255 bytes).
const MAX_UID: usize = 1_000;

/// Result of reading a calendar file; each list is in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// Entries that can become reminders.
    pub entries: Vec<Entry>,
    /// Components and lines that cannot be imported.
    pub refused: Vec<Refused>,
    /// Parts of entries that were left out.
    pub notes: Vec<Note>,
}

impl Import {
    /// Returns `true` if an entry is delivered by e-mail because of its alarms.
    #[must_use]
    pub fn has_email_alarms(&self) -> bool {
        self.entries.iter().any(|entry| entry.email_alarm.is_some())
    }

    /// Delivers by push the entries that would be delivered by e-mail because of their alarms, and
    /// notes the reason. Without room for a note on each of them, one note is about all.
    pub fn replace_email_alarms(&mut self, reason: &str) {
        let replaced = self.entries.iter_mut().filter(|entry| entry.email_alarm.is_some());
        let notes = replaced.filter_map(|entry| {
            entry.channels = None;
            let text = format!("an alarm by e-mail is delivered by push: {reason}");
            Some(Note { line: entry.email_alarm.take()?, uid: entry.uid.clone(), text })
        });
        let mut notes: Vec<_> = notes.collect();
        if self.notes.len() + notes.len() > MAX_REPORTED {
            notes.truncate(1);
            for note in &mut notes {
                note.uid = None;
                note.text = format!("all alarms by e-mail are delivered by push: {reason}");
            }
        }
        self.notes.extend(notes);
        self.notes.sort_by_key(|note| note.line);
    }
}

/// An event or a task as the fields of a reminder. Only files that this service exported have the
/// last four fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line on which it begins; the first is 1.
    pub line: usize,
    /// UID of the entry in the calendar that it comes from.
    pub uid: Option<String>,
    /// Instance of the series `uid` that the entry replaces, in the form of an exclusion; `None`
    /// for an independent entry.
    pub instance: Option<String>,
    /// Version of the entry.
    pub version: Version,
    /// When it is due; DTSTART of a recurring one.
    pub date: DateTime<Utc>,
    /// The IANA zone of its wall clock.
    pub time_zone: String,
    /// `true` if it follows the zone of its user, which `time_zone` is now.
    pub is_floating: bool,
    /// Recurrence rule. Its syntax was checked; a reminder may still refuse it.
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
    /// Line of the alarm by e-mail from which the channels are taken.
    pub email_alarm: Option<usize>,
    /// The client's own pairs.
    pub data: BTreeMap<String, String>,
    /// Minutes after the due time during which a delivery is still sent.
    pub expires_after_minutes: Option<i32>,
    /// Priority.
    pub priority: Option<Priority>,
    /// A BCP 47 language tag.
    pub locale: Option<String>,
}

/// A component or line that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line of the component, or of the property in it that is the reason.
    pub line: usize,
    /// UID of the component.
    pub uid: Option<String>,
    /// Summary of the component.
    pub summary: Option<String>,
    /// Reason, for the user.
    pub reason: String,
}

/// A part of an entry that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The line of the property or component.
    pub line: usize,
    /// UID of the entry; `None` if the line belongs to no entry.
    pub uid: Option<String>,
    /// The part that was left out and the reason, for the user.
    pub text: String,
}

/// A reminder to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Id, as clients know it.
    pub id: String,
    /// Version; the first is 1.
    pub version: i64,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
    /// Due time.
    pub date: DateTime<Utc>,
    /// The IANA zone of its wall clock.
    pub time_zone: String,
    /// `true` if it follows the zone of its user, which `time_zone` is now.
    pub is_floating: bool,
    /// Recurrence rule; of a floating one without instants.
    pub recurrence: Option<Recurrence>,
    /// Minutes before `date`.
    pub notify_offsets: Vec<i32>,
    /// Channels on which it is delivered.
    pub channels: Vec<Channel>,
    /// A short heading.
    pub title: Option<String>,
    /// The text.
    pub message: String,
    /// Link that a tap opens.
    pub url: Option<String>,
    /// The client's own pairs.
    pub data: BTreeMap<String, String>,
    /// Minutes after the due time during which a delivery is still sent.
    pub expires_after_minutes: i32,
    /// Priority.
    pub priority: Priority,
    /// The language of the texts around it.
    pub locale: Option<String>,
}

/// Reason for which a component cannot be imported, with the line of the faulty property.
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

/// List of refusals or notes with at most [`MAX_REPORTED`] entries, and the number of the others.
#[derive(Debug)]
struct BoundedList<T> {
    list: Vec<T>,
    omitted: usize,
}

impl<T> Default for BoundedList<T> {
    fn default() -> Self {
        Self { list: Vec::new(), omitted: 0 }
    }
}

impl<T> BoundedList<T> {
    /// Adds an entry. If the list is full, the entry is not built, only counted.
    fn add(&mut self, entry: impl FnOnce() -> T) {
        if self.list.len() < MAX_REPORTED {
            self.list.push(entry());
        } else {
            self.omitted += 1;
        }
    }

    /// Text that counts the omitted entries, if there are any.
    fn omitted_text(&self) -> Option<String> {
        (self.omitted > 0)
            .then(|| format!("{} more are not listed: the limit is {MAX_REPORTED}", self.omitted))
    }
}

/// Text of a file in the form in which the user sees it: one line of at most 200 characters.
fn shown(text: &str) -> String {
    let printable = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().map(printable).take(200).collect()
}

#[cfg(test)]
mod tests;
