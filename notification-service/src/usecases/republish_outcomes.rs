//! Republication of outcomes: answers event-service about occurrences that were released and have
//! no outcome there.
//!
//! The ledger's outcomes are published again under the same event ids; pending deliveries stay as
//! they are; an occurrence that nobody knows is published as failed, or as suppressed if it was
//! cancelled. An occurrence that can still be sent was accepted before, and is in the ledger by
//! now.

use chrono::{DateTime, Utc};
use contract::{
    DeliveryState, Event, EventType, ItemId, OutcomeData, Reason, ReasonCode, ReconcileData,
    Schema, Traceparent, Unknown, event_id_of, new_id,
};
use service::{
    consumer::isolation::Attempt,
    outbox::{self, OutboxMessage, RelayHandle},
};
use sqlx::PgPool;
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{delivery::is_correction, events::outcome_id},
    store::{
        self,
        delivery_status::{self, DeliveryStatus},
        revisions,
    },
};

/// Question about an occurrence.
#[derive(Debug, Clone)]
pub struct Question {
    /// User of the occurrence.
    pub user_id: String,
    /// Item of the occurrence.
    pub item_id: ItemId,
    /// Version of the item.
    pub version: i64,
    /// Trace of the question.
    pub traceparent: Option<Traceparent>,
    /// Body of the message.
    pub data: ReconcileData,
}

impl Question {
    fn occurrence_id(&self) -> Uuid {
        self.data.occurrence_id.into_uuid()
    }
}

/// Publishes the outcomes of occurrences again.
pub struct RepublishOutcomes {
    /// Pool of the devices database.
    pub pool: PgPool,
    /// Hands published messages to the relay.
    pub relay_handle: RelayHandle,
}

impl Attempt for RepublishOutcomes {
    type Item = Question;
    type Error = Error;

    async fn attempt(&self, questions: &[Question]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let now = store::now(&mut *transaction).await?;
        let ids: Vec<Uuid> = questions.iter().map(Question::occurrence_id).collect();
        let known = delivery_status::of_occurrences(&mut transaction, &ids).await?;
        let cancelled = revisions::cancellations(&mut *transaction, &ids).await?;
        let mut messages = Vec::new();
        for question in questions {
            messages.extend(match known.get(&question.occurrence_id()) {
                Some(deliveries) => known_outcomes(question, deliveries)?,
                None if question.data.send.is_some() => Vec::new(),
                None => {
                    let cancelled = cancelled.get(&question.occurrence_id()).copied();
                    vec![unknown_outcome(question, cancelled, now)?]
                }
            });
        }
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        metrics::counter!("reminders_outcomes_republished_total").increment(messages.len() as u64);
        self.relay_handle.after_commit(messages);
        Ok(())
    }
}

/// Returns the ledger's outcomes of an occurrence, as they were published the first time.
fn known_outcomes(
    question: &Question,
    deliveries: &[DeliveryStatus],
) -> Result<Vec<OutboxMessage>, serde_json::Error> {
    let mut messages = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let reason = delivery.reason.as_ref().and_then(ReasonCode::known);
        let corrects = reason.is_some_and(is_correction);
        match delivery.state {
            DeliveryState::Pending => {}
            DeliveryState::Failed if corrects => {
                // It was published as sent before: both messages may have been lost.
                let sent = DeliveryState::Sent;
                messages.push(known_outcome(question, delivery, sent, None)?);
                let failed = DeliveryState::Failed;
                messages.push(known_outcome(question, delivery, failed, Some(sent))?);
            }
            state => messages.push(known_outcome(question, delivery, state, None)?),
        }
    }
    Ok(messages)
}

fn known_outcome(
    question: &Question,
    delivery: &DeliveryStatus,
    state: DeliveryState,
    corrects: Option<DeliveryState>,
) -> Result<OutboxMessage, serde_json::Error> {
    let until = delivery.deferred_until.filter(|_| state == DeliveryState::Deferred);
    let at = delivery.finished_at.unwrap_or(question.data.due_at);
    let was_corrected = state == DeliveryState::Sent && delivery.state == DeliveryState::Failed;
    let data = OutcomeData {
        channel: Some(delivery.key.channel),
        device_id: (!delivery.key.device_id.is_nil()).then(|| delivery.key.device_id.simple()),
        state,
        corrects,
        reason: delivery.reason.clone().filter(|_| !was_corrected),
        attempts: delivery.attempts,
        at,
        until,
        provider_message_id: delivery.provider_message_id.clone(),
        deliveries: delivery.deliveries,
        ..outcome_data(question, state, at)
    };
    message(question, delivery.version, outcome_id(delivery.key, state, until), data)
}

/// Returns the outcome of an occurrence that is not in the ledger. `cancelled` is the reason of its
/// cancellation, if the command that cancels it has arrived.
fn unknown_outcome(
    question: &Question,
    cancelled: Option<Reason>,
    now: DateTime<Utc>,
) -> Result<OutboxMessage, serde_json::Error> {
    let otherwise = question.data.otherwise;
    let (state, reason) = match otherwise {
        Unknown::LostInTransit => (DeliveryState::Failed, Reason::LostInTransit),
        Unknown::Cancelled => (DeliveryState::Suppressed, cancelled.unwrap_or(Reason::Cancelled)),
    };
    let data = OutcomeData { reason: Some(reason.into()), ..outcome_data(question, state, now) };
    let id = event_id_of(&format!("{}/{otherwise}", question.data.occurrence_id));
    message(question, question.version, id, data)
}

fn outcome_data(question: &Question, state: DeliveryState, at: DateTime<Utc>) -> OutcomeData {
    OutcomeData {
        occurrence_id: question.data.occurrence_id,
        source: question.data.source.clone(),
        channel: None,
        device_id: None,
        state,
        corrects: None,
        republished: true,
        reason: None,
        attempts: 0,
        due_at: question.data.due_at,
        item_changed_at: question.data.send.as_ref().and_then(|send| send.item_changed_at),
        at,
        until: None,
        provider_message_id: None,
        deliveries: 0,
    }
}

/// Returns the message in an outbox row of its own: the first one may be parked in the outbox.
fn message(
    question: &Question,
    version: i64,
    event_id: Uuid,
    data: OutcomeData,
) -> Result<OutboxMessage, serde_json::Error> {
    let event_type = data.state.event_type().unwrap_or(EventType::NotificationFailed);
    let message = OutboxMessage::of(&Event {
        event_type,
        event_id,
        occurred_at: data.at,
        user_id: question.user_id.clone(),
        user_email: None,
        item_id: question.item_id.clone(),
        version,
        schema: Schema::V2,
        traceparent: question.traceparent,
        data,
    })?;
    Ok(OutboxMessage { event_id: new_id(), ..message })
}
