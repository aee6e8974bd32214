//! Events that this service publishes: about devices, and outcomes of deliveries.

use chrono::{DateTime, Utc};
use contract::{
    Channel, DeliveryState, Event, EventType, OutcomeData, Reason, Schema, Traceparent,
    event_id_of, new_id,
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    delivery::{DeliveryKey, DeliveryResult, Dispatch, NewState},
    device::Device,
};

/// `eventData` of `device:registered|removed|invalidated`. Never contains the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceData<'a> {
    /// Id of the device, equal to the body's `itemId`.
    pub device_id: uuid::fmt::Simple,
    /// `web`, `android` or `ios`.
    #[serde(rename = "type")]
    pub device_type: &'a str,
    /// Name that the user gave to the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Reason code of a removal or invalidation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Returns the event of a device.
#[must_use]
pub fn device(
    event_type: EventType,
    device: &Device,
    user_email: Option<String>,
    reason: Option<Reason>,
    occurred_at: DateTime<Utc>,
    traceparent: Option<Traceparent>,
) -> Event<DeviceData<'_>> {
    Event {
        event_type,
        event_id: new_id(),
        occurred_at,
        user_id: device.user_id.clone(),
        user_email,
        item_id: device.id.into(),
        version: device.version,
        schema: Schema::V2,
        traceparent,
        data: DeviceData {
            device_id: device.id.simple(),
            device_type: &device.device_type,
            name: device.name.as_deref(),
            reason,
        },
    }
}

/// Outcome of a delivery, or its deferral.
#[derive(Debug)]
pub struct DeliveryOutcome<'a> {
    /// `sent`, `failed` or `suppressed`; or `deferred`, which is not final.
    pub state: DeliveryState,
    /// Outcome that was published before and that this one replaces.
    pub corrects: Option<DeliveryState>,
    /// Reason code.
    pub reason: Option<Reason>,
    /// Number of attempts made.
    pub attempts: i32,
    /// Time of the outcome.
    pub at: DateTime<Utc>,
    /// Provider's id of the message.
    pub provider_message_id: Option<&'a str>,
    /// Time until which a `deferred` delivery waits.
    pub until: Option<DateTime<Utc>>,
}

impl<'a> DeliveryOutcome<'a> {
    /// Returns the outcome of a delivery that is suppressed for a reason.
    #[must_use]
    pub fn suppressed(reason: Reason, at: DateTime<Utc>) -> Self {
        let state = DeliveryState::Suppressed;
        Self {
            state,
            corrects: None,
            reason: Some(reason),
            attempts: 0,
            at,
            provider_message_id: None,
            until: None,
        }
    }

    /// Returns the deferral of a delivery until the end of quiet hours.
    #[must_use]
    pub fn deferred(until: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        let (state, reason) = (DeliveryState::Deferred, Some(Reason::QuietHours));
        Self {
            state,
            corrects: None,
            reason,
            attempts: 0,
            at,
            provider_message_id: None,
            until: Some(until),
        }
    }

    /// Returns the corrected outcome of a delivery that was published as sent and then failed for a
    /// reason.
    #[must_use]
    pub fn undelivered(
        reason: Reason,
        attempts: i32,
        at: DateTime<Utc>,
        provider_message_id: &'a str,
    ) -> Self {
        Self {
            state: DeliveryState::Failed,
            corrects: Some(DeliveryState::Sent),
            reason: Some(reason),
            attempts,
            at,
            provider_message_id: Some(provider_message_id),
            until: None,
        }
    }
}

/// Returns the event of an outcome or a deferral. Its id is derived from its content, so that a
/// repeated event has the same id. Returns `None` for a state without an event.
#[must_use]
pub fn outcome(
    dispatch: &Dispatch,
    key: DeliveryKey,
    ending: &DeliveryOutcome<'_>,
) -> Option<Event<OutcomeData>> {
    let event_type = ending.state.event_type()?;
    Some(Event {
        event_type,
        event_id: outcome_id(key, ending.state, ending.until),
        occurred_at: ending.at,
        user_id: dispatch.user_id.clone(),
        user_email: dispatch.user_email.clone(),
        item_id: dispatch.send.item_id.clone(),
        version: dispatch.version,
        schema: Schema::V2,
        traceparent: dispatch.traceparent,
        data: OutcomeData {
            occurrence_id: dispatch.send.occurrence_id,
            source: dispatch.send.source.clone(),
            channel: Some(key.channel),
            device_id: (!key.device_id.is_nil()).then(|| key.device_id.simple()),
            state: ending.state,
            corrects: ending.corrects,
            republished: false,
            reason: ending.reason.map(Into::into),
            attempts: ending.attempts,
            due_at: dispatch.send.due_at,
            item_changed_at: dispatch.send.item_changed_at,
            at: ending.at,
            until: ending.until,
            provider_message_id: ending.provider_message_id.map(ToOwned::to_owned),
            deliveries: dispatch.deliveries,
        },
    })
}

/// Returns the event of an attempt that ended its delivery. Returns `None` if it did not, unless
/// the delivery was cancelled meanwhile, for the reason `cancelled`, and so has no further attempt.
#[must_use]
pub fn result(result: &DeliveryResult, cancelled: Option<Reason>) -> Option<Event<OutcomeData>> {
    if let Some(reason) = cancelled {
        let ending = DeliveryOutcome {
            attempts: result.attempts,
            ..DeliveryOutcome::suppressed(reason, result.at)
        };
        return outcome(&result.delivery.dispatch, result.delivery.key, &ending);
    }
    let NewState::Final { state, reason, provider_message_id } = &result.new_state else {
        return None;
    };
    let ending = DeliveryOutcome {
        state: *state,
        corrects: None,
        reason: *reason,
        attempts: result.attempts,
        at: result.at,
        provider_message_id: provider_message_id.as_deref(),
        until: None,
    };
    outcome(&result.delivery.dispatch, result.delivery.key, &ending)
}

/// Returns the id of the event of a state, derived from its content.
pub(crate) fn outcome_id(
    key: DeliveryKey,
    state: DeliveryState,
    until: Option<DateTime<Utc>>,
) -> Uuid {
    let channel: Channel = key.channel;
    // A delivery may be deferred several times, each time until a different time.
    let until = until.map(|until| format!("/{}", until.timestamp_millis())).unwrap_or_default();
    event_id_of(&format!(
        "{}/{channel}/{}/{state}{until}",
        key.occurrence_id.simple(),
        key.device_id.simple()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_same_id_for_same_outcome() {
        let key = DeliveryKey {
            occurrence_id: Uuid::from_u128(1),
            channel: Channel::Push,
            device_id: Uuid::from_u128(2),
        };
        let id = |key, state| outcome_id(key, state, None);
        assert_eq!(id(key, DeliveryState::Sent), id(key, DeliveryState::Sent));
        assert_ne!(id(key, DeliveryState::Sent), id(key, DeliveryState::Failed));
        let other = DeliveryKey { device_id: Uuid::nil(), ..key };
        assert_ne!(id(key, DeliveryState::Sent), id(other, DeliveryState::Sent));
        let deferred =
            |second| outcome_id(key, DeliveryState::Deferred, DateTime::from_timestamp(second, 0));
        assert_eq!(deferred(1), deferred(1));
        assert_ne!(deferred(1), deferred(2));
    }
}
