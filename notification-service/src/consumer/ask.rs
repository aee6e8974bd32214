//! What the messages of the notification queue ask for.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    bus::Received,
    contract::{Envelope, EventType},
};
use uuid::Uuid;

use super::reconcile::Question;
use crate::{
    delivery::{Arrival, Dispatch},
    erasure::Erasure,
    revision::Revision,
};

/// What a message asks for.
#[derive(Debug)]
enum Ask {
    Send(Box<Dispatch>),
    Revise(Vec<Revision>),
    Erase(Erasure),
    Reconcile(Box<Question>, Option<Box<Dispatch>>),
}

/// What a batch asks for, each with the positions of the messages that do.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// In the order of their ids, each once: two batches that share occurrences never wait for each
    /// other in a circle.
    pub(super) sends: BTreeMap<Uuid, (Dispatch, Vec<usize>)>,
    pub(super) revisions: Vec<(Vec<Revision>, usize)>,
    pub(super) erasures: Vec<(Erasure, usize)>,
    /// Questions about occurrences; those that may have to be sent are among the sends.
    pub(super) questions: Vec<(Question, usize)>,
    /// Why nothing can ever come of the others.
    pub(super) rejected: Vec<(usize, String)>,
}

impl Asked {
    /// Reads a batch.
    pub(super) fn read(batch: &[Received]) -> Self {
        let mut asked = Self::default();
        for (position, message) in batch.iter().enumerate() {
            match read(message) {
                Ok(Ask::Send(dispatch)) => asked.send(*dispatch, position),
                Ok(Ask::Reconcile(question, dispatch)) => {
                    if let Some(dispatch) = dispatch {
                        asked.send(*dispatch, position);
                    }
                    asked.questions.push((*question, position));
                }
                Ok(Ask::Revise(revisions)) => asked.revisions.push((revisions, position)),
                Ok(Ask::Erase(erasure)) => asked.erasures.push((erasure, position)),
                Err(reason) => asked.rejected.push((position, reason)),
            }
        }
        asked
    }

    fn send(&mut self, dispatch: Dispatch, position: usize) {
        let known =
            self.sends.entry(dispatch.occurrence_id()).or_insert_with(|| (dispatch, Vec::new()));
        known.1.push(position);
    }
}

fn read(message: &Received) -> Result<Ask, String> {
    let envelope = Envelope::decode(message).map_err(|error| error.to_string())?;
    match envelope.event_type {
        EventType::NotificationSend => send(envelope, message.sent_at).map(Box::new).map(Ask::Send),
        EventType::NotificationUpdate => revisions(envelope, true).map(Ask::Revise),
        EventType::NotificationDelete => revisions(envelope, false).map(Ask::Revise),
        EventType::UserErased => erasure(envelope).map(Ask::Erase),
        EventType::NotificationReconcile => reconcile(envelope, message.sent_at),
        other => Err(format!("{other} is not for this queue")),
    }
}

fn send(envelope: Envelope, queued_at: DateTime<Utc>) -> Result<Dispatch, String> {
    let mut send = envelope.send().map_err(|error| error.to_string())?;
    // It concerns the way here alone, and is not stored.
    let arrival = Some(Arrival { as_of: send.as_of.take(), queued_at });
    let Envelope { user_id, user_email, version, traceparent, .. } = envelope;
    Ok(Dispatch { user_id, user_email, version, send, deliveries: 0, traceparent, arrival })
}

fn reconcile(envelope: Envelope, queued_at: DateTime<Utc>) -> Result<Ask, String> {
    let data = envelope.reconcile().map_err(|error| error.to_string())?;
    let Envelope { user_id, user_email, item_id, version, traceparent, .. } = envelope;
    let dispatch = data.send.clone().map(|send| {
        let (user_id, arrival) = (user_id.clone(), Some(Arrival { as_of: None, queued_at }));
        Box::new(Dispatch {
            user_id,
            user_email,
            version,
            send,
            deliveries: 0,
            traceparent,
            arrival,
        })
    });
    let question = Question { user_id, item_id, version, traceparent, data };
    Ok(Ask::Reconcile(Box::new(question), dispatch))
}

fn revisions(envelope: Envelope, has_content: bool) -> Result<Vec<Revision>, String> {
    let revision = envelope.revision().map_err(|error| error.to_string())?;
    let content = match (revision.content, has_content) {
        (None, true) => return Err("no content".to_owned()),
        (content, true) => content,
        (_, false) => None,
    };
    let Envelope { user_id, version, occurred_at: at, .. } = envelope;
    let of = |occurrence: uuid::fmt::Simple| Revision {
        occurrence_id: occurrence.into_uuid(),
        user_id: user_id.clone(),
        version,
        content: content.clone(),
        at,
    };
    Ok(revision.occurrences.into_iter().map(of).collect())
}

fn erasure(envelope: Envelope) -> Result<Erasure, String> {
    let receipt_id = envelope.erased().map_err(|error| error.to_string())?.receipt_id.into();
    // The message says it to the millisecond: all of that one is meant.
    let whole = envelope.occurred_at.checked_add_signed(TimeDelta::microseconds(999));
    let erased_at = whole.unwrap_or(envelope.occurred_at);
    Ok(Erasure { user_id: envelope.user_id, erased_at, receipt_id })
}
