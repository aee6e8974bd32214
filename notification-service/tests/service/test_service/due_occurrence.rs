//! Due occurrences, and the messages about them.

use std::collections::BTreeMap;

use bus::Message;
use chrono::{DateTime, TimeDelta, Utc};
use contract::{
    Channel, ErasedData, Event, EventType, NotifyContent, Priority, Reason, RevisionData, Schema,
    SendData, new_id, occurrence_id,
};

/// Due occurrence.
#[derive(Debug, Clone)]
pub(crate) struct DueOccurrence {
    pub(crate) user: String,
    pub(crate) email: Option<String>,
    pub(crate) send: SendData,
}

impl DueOccurrence {
    /// Creates an occurrence that is due now and expires in an hour.
    pub(crate) fn now(user: &str, channels: &[Channel]) -> Self {
        Self::at(user, channels, Utc::now())
    }

    /// Creates an occurrence that is due at a time and expires an hour later.
    pub(crate) fn at(user: &str, channels: &[Channel], due_at: DateTime<Utc>) -> Self {
        let item_id = new_id().into();
        let content = NotifyContent {
            channels: channels.to_vec(),
            title: Some("Plants".to_owned()),
            message: "Water them".to_owned(),
            url: Some("https://example.com/plants".to_owned()),
            data: BTreeMap::new(),
            priority: Priority::Normal,
            locale: None,
            time_zone: "Europe/Berlin".to_owned(),
            expires_after_minutes: 60,
        };
        let send = SendData {
            occurrence_id: occurrence_id(
                "reminder",
                &String::from(contract::ItemId::clone(&item_id)),
                due_at,
            )
            .simple(),
            source: "reminder".to_owned(),
            item_id,
            due_at,
            date: due_at,
            expires_at: due_at + TimeDelta::hours(1),
            item_changed_at: None,
            as_of: None,
            ended: None,
            content,
        };
        Self { user: user.to_owned(), email: Some(format!("{user}@example.com")), send }
    }

    /// Creates another occurrence of the same item.
    pub(crate) fn again(&self, due_at: DateTime<Utc>) -> Self {
        let mut again = Self::at(&self.user, &self.send.content.channels, due_at);
        again.send.item_id = self.send.item_id.clone();
        again.send.occurrence_id =
            occurrence_id("reminder", again.send.item_id.as_str(), due_at).simple();
        again
    }

    /// Returns the id of the occurrence.
    pub(crate) fn id(&self) -> uuid::Uuid {
        self.send.occurrence_id.into_uuid()
    }

    /// Returns the message of the scheduler. Each call uses a new event id, as after a crash of the
    /// scheduler.
    pub(crate) fn message(&self) -> Message {
        self.event(EventType::NotificationSend, 3, self.send.clone())
    }

    /// Returns the message that updates the occurrence to a version.
    pub(crate) fn updated(&self, version: i64, content: NotifyContent) -> Message {
        self.event(EventType::NotificationUpdate, version, self.revision(Some(content), None))
    }

    /// Returns the message that cancels the occurrence in a version that deletes its reminder.
    pub(crate) fn cancelled(&self, version: i64) -> Message {
        self.cancelled_for(version, Some(Reason::Deleted))
    }

    /// Returns the message that cancels the occurrence in a version for a reason. Messages of
    /// earlier versions have none.
    pub(crate) fn cancelled_for(&self, version: i64, reason: Option<Reason>) -> Message {
        self.event(EventType::NotificationDelete, version, self.revision(None, reason))
    }

    fn revision(&self, content: Option<NotifyContent>, reason: Option<Reason>) -> RevisionData {
        RevisionData {
            source: self.send.source.clone(),
            occurrences: vec![self.send.occurrence_id],
            content,
            reason: reason.map(Into::into),
        }
    }

    pub(crate) fn event<D: serde::Serialize>(
        &self,
        event_type: EventType,
        version: i64,
        data: D,
    ) -> Message {
        let event = Event {
            event_type,
            event_id: new_id(),
            occurred_at: Utc::now(),
            user_id: self.user.clone(),
            user_email: self.email.clone(),
            item_id: self.send.item_id.clone(),
            version,
            schema: Schema::V2,
            traceparent: None,
            data,
        };
        event.to_message().expect("JSON")
    }
}

/// Returns the message that erases a user's data up to a time.
pub(crate) fn erasure_message(user: &str, at: DateTime<Utc>) -> Message {
    let receipt = contract::ItemId::from(new_id());
    let event = Event {
        event_type: EventType::UserErased,
        event_id: new_id(),
        occurred_at: at,
        user_id: user.to_owned(),
        user_email: None,
        item_id: receipt.clone(),
        version: 1,
        schema: Schema::V2,
        traceparent: None,
        data: ErasedData { receipt_id: receipt },
    };
    event.to_message().expect("JSON")
}
