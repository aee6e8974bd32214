//! Differences between reminders and the notifications of event-service, and the events that repair
//! them.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use contract::{Event, EventType, OutOfBounds, ReminderData, Schema, event_id_of};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{events, reminder::Reminder};

/// Kind of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// event-service does not know the reminder.
    Missing,
    /// event-service knows an older version.
    Behind,
    /// event-service knows a newer version, or has the reminder as deleted.
    Ahead,
    /// A delivery is ahead, and event-service has no pending occurrence.
    Silent,
    /// event-service knows a reminder that does not exist.
    Unknown,
}

/// Difference between one reminder and its notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Kind of the difference.
    pub kind: Kind,
    /// Id of the reminder.
    pub id: Uuid,
    /// User of the reminder.
    pub user_id: String,
    /// E-mail address of the user, if one of the services knows it.
    pub user_email: Option<String>,
    /// Version that event-service knows.
    pub known_version: Option<i64>,
}

/// Error of a line that describes no difference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The number of columns is not five.
    #[error("expected 5 columns between tabs: kind, id, user, e-mail address, known version")]
    Columns,
    /// The kind is unknown.
    #[error("kind: expected missing, behind, ahead, silent or unknown")]
    Kind,
    /// The id is malformed.
    #[error("id: expected a UUID")]
    Id,
    /// The user is missing.
    #[error("user: must not be null or empty")]
    User,
    /// The known version is missing or malformed.
    #[error("known version: expected a whole number; \\N only of a missing reminder")]
    KnownVersion,
    /// An escape sequence is malformed.
    #[error(
        "expected the text format of COPY: a backslash is followed by \\, N, b, f, n, r, t or v"
    )]
    Escape,
}

impl Difference {
    /// Returns the version that the reminder needs so that event-service accepts its event; `None`
    /// if it keeps its own.
    #[must_use]
    pub fn needed_version(&self) -> Option<i64> {
        match self.kind {
            Kind::Ahead | Kind::Silent => self.known_version.map(|known| known.saturating_add(1)),
            Kind::Missing | Kind::Behind | Kind::Unknown => None,
        }
    }

    /// Builds `reminder:updated`. A repeat for the same version is the same event as long as the
    /// reminder's change is not older than its expiry.
    ///
    /// The event has the time of the reminder's last change, so that occurrences that became due
    /// since are still delivered; but none that lies further back than the expiry, so that a series
    /// is not evaluated from its beginning.
    ///
    /// # Errors
    /// If a field is outside of the bounds that the other services accept.
    pub fn updated(
        &self,
        reminder: &Reminder,
        now: DateTime<Utc>,
    ) -> Result<Event<ReminderData>, OutOfBounds> {
        let expiry = TimeDelta::minutes(reminder.details.expires_after.minutes().into());
        let occurred_at = reminder.updated_at.max(now - expiry);
        let (id, version) = (reminder.id.simple(), reminder.version);
        let identity = format!("reconciled\n{id}\n{version}\n{}", occurred_at.timestamp_micros());
        let data = events::data_of(reminder)?;
        Ok(self.event(EventType::ReminderUpdated, &identity, occurred_at, version, data))
    }

    /// Builds `reminder:deleted`. A repeat is the same event.
    #[must_use]
    pub fn deleted(&self, now: DateTime<Utc>) -> Event<Value> {
        let known = self.known_version.unwrap_or_default();
        let identity = format!("reconciled\n{}\n{known}\ndeleted", self.id.simple());
        let event = EventType::ReminderDeleted;
        Event {
            user_email: None,
            ..self.event(event, &identity, now, known.saturating_add(1), json!({}))
        }
    }

    fn event<D>(
        &self,
        event_type: EventType,
        identity: &str,
        occurred_at: DateTime<Utc>,
        version: i64,
        data: D,
    ) -> Event<D> {
        Event {
            event_type,
            event_id: event_id_of(identity),
            occurred_at,
            user_id: self.user_id.clone(),
            user_email: self.user_email.clone(),
            item_id: self.id.into(),
            version,
            schema: Schema::V2,
            traceparent: None,
            data,
        }
    }
}

impl FromStr for Difference {
    type Err = Malformed;

    /// Reads a line in the text format of PostgreSQL's COPY.
    fn from_str(line: &str) -> Result<Self, Malformed> {
        let columns: Vec<Option<String>> =
            line.split('\t').map(column).collect::<Result<_, _>>()?;
        let [kind, id, user_id, user_email, known_version] =
            <[Option<String>; 5]>::try_from(columns).map_err(|_| Malformed::Columns)?;
        let kind = match kind.as_deref() {
            Some("missing") => Kind::Missing,
            Some("behind") => Kind::Behind,
            Some("ahead") => Kind::Ahead,
            Some("silent") => Kind::Silent,
            Some("unknown") => Kind::Unknown,
            _ => return Err(Malformed::Kind),
        };
        let known_version = known_version
            .map(|text| text.parse::<i64>().map_err(|_| Malformed::KnownVersion))
            .transpose()?;
        if known_version.is_none() && kind != Kind::Missing {
            return Err(Malformed::KnownVersion);
        }
        Ok(Self {
            kind,
            id: id.and_then(|text| text.parse().ok()).ok_or(Malformed::Id)?,
            user_id: user_id.filter(|text| !text.is_empty()).ok_or(Malformed::User)?,
            user_email,
            known_version,
        })
    }
}

/// Reads a column in the text format of COPY (PostgreSQL's manual, "COPY", "Text Format"); `None`
/// of null.
fn column(text: &str) -> Result<Option<String>, Malformed> {
    if text == "\\N" {
        return Ok(None);
    }
    let (mut value, mut characters) = (String::with_capacity(text.len()), text.chars());
    while let Some(character) = characters.next() {
        value.push(if character == '\\' {
            match characters.next() {
                Some('\\') => '\\',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\u{b}',
                _ => return Err(Malformed::Escape),
            }
        } else {
            character
        });
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01979a3c-7e2f-7c41-b1d1-e0a5d2c3f4a5";

    fn read(kind: &str, user: &str, email: &str, known: &str) -> Result<Difference, Malformed> {
        [kind, ID, user, email, known].join("\t").parse()
    }

    #[test]
    fn reads_columns_as_copy_writes_them() {
        let difference = read("ahead", "back\\\\slash\\ttab", "\\N", "7").expect("readable");
        assert_eq!(difference.user_id, "back\\slash\ttab");
        assert_eq!((difference.user_email.as_deref(), difference.known_version), (None, Some(7)));
        assert_eq!(difference.id.to_string(), ID);
        let missing = read("missing", "ada", "ada@example.com", "\\N").expect("readable");
        assert_eq!(missing.user_email.as_deref(), Some("ada@example.com"));
    }

    #[test]
    fn refuses_malformed_lines() {
        assert_eq!("missing".parse::<Difference>(), Err(Malformed::Columns));
        assert_eq!(read("other", "ada", "\\N", "7"), Err(Malformed::Kind));
        assert_eq!(read("ahead", "\\N", "\\N", "7"), Err(Malformed::User));
        assert_eq!(read("ahead", "ada", "\\N", "\\N"), Err(Malformed::KnownVersion));
        assert_eq!(read("behind", "ada", "\\N", "x"), Err(Malformed::KnownVersion));
        assert_eq!(read("ahead", "a\\da", "\\N", "7"), Err(Malformed::Escape));
        let malformed_id = format!("ahead\t{}\tada\t\\N\t7", &ID[1..]);
        assert_eq!(malformed_id.parse::<Difference>(), Err(Malformed::Id));
    }

    #[test]
    fn raises_version_unless_known_version_is_older() {
        let needed = |kind| read(kind, "ada", "\\N", "7").map(|read| read.needed_version());
        for kind in ["ahead", "silent"] {
            assert_eq!(needed(kind), Ok(Some(8)));
        }
        for kind in ["missing", "behind", "unknown"] {
            assert_eq!(needed(kind), Ok(None));
        }
    }

    #[test]
    fn repeats_same_deletion() {
        let unknown = read("unknown", "ada", "ada@example.com", "5").expect("readable");
        let (first, second) =
            (unknown.deleted(DateTime::UNIX_EPOCH), unknown.deleted(DateTime::UNIX_EPOCH));
        assert_eq!(first, second);
        assert_eq!((first.version, first.user_email), (6, None));
    }
}
