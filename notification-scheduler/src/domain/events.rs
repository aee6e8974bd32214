//! Messages about occurrences: the command to send one, and the outcome of one that is not
//! published.

use chrono::{DateTime, Utc};
use contract::{
    DeliveryState, Event, EventType, OutcomeData, Reason, Schema, SendData, event_id_of,
};
use uuid::Uuid;

use super::claim::Claimed;

/// Outcome of an occurrence that is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnpublishedOutcome {
    /// The occurrence has expired.
    Expired,
    /// A later occurrence of the same series is due as well, and is sent instead.
    Missed,
    /// The topic can never accept the message.
    Unpublishable,
}

impl UnpublishedOutcome {
    /// Returns the final state.
    #[must_use]
    pub const fn state(self) -> DeliveryState {
        match self {
            Self::Expired | Self::Missed => DeliveryState::Suppressed,
            Self::Unpublishable => DeliveryState::Failed,
        }
    }

    /// Returns the reason code.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::Expired,
            Self::Missed => Reason::Missed,
            Self::Unpublishable => Reason::Unpublishable,
        }
    }

    const fn event_type(self) -> EventType {
        match self {
            Self::Expired | Self::Missed => EventType::NotificationSuppressed,
            Self::Unpublishable => EventType::NotificationFailed,
        }
    }
}

/// Builds the command to send an occurrence. A repeated command is the same event.
#[must_use]
pub fn send(claimed: Claimed) -> Event<SendData> {
    Event {
        event_type: EventType::NotificationSend,
        event_id: event_id_of(&format!(
            "{}\n{}",
            claimed.lease.id.simple(),
            EventType::NotificationSend
        )),
        occurred_at: claimed.due_at,
        user_id: claimed.user_id,
        user_email: claimed.user_email,
        item_id: claimed.item_id.clone(),
        version: claimed.version,
        schema: Schema::V2,
        traceparent: claimed.traceparent,
        data: SendData {
            occurrence_id: claimed.lease.id.simple(),
            source: claimed.source,
            item_id: claimed.item_id,
            due_at: claimed.due_at,
            date: claimed.date,
            expires_at: claimed.expires_at,
            item_changed_at: Some(claimed.item_changed_at),
            as_of: Some(claimed.as_of),
            ended: None,
            content: claimed.content,
        },
    }
}

/// Builds the command to record an occurrence that ended without a send, so that its user sees it.
#[must_use]
pub fn record(claimed: Claimed, end: UnpublishedOutcome) -> Event<SendData> {
    let id = format!("{}\n{}", claimed.lease.id.simple(), end.reason());
    let mut event = send(claimed);
    event.event_id = event_id_of(&id);
    event.data.ended = Some(end.reason().into());
    if end == UnpublishedOutcome::Missed {
        event.data.expires_at = event.data.due_at;
    }
    event
}

/// Builds the event that reports the outcome of an unpublished occurrence.
#[must_use]
pub fn ended(claimed: &Claimed, end: UnpublishedOutcome, at: DateTime<Utc>) -> Event<OutcomeData> {
    Event {
        event_type: end.event_type(),
        event_id: ended_id(claimed.lease.id, end),
        occurred_at: at,
        user_id: claimed.user_id.clone(),
        user_email: claimed.user_email.clone(),
        item_id: claimed.item_id.clone(),
        version: claimed.version,
        schema: Schema::V2,
        traceparent: claimed.traceparent,
        data: OutcomeData {
            occurrence_id: claimed.lease.id.simple(),
            source: claimed.source.clone(),
            channel: None,
            device_id: None,
            state: end.state(),
            corrects: None,
            republished: false,
            reason: Some(end.reason().into()),
            attempts: 0,
            due_at: claimed.due_at,
            item_changed_at: Some(claimed.item_changed_at),
            at,
            until: None,
            provider_message_id: None,
            deliveries: 0,
        },
    }
}

fn ended_id(occurrence: Uuid, end: UnpublishedOutcome) -> Uuid {
    event_id_of(&format!("{}\n{}\n{}", occurrence.simple(), end.event_type(), end.reason()))
}
