//! Identity of entries, by which another import of a file finds the reminders of the first one.

use std::{collections::HashMap, ops::ControlFlow};

use chrono::{DateTime, Timelike, Utc};
use sha2::{Digest as _, Sha256};
use time_zone::Zone;
use uuid::Uuid;

use super::{Entry, OWN_DOMAIN, Version};
use crate::domain::reminder::TimeZone;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// Identity of an entry of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Digest of the UID and of the instance that the entry replaces; of the fields if it has no
    /// UID. Of entries in one file that have these in common, each has a key of its own.
    pub key: Digest,
    /// Digest of the fields.
    pub digest: Digest,
    /// Digest of the fields that say when.
    pub schedule_digest: Digest,
    /// Version.
    pub version: Version,
    /// Reminder that was exported as this entry, if this service exported it.
    pub exported_id: Option<Uuid>,
}

/// Last import of an entry into a reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastImport {
    /// Digest of the fields at that time.
    pub digest: Vec<u8>,
    /// Digest of the fields that say when.
    pub schedule_digest: Vec<u8>,
    /// Version at that time.
    pub version: Version,
}

/// A reminder that an entry is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterpart {
    /// Id of the reminder.
    pub reminder_id: Uuid,
    /// Version of the reminder.
    pub reminder_version: i64,
    /// Time of the last change of the reminder.
    pub updated_at: DateTime<Utc>,
    /// Last import of the entry; `None` if the reminder was only exported.
    pub last_import: Option<LastImport>,
}

/// Reason for which an entry does not change its reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// The entry is the same as at its last import. The user may have changed the reminder since.
    SameEntry {
        /// `true` if the entry has a newer version than at its last import.
        is_newer: bool,
    },
    /// The reminder comes from a newer version of the entry.
    OlderVersion,
}

/// Returns the identities of the entries of a file, in their order.
#[must_use]
pub fn identities(entries: &[Entry]) -> Vec<Identity> {
    let mut known: HashMap<Digest, u64> = HashMap::new();
    let identity = |entry: &Entry| {
        let digest = entry.digest();
        let base = match &entry.uid {
            Some(uid) => hash(&[b"uid", uid.as_bytes(), instance_of(entry)]),
            None => hash(&[b"fields", &digest]),
        };
        let place = known.entry(base).or_default();
        let key = hash(&[&base, &place.to_be_bytes()]);
        *place += 1;
        Identity {
            key,
            digest,
            schedule_digest: entry.schedule_digest(),
            version: entry.version,
            exported_id: exported_id(entry),
        }
    };
    entries.iter().map(identity).collect()
}

impl Identity {
    /// Returns `true` if the entry says the same times as at its last import, so that those of the
    /// reminder, which its user may have changed since, stay.
    #[must_use]
    pub fn keeps_schedule(&self, counterpart: &Counterpart) -> bool {
        let last = counterpart.last_import.as_ref();
        last.is_some_and(|last| last.schedule_digest == self.schedule_digest)
    }

    /// Returns the reason for which the entry leaves its reminder unchanged; `Continue` if the
    /// fields of both must be compared.
    pub fn compare(&self, counterpart: &Counterpart) -> ControlFlow<Unchanged> {
        let known = match &counterpart.last_import {
            Some(last) if last.digest == self.digest => {
                let is_newer = last.version.is_older_than(self.version);
                return ControlFlow::Break(Unchanged::SameEntry { is_newer });
            }
            Some(last) => last.version,
            // As the export writes it.
            None => Version {
                sequence: (counterpart.reminder_version - 1).max(0),
                stamp: counterpart.updated_at.with_nanosecond(0),
            },
        };
        match self.version.is_older_than(known) {
            true => ControlFlow::Break(Unchanged::OlderVersion),
            false => ControlFlow::Continue(()),
        }
    }
}

fn instance_of(entry: &Entry) -> &[u8] {
    entry.instance.as_deref().unwrap_or_default().as_bytes()
}

fn exported_id(entry: &Entry) -> Option<Uuid> {
    let id = entry.uid.as_ref().filter(|_| entry.instance.is_none())?;
    Uuid::try_parse(id.strip_suffix(OWN_DOMAIN)?).ok()
}

/// Digest of parts, each with its length, so that no two lists of parts are the same bytes.
fn hash(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

impl Entry {
    /// Digest of the fields of the reminder.
    fn digest(&self) -> Digest {
        let texts = (&self.title, &self.message, &self.url, &self.locale, &self.data);
        let delivery = (&self.channels, self.expires_after_minutes, self.priority);
        let fields = format!("{:?}", (texts, delivery));
        hash(&[&self.schedule_digest(), fields.as_bytes()])
    }

    /// Digest of the fields that say when the reminder is delivered.
    fn schedule_digest(&self) -> Digest {
        let rest = (&self.recurrence, &self.notify_offsets);
        let schedule = match self.time_zone.parse::<Zone>() {
            // The wall clock of a floating one, whose zone changes.
            Ok(zone) if self.is_floating => {
                format!("{:?}", (zone.wall_clock(self.date), TimeZone::USER, rest.0, rest.1))
            }
            _ => format!("{:?}", (self.date, &self.time_zone, rest.0, rest.1)),
        };
        hash(&[schedule.as_bytes()])
    }
}

#[cfg(test)]
mod tests;
