//! Bounds of the content of messages: one set, checked by the writer of a message and by its
//! reader.
//!
//! [`Bounds::REMINDER`] are those of the REST API (its parsers use the constants of this module).
//! [`Bounds::READ`] are those of a consumer: they include every reminder, commands of other
//! services, and messages of the predecessor. So nothing that was answered with 201 is refused
//! later. Both keep every sum of a date, an offset and an expiry within the range of chrono,
//! PostgreSQL and the messages.

use chrono::{DateTime, Datelike, Utc};
use time_zone::Zone;

use super::content::{
    NotifyContent, ReconcileData, Recurrence, ReminderData, RevisionData, SendData,
};

/// Largest offset of a delivery before its date, in minutes: four weeks.
pub const MAX_OFFSET_MINUTES: i32 = 40_320;
/// Most offsets of one reminder.
pub const MAX_OFFSETS: usize = 5;
/// Longest expiry of a delivery after its time, in minutes: a year.
pub const MAX_EXPIRY_MINUTES: i32 = 525_600;
/// Longest title, in characters.
pub const MAX_TITLE: usize = 200;
/// Longest message, in characters.
pub const MAX_MESSAGE: usize = 2_000;
/// Longest URL, in characters.
pub const MAX_URL: usize = 2_048;
/// Longest language tag, in bytes (BCP 47, RFC 5646 section 4.4.1).
pub const MAX_LOCALE: usize = 35;
/// Most pairs of client data.
pub const MAX_PAIRS: usize = 20;
/// Most bytes of the keys and values of client data together.
pub const MAX_PAIRS_BYTES: usize = 2 * 1_024;
/// Longest recurrence rule, in bytes.
pub const MAX_RRULE: usize = 1_000;
/// Most exclusions of one rule, and most dates beside it.
pub const MAX_DATES: usize = 1_000;
/// Longest entry of `exdates` and of `rdates`, in bytes.
pub const MAX_DATE: usize = 40;
/// Most occurrences of a reminder whose texts differ from those of the others.
pub const MAX_CHANGED_OCCURRENCES: usize = 20;
/// Longest id or address of a user, in bytes.
pub const MAX_IDENTITY: usize = 255;

/// Most bytes of the content of a notification. Its messages contain ids and times as well, and the
/// bus accepts 256 KiB (`bus::MAX_MESSAGE_BYTES`).
const MAX_CONTENT_BYTES: usize = 192 * 1_024;
/// Most occurrences of one revision.
pub const MAX_REVISED: usize = 1_000;

/// A value outside of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct OutOfBounds {
    /// Name of the field on the wire.
    pub field: &'static str,
    /// The rule that the value breaks, without the value.
    pub problem: String,
}

/// Bounds of a reminder, or of a notification.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    offsets: usize,
    expiry_minutes: (i32, i32),
    /// Longest texts in characters, if each is bounded separately.
    texts: Option<Texts>,
}

#[derive(Debug, Clone, Copy)]
struct Texts {
    title: usize,
    message: usize,
    url: usize,
    locale: usize,
    pairs: usize,
    pairs_bytes: usize,
}

impl Bounds {
    /// Bounds of messages that reminder-service writes.
    pub const REMINDER: Self = Self {
        offsets: MAX_OFFSETS,
        expiry_minutes: (1, MAX_EXPIRY_MINUTES),
        texts: Some(Texts {
            title: MAX_TITLE,
            message: MAX_MESSAGE,
            url: MAX_URL,
            locale: MAX_LOCALE,
            pairs: MAX_PAIRS,
            pairs_bytes: MAX_PAIRS_BYTES,
        }),
    };

    /// Bounds of messages that a consumer accepts: an expiry of a century, and texts as long as a
    /// message allows.
    pub const READ: Self =
        Self { offsets: 16, expiry_minutes: (0, 100 * MAX_EXPIRY_MINUTES), texts: None };
}

/// Returns whether a time lies in the years 0001 to 9999, which RFC 3339 can write.
#[must_use]
pub fn is_date(at: DateTime<Utc>) -> bool {
    (1..=9_999).contains(&at.year())
}

/// Returns whether a time is in the range of dates, extended by offsets, expiries and quiet hours.
#[must_use]
pub fn is_instant(at: DateTime<Utc>) -> bool {
    (0..=10_100).contains(&at.year())
}

/// Returns whether messages between services may contain a character: SNS and SQS accept the
/// characters of XML 1.0 section 2.2, and line feeds and tabs are the only allowed control
/// characters.
#[must_use]
pub fn is_carried(character: char) -> bool {
    matches!(character, '\n' | '\t')
        || !(character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}'))
}

/// Returns whether a text can be the id of a user: 1 to [`MAX_IDENTITY`] bytes in one line. It is
/// an attribute of messages, where nothing can be escaped.
#[must_use]
pub fn is_identity(text: &str) -> bool {
    (1..=MAX_IDENTITY).contains(&text.len())
        && text.chars().all(|character| is_carried(character) && !character.is_control())
}

fn refuse(field: &'static str, problem: impl Into<String>) -> Result<(), OutOfBounds> {
    Err(OutOfBounds { field, problem: problem.into() })
}

/// Returns whether a text has more characters than a limit. A text with at most as many bytes
/// cannot.
fn is_longer(text: &str, limit: usize) -> bool {
    text.len() > limit && text.chars().nth(limit).is_some()
}

impl ReminderData {
    /// Checks every bound of a reminder or of a command.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    pub fn check(&self, bounds: &Bounds) -> Result<(), OutOfBounds> {
        if !(1..=bounds.offsets).contains(&self.notify_offsets.len()) {
            return refuse("notifyOffsets", format!("expected 1 to {}", bounds.offsets));
        }
        if self.notify_offsets.iter().any(|offset| !(0..=MAX_OFFSET_MINUTES).contains(offset)) {
            return refuse(
                "notifyOffsets",
                format!("expected minutes between 0 and {MAX_OFFSET_MINUTES}"),
            );
        }
        if !is_date(self.date) {
            return refuse("date", "expected a year between 0001 and 9999");
        }
        let handled = self
            .snooze
            .iter()
            .flat_map(|snooze| [snooze.date, snooze.until])
            .chain(self.acknowledged);
        if !handled.into_iter().all(is_date) {
            return refuse("snooze, acknowledged", "expected years between 0001 and 9999");
        }
        if Zone::parse(&self.content.time_zone).is_err() {
            return refuse("timeZone", "expected an IANA name");
        }
        if let Some(recurrence) = &self.recurrence {
            recurrence.check()?;
        }
        if self.changed_occurrences.len() > MAX_CHANGED_OCCURRENCES {
            return refuse(
                "changedOccurrences",
                format!("at most {MAX_CHANGED_OCCURRENCES} entries"),
            );
        }
        for changed in &self.changed_occurrences {
            if !is_date(changed.date) {
                return refuse("changedOccurrences", "expected years between 0001 and 9999");
            }
            let content = self.content.clone();
            content.of_occurrence(changed.date, std::slice::from_ref(changed)).check(bounds)?;
        }
        self.content.check(bounds)
    }
}

impl Recurrence {
    /// Checks lengths and numbers, but not whether the rule is valid.
    ///
    /// # Errors
    /// The first part that is out of bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        if self.rrule.len() > MAX_RRULE {
            return refuse("recurrence.rrule", format!("at most {MAX_RRULE} characters"));
        }
        for (field, dates) in
            [("recurrence.exdates", &self.exdates), ("recurrence.rdates", &self.rdates)]
        {
            if dates.len() > MAX_DATES {
                return refuse(field, format!("at most {MAX_DATES} entries"));
            }
            if dates.iter().any(|date| date.len() > MAX_DATE) {
                return refuse(field, format!("each entry has at most {MAX_DATE} characters"));
            }
        }
        Ok(())
    }
}

impl NotifyContent {
    /// Checks every bound of the content of a notification.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    pub fn check(&self, bounds: &Bounds) -> Result<(), OutOfBounds> {
        let (least, most) = bounds.expiry_minutes;
        if self.channels.is_empty() {
            return refuse("channels", "expected at least one");
        }
        if !(least..=most).contains(&self.expires_after_minutes) {
            return refuse(
                "expiresAfterMinutes",
                format!("expected minutes between {least} and {most}"),
            );
        }
        match bounds.texts {
            Some(texts) => self.check_texts(texts),
            None => self.check_size(),
        }
    }

    fn check_texts(&self, texts: Texts) -> Result<(), OutOfBounds> {
        for (field, text, most) in [
            ("title", self.title.as_deref(), texts.title),
            ("message", Some(self.message.as_str()), texts.message),
            ("url", self.url.as_deref(), texts.url),
            ("locale", self.locale.as_deref(), texts.locale),
        ] {
            let text = text.unwrap_or_default();
            if is_longer(text, most) {
                return refuse(field, format!("at most {most} characters"));
            }
            if !text.chars().all(is_carried) {
                return refuse(field, "no control characters but line feeds and tabs");
            }
        }
        if self.data.len() > texts.pairs || self.pairs_bytes() > texts.pairs_bytes {
            let (pairs, bytes) = (texts.pairs, texts.pairs_bytes);
            return refuse("data", format!("at most {pairs} pairs of {bytes} bytes together"));
        }
        if !self.data.iter().all(|(key, value)| key.chars().chain(value.chars()).all(is_carried)) {
            return refuse("data", "no control characters but line feeds and tabs");
        }
        Ok(())
    }

    fn pairs_bytes(&self) -> usize {
        self.data.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Checks the bytes of all texts together as JSON, which is only written if they may be too
    /// long.
    fn check_size(&self) -> Result<(), OutOfBounds> {
        let options = [&self.title, &self.url, &self.locale];
        let texts =
            options.into_iter().flatten().map(String::len).sum::<usize>() + self.message.len();
        // One byte takes at most six in JSON.
        if (texts + self.pairs_bytes()) * 6 < MAX_CONTENT_BYTES / 2 {
            return Ok(());
        }
        match serde_json::to_vec(self) {
            Ok(json) if json.len() <= MAX_CONTENT_BYTES => Ok(()),
            _ => refuse("eventData", format!("at most {MAX_CONTENT_BYTES} bytes of content")),
        }
    }
}

impl SendData {
    /// Checks every bound of an occurrence that is to be sent.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        if ![self.due_at, self.date, self.expires_at].into_iter().all(is_instant) {
            return refuse("dueAt, date, expiresAt", "expected years between 0001 and 9999");
        }
        self.content.check(&Bounds::READ)
    }
}

impl ReconcileData {
    /// Checks every bound of a reconciliation request.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        if !is_instant(self.due_at) {
            return refuse("dueAt", "expected years between 0001 and 9999");
        }
        self.send.as_ref().map_or(Ok(()), SendData::check)
    }
}

impl RevisionData {
    /// Checks every bound of a revision.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        self.content.as_ref().map_or(Ok(()), |content| content.check(&Bounds::READ))
    }
}

#[cfg(test)]
mod tests;
