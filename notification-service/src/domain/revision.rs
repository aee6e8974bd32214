//! Revision of an occurrence that was released already. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use contract::{Channel, NotifyContent, Reason, SendData};
use uuid::Uuid;

/// Change of an occurrence by a newer version.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The occurrence has new content.
    Content(NotifyContent),
    /// The occurrence is cancelled, for this reason.
    Cancellation(Reason),
}

/// Newer version of an occurrence.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Occurrence.
    pub occurrence_id: Uuid,
    /// User of the occurrence.
    pub user_id: String,
    /// Version of the item: a revision older than the known version is ignored.
    pub version: i64,
    /// New content, or the cancellation of the occurrence.
    pub change: Change,
    /// Time of the change.
    pub at: DateTime<Utc>,
}

impl Revision {
    /// Returns `true` if the revision replaces a known version: if it is newer, or a cancellation
    /// of the same version, as the version that cancels an occurrence does not request it.
    #[must_use]
    pub fn replaces(&self, version: i64) -> bool {
        version < self.version || (version == self.version && self.content().is_none())
    }

    /// Returns `true` if the occurrence is still to be delivered on a channel.
    #[must_use]
    pub fn keeps(&self, channel: Channel) -> bool {
        self.content().is_some_and(|content| content.channels.contains(&channel))
    }

    /// Returns the new content; `None` if the occurrence is cancelled.
    #[must_use]
    pub fn content(&self) -> Option<&NotifyContent> {
        match &self.change {
            Change::Content(content) => Some(content),
            Change::Cancellation(_) => None,
        }
    }

    /// Returns the reason for which deliveries end on channels that the revision does not keep.
    #[must_use]
    pub fn cancellation_reason(&self) -> Reason {
        match self.change {
            Change::Content(_) => Reason::Edited,
            Change::Cancellation(reason) => reason,
        }
    }
}

/// Replaces the content of an occurrence; its expiry moves by the change of its time to live.
pub fn replace_content(send: &mut SendData, content: NotifyContent) {
    let longer =
        i64::from(content.expires_after_minutes) - i64::from(send.content.expires_after_minutes);
    send.expires_at =
        send.expires_at.checked_add_signed(TimeDelta::minutes(longer)).unwrap_or(send.expires_at);
    send.content = content;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use contract::Priority;

    use super::*;

    fn content(expires_after_minutes: i32) -> NotifyContent {
        NotifyContent {
            channels: vec![Channel::Push],
            title: None,
            message: format!("for {expires_after_minutes} minutes"),
            url: None,
            data: BTreeMap::new(),
            priority: Priority::Normal,
            locale: None,
            time_zone: "UTC".to_owned(),
            expires_after_minutes,
        }
    }

    #[test]
    fn moves_expiry_by_change_of_time_to_live() {
        let due_at = DateTime::UNIX_EPOCH;
        // Quiet hours had moved it by eight hours.
        let expires_at = due_at + TimeDelta::hours(9);
        let mut send = SendData {
            occurrence_id: Uuid::nil().simple(),
            source: "reminder".to_owned(),
            item_id: Uuid::nil().into(),
            due_at,
            date: due_at,
            expires_at,
            item_changed_at: None,
            as_of: None,
            ended: None,
            content: content(60),
        };
        replace_content(&mut send, content(90));
        assert_eq!(
            (send.expires_at, send.content.message.as_str()),
            (expires_at + TimeDelta::minutes(30), "for 90 minutes")
        );
    }

    fn revision(version: i64, change: Change) -> Revision {
        Revision {
            occurrence_id: Uuid::nil(),
            user_id: "u".to_owned(),
            version,
            change,
            at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn keeps_no_channel_when_cancelled() {
        let cancelled = revision(1, Change::Cancellation(Reason::Snoozed));
        assert!(!cancelled.keeps(Channel::Push));
        assert_eq!(cancelled.cancellation_reason(), Reason::Snoozed);
        let edited = revision(1, Change::Content(content(1)));
        assert!(edited.keeps(Channel::Push) && !edited.keeps(Channel::Email));
        assert_eq!(edited.cancellation_reason(), Reason::Edited);
    }

    #[test]
    fn replaces_own_version_when_cancelled() {
        let edited = revision(2, Change::Content(content(1)));
        let cancelled = revision(2, Change::Cancellation(Reason::Deleted));
        assert!(edited.replaces(1) && cancelled.replaces(1));
        assert!(cancelled.replaces(2) && !edited.replaces(2));
        assert!(!cancelled.replaces(3));
    }
}
