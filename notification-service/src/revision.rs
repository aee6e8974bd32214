//! Revision of an occurrence that was released already. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use contract::{Channel, NotifyContent, SendData};
use uuid::Uuid;

/// Newer version of an occurrence: its new content, or its cancellation.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Occurrence.
    pub occurrence_id: Uuid,
    /// User of the occurrence.
    pub user_id: String,
    /// Version of the item: a revision older than the known version is ignored.
    pub version: i64,
    /// New content; `None` if the occurrence is cancelled.
    pub content: Option<NotifyContent>,
    /// Time of the change.
    pub at: DateTime<Utc>,
}

impl Revision {
    /// Returns `true` if the revision replaces a known version: if it is newer, or a cancellation
    /// of the same version, as the version that cancels an occurrence does not request it.
    #[must_use]
    pub fn replaces(&self, version: i64) -> bool {
        version < self.version || (version == self.version && self.content.is_none())
    }

    /// Returns `true` if the occurrence is still to be delivered on a channel.
    #[must_use]
    pub fn keeps(&self, channel: Channel) -> bool {
        self.content.as_ref().is_some_and(|content| content.channels.contains(&channel))
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
            content: content(60),
        };
        replace_content(&mut send, content(90));
        assert_eq!(
            (send.expires_at, send.content.message.as_str()),
            (expires_at + TimeDelta::minutes(30), "for 90 minutes")
        );
    }

    #[test]
    fn keeps_no_channel_when_cancelled() {
        let revision = |content| Revision {
            occurrence_id: Uuid::nil(),
            user_id: "u".to_owned(),
            version: 1,
            content,
            at: DateTime::UNIX_EPOCH,
        };
        assert!(!revision(None).keeps(Channel::Push));
        assert!(revision(Some(content(1))).keeps(Channel::Push));
        assert!(!revision(Some(content(1))).keeps(Channel::Email));
    }

    #[test]
    fn replaces_own_version_when_cancelled() {
        let revision = |version, content| Revision {
            occurrence_id: Uuid::nil(),
            user_id: "u".to_owned(),
            version,
            content,
            at: DateTime::UNIX_EPOCH,
        };
        assert!(revision(2, Some(content(1))).replaces(1) && revision(2, None).replaces(1));
        assert!(revision(2, None).replaces(2) && !revision(2, Some(content(1))).replaces(2));
        assert!(!revision(2, None).replaces(3));
    }
}
