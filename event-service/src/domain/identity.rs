//! Ids that event-service derives: of notifications, and of the events that it publishes.

use contract::{EventType, ItemId, event_id_of};
use uuid::Uuid;

/// UUID name space of notification ids that are not derived from a reminder's id.
const NOTIFICATIONS: Uuid = Uuid::from_u128(0x6e6f_7469_6669_4361_8469_6f6e_732d_6964);

/// Requester of a notification. The source is part of the notification's identity, because an item
/// of another service may have the id of a reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A reminder.
    Reminder,
    /// A command of another service.
    Notification,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 2] = [Self::Reminder, Self::Notification];

    /// Returns the name used in messages and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reminder => "reminder",
            Self::Notification => "notification",
        }
    }
}

/// Returns the id of an item's notification. The id is derived from the item, so that no look-up is
/// needed. A reminder's notification has the reminder's own id: ids in order of creation keep index
/// pages together.
#[must_use]
pub fn notification_id(source: Source, item_id: &ItemId) -> Uuid {
    let text = item_id.as_str();
    let own = Uuid::try_parse(text).ok().filter(|id| {
        source == Source::Reminder && id.get_version_num() == 7 && id.simple().to_string() == text
    });
    own.unwrap_or_else(|| {
        Uuid::new_v5(&NOTIFICATIONS, format!("{}\n{text}", source.as_str()).as_bytes())
    })
}

/// Returns the id of the event that publishes a version of a notification.
#[must_use]
pub fn notification_event_id(
    source: Source,
    item_id: &ItemId,
    version: i64,
    event_type: EventType,
) -> Uuid {
    event_id_of(&format!("{}\n{item_id}\n{version}\n{event_type}", source.as_str()))
}

#[cfg(test)]
mod tests {
    use contract::new_id;

    use super::*;

    fn item(text: &str) -> ItemId {
        text.parse().expect("an id")
    }

    #[test]
    fn uses_reminder_id_only_for_reminders() {
        let id = new_id();
        let text = id.simple().to_string();
        assert_eq!(notification_id(Source::Reminder, &item(&text)), id);
        assert_ne!(notification_id(Source::Notification, &item(&text)), id);
    }

    #[test]
    fn separates_items_by_spelling_of_uuid() {
        let id = new_id();
        let (simple, hyphenated) =
            (item(&id.simple().to_string()), item(&id.hyphenated().to_string()));
        assert_ne!(
            notification_id(Source::Reminder, &simple),
            notification_id(Source::Reminder, &hyphenated)
        );
        assert_eq!(
            notification_id(Source::Reminder, &hyphenated),
            notification_id(Source::Reminder, &hyphenated)
        );
    }
}
