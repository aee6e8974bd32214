//! Answers what event-service asks about occurrences that were released and have no end there: the
//! ledger tells again what it knows, what waits goes on waiting, and what nobody knows is told as
//! failed. What can still be sent was taken in as a send before, and is known by then.

use chrono::{DateTime, Utc};
use shared::{
    consumer::isolation::Attempt,
    contract::{
        DeliveryState, Event, ItemId, OutcomeData, ReconcileData, Schema, Unknown, event_id_of,
        new_id,
    },
    outbox::{self, OutboxMessage},
    telemetry::Traceparent,
};
use uuid::Uuid;

use super::{Error, Intake};
use crate::{
    delivery::reason,
    events::outcome_id,
    store::{
        self,
        delivery_status::{self, Told},
    },
};

/// An occurrence that is asked about.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) user_id: String,
    pub(super) item_id: ItemId,
    pub(super) version: i64,
    pub(super) traceparent: Option<Traceparent>,
    pub(super) data: ReconcileData,
}

impl Question {
    fn occurrence_id(&self) -> Uuid {
        self.data.occurrence_id.into_uuid()
    }
}

/// Answers questions. One that is answered again is told again under the same event ids.
pub(super) struct Answer<'a>(pub(super) &'a Intake);

impl Attempt for Answer<'_> {
    type Item = Question;
    type Error = Error;

    async fn attempt(&self, questions: &[Question]) -> Result<(), Error> {
        self.0.try_answer(questions).await
    }
}

impl Intake {
    async fn try_answer(&self, questions: &[Question]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let now = store::now(&mut *transaction).await?;
        let ids: Vec<Uuid> = questions.iter().map(Question::occurrence_id).collect();
        let known = delivery_status::of_occurrences(&mut transaction, &ids).await?;
        let mut messages = Vec::new();
        for question in questions {
            messages.extend(match known.get(&question.occurrence_id()) {
                Some(deliveries) => told_again(question, deliveries)?,
                None if question.data.send.is_some() => Vec::new(),
                None => vec![unknown(question, now)?],
            });
        }
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        metrics::counter!("reminders_outcomes_republished_total").increment(messages.len() as u64);
        self.handoff.after_commit(messages);
        Ok(())
    }
}

/// Returns the ledger's outcomes of an occurrence, as they were told the first time.
fn told_again(
    question: &Question,
    deliveries: &[Told],
) -> Result<Vec<OutboxMessage>, serde_json::Error> {
    let mut messages = Vec::with_capacity(deliveries.len());
    for told in deliveries {
        let corrects = told.reason.as_deref().is_some_and(reason::is_correction);
        match told.state {
            DeliveryState::Pending => {}
            DeliveryState::Failed if corrects => {
                // It was told as sent before: both may have been lost.
                messages.push(message(question, told, DeliveryState::Sent, None)?);
                messages.push(message(
                    question,
                    told,
                    DeliveryState::Failed,
                    Some(DeliveryState::Sent),
                )?);
            }
            state => messages.push(message(question, told, state, None)?),
        }
    }
    Ok(messages)
}

fn message(
    question: &Question,
    told: &Told,
    state: DeliveryState,
    corrects: Option<DeliveryState>,
) -> Result<OutboxMessage, serde_json::Error> {
    let until = told.deferred_until.filter(|_| state == DeliveryState::Deferred);
    let at = told.finished_at.unwrap_or(question.data.due_at);
    let first_of_two = state == DeliveryState::Sent && told.state == DeliveryState::Failed;
    let data = OutcomeData {
        channel: Some(told.key.channel),
        device_id: (!told.key.device_id.is_nil()).then(|| told.key.device_id.simple()),
        state,
        corrects,
        reason: told.reason.clone().filter(|_| !first_of_two),
        attempts: told.attempts,
        at,
        until,
        provider_message_id: told.provider_message_id.clone(),
        deliveries: told.deliveries,
        ..outcome(question, state, at)
    };
    written(question, told.version, outcome_id(told.key, state, until), data)
}

/// The end of an occurrence of which nobody knows anything.
fn unknown(question: &Question, now: DateTime<Utc>) -> Result<OutboxMessage, serde_json::Error> {
    let state = match question.data.otherwise {
        Unknown::LostInTransit => DeliveryState::Failed,
        Unknown::Cancelled => DeliveryState::Suppressed,
    };
    let otherwise = question.data.otherwise.as_str();
    let data = OutcomeData { reason: Some(otherwise.to_owned()), ..outcome(question, state, now) };
    let id = event_id_of(&format!("{}/{otherwise}", question.data.occurrence_id));
    written(question, question.version, id, data)
}

fn outcome(question: &Question, state: DeliveryState, at: DateTime<Utc>) -> OutcomeData {
    OutcomeData {
        occurrence_id: question.data.occurrence_id,
        source: question.data.source.clone(),
        channel: None,
        device_id: None,
        state,
        corrects: None,
        retold: true,
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

/// The message, in a row of its own: that of the first time may be parked in the outbox.
fn written(
    question: &Question,
    version: i64,
    event_id: Uuid,
    data: OutcomeData,
) -> Result<OutboxMessage, serde_json::Error> {
    let event_type =
        data.state.event_type().unwrap_or(shared::contract::EventType::NotificationFailed);
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
