//! Requests of the notification queue, read from its messages.

use std::collections::BTreeMap;

use bus::{Received, Rejection};
use chrono::{DateTime, TimeDelta, Utc};
use contract::{DecodeError, Envelope, EventType, Reason};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{Arrival, Dispatch, cancellation_reason},
        erasure::Erasure,
        revision::{Change, Revision},
    },
    usecases::republish_outcomes::Question,
};

/// Request of one message.
#[derive(Debug)]
enum Request {
    Send(Box<Dispatch>),
    Revise(Vec<Revision>),
    Erase(Erasure),
    Reconcile(Box<Question>, Option<Box<Dispatch>>),
}

/// Requests of a batch, each with the positions of its messages.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Occurrences to accept, in the order of their ids and each once, so that two batches which
    /// share occurrences do not deadlock.
    pub(super) sends: BTreeMap<Uuid, (Dispatch, Vec<usize>)>,
    /// Revisions of occurrences, by message.
    pub(super) revisions: Vec<(Vec<Revision>, usize)>,
    /// Erasures of users.
    pub(super) erasures: Vec<(Erasure, usize)>,
    /// Questions about occurrences; those that can still be sent are among the sends as well.
    pub(super) questions: Vec<(Question, usize)>,
    /// Messages that can never be applied, each with the reason.
    pub(super) rejected: Vec<(usize, Rejection)>,
}

impl Requests {
    /// Reads a batch.
    pub(super) fn read(batch: &[Received]) -> Self {
        let mut requests = Self::default();
        for (position, message) in batch.iter().enumerate() {
            match read(message) {
                Ok(Request::Send(dispatch)) => requests.send(*dispatch, position),
                Ok(Request::Reconcile(question, dispatch)) => {
                    if let Some(dispatch) = dispatch {
                        requests.send(*dispatch, position);
                    }
                    requests.questions.push((*question, position));
                }
                Ok(Request::Revise(revisions)) => requests.revisions.push((revisions, position)),
                Ok(Request::Erase(erasure)) => requests.erasures.push((erasure, position)),
                Err(rejection) => requests.rejected.push((position, rejection)),
            }
        }
        requests
    }

    fn send(&mut self, dispatch: Dispatch, position: usize) {
        let known =
            self.sends.entry(dispatch.occurrence_id()).or_insert_with(|| (dispatch, Vec::new()));
        known.1.push(position);
    }
}

fn read(message: &Received) -> Result<Request, Rejection> {
    let envelope = Envelope::decode(message).map_err(|error| unreadable(&error))?;
    match envelope.event_type {
        EventType::NotificationSend => {
            send(envelope, message.sent_at).map(Box::new).map(Request::Send)
        }
        EventType::NotificationUpdate => revisions(envelope, true).map(Request::Revise),
        EventType::NotificationDelete => revisions(envelope, false).map(Request::Revise),
        EventType::UserErased => erasure(envelope).map(Request::Erase),
        EventType::NotificationReconcile => reconcile(envelope, message.sent_at),
        other => Err(Rejection::new(Reason::Misrouted, format!("{other} is not for this queue"))),
    }
}

fn unreadable(error: &DecodeError) -> Rejection {
    Rejection::new(Reason::Unreadable, error.to_string())
}

fn send(envelope: Envelope, queued_at: DateTime<Utc>) -> Result<Dispatch, Rejection> {
    let mut send = envelope.send().map_err(|error| unreadable(&error))?;
    // It concerns the arrival alone, and is not stored.
    let arrival = Some(Arrival { as_of: send.as_of.take(), queued_at });
    let Envelope { user_id, user_email, version, traceparent, .. } = envelope;
    Ok(Dispatch { user_id, user_email, version, send, deliveries: 0, traceparent, arrival })
}

fn reconcile(envelope: Envelope, queued_at: DateTime<Utc>) -> Result<Request, Rejection> {
    let data = envelope.reconcile().map_err(|error| unreadable(&error))?;
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
    Ok(Request::Reconcile(Box::new(question), dispatch))
}

fn revisions(envelope: Envelope, has_content: bool) -> Result<Vec<Revision>, Rejection> {
    let revision = envelope.revision().map_err(|error| unreadable(&error))?;
    let change = match (revision.content, has_content) {
        (Some(content), true) => Change::Content(content),
        (None, true) => {
            return Err(Rejection::new(Reason::Invalid, "content: is missing"));
        }
        (_, false) => Change::Cancellation(cancellation_reason(revision.reason.as_deref())),
    };
    let Envelope { user_id, version, occurred_at: at, .. } = envelope;
    let of = |occurrence: uuid::fmt::Simple| Revision {
        occurrence_id: occurrence.into_uuid(),
        user_id: user_id.clone(),
        version,
        change: change.clone(),
        at,
    };
    Ok(revision.occurrences.into_iter().map(of).collect())
}

fn erasure(envelope: Envelope) -> Result<Erasure, Rejection> {
    let receipt_id = envelope.erased().map_err(|error| unreadable(&error))?.receipt_id.into();
    // The message names the time to the millisecond: all of that millisecond is meant.
    let whole = envelope.occurred_at.checked_add_signed(TimeDelta::microseconds(999));
    let erased_at = whole.unwrap_or(envelope.occurred_at);
    Ok(Erasure { user_id: envelope.user_id, erased_at, receipt_id })
}
