//! `GET /dead-letters`, `POST /dead-letters/redrive`: lists and redrives messages that could not be
//! consumed.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    bus::{REASON_ATTRIBUTE, Received},
    http::{ApiError, Body, ErrorBody, Params},
};
use utoipa::{IntoParams, ToSchema};

use super::{AppState, examples, page};

/// Largest number of messages that one call moves.
const MAX_MOVED: usize = 10_000;

/// Queue whose dead letters are listed or redriven.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Queue {
    /// Queue of event-service.
    #[default]
    Event,
    /// Queue of notification-service.
    Notification,
    /// Bounces and complaints of SES, which notification-service reads.
    Feedback,
}

impl Queue {
    fn name(self, state: &AppState) -> Result<&str, ApiError> {
        match self {
            Self::Event => Ok(&state.queues.event),
            Self::Notification => Ok(&state.queues.notification),
            Self::Feedback => state.queues.feedback.as_deref().ok_or_else(|| {
                ApiError::invalid(
                    "queue: there is no feedback queue; SES_FEEDBACK_QUEUE_URL is not set",
                )
            }),
        }
    }
}

/// Query of the list of dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLettersQuery {
    /// Queue: `event` (default), `notification` or `feedback`.
    #[param(inline)]
    #[serde(default)]
    queue: Queue,
    /// Page size: 1 to 500, default 50.
    limit: Option<i64>,
}

/// A message that could not be consumed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeadLetter {
    /// Id of the message on the bus.
    message_id: String,
    /// Why it is here; none when it was received too often without an answer.
    reason: Option<String>,
    /// Number of times that the message was received.
    receive_count: u32,
    /// Time at which the message was put into the dead-letter queue.
    sent_at: DateTime<Utc>,
    /// Attributes of the message.
    attributes: BTreeMap<String, String>,
    /// Body of the message.
    body: String,
}

impl From<Received> for DeadLetter {
    fn from(mut received: Received) -> Self {
        Self {
            reason: received.attributes.remove(REASON_ATTRIBUTE),
            message_id: received.message_id,
            receive_count: received.receive_count,
            sent_at: received.sent_at,
            attributes: received.attributes,
            body: received.body,
        }
    }
}

/// A list of dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::dead_letters()))]
pub(super) struct DeadLetters {
    /// Dead letters that the bus returned; the queue may hold more.
    dead_letters: Vec<DeadLetter>,
}

/// Request to redrive dead letters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!(examples::redrive()))]
pub(super) struct Redrive {
    /// Queue; default `event`.
    #[serde(default)]
    queue: Queue,
    /// Largest number of messages to move: 1 to 10,000, default 10,000.
    max: Option<usize>,
}

/// Result of a redrive.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::redriven()))]
pub(super) struct Redriven {
    /// Number of messages that were moved back into their queue.
    moved: u64,
}

/// List messages that could not be consumed, each with its reason. The messages stay in the queue.
#[utoipa::path(get, path = "/dead-letters", tag = "operation", params(DeadLettersQuery), responses(
    (status = 200, body = DeadLetters), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(query): Params<DeadLettersQuery>,
) -> Result<Json<DeadLetters>, ApiError> {
    let limit = usize::try_from(page::limit(query.limit)?).unwrap_or_default();
    let letters = state.bus.dead_letters(query.queue.name(&state)?, limit).await?;
    Ok(Json(DeadLetters { dead_letters: letters.into_iter().map(DeadLetter::from).collect() }))
}

/// Move dead letters back into their queue, to be consumed again.
#[utoipa::path(post, path = "/dead-letters/redrive", tag = "operation", request_body = Redrive, responses(
    (status = 200, body = Redriven), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn redrive(
    State(state): State<AppState>,
    body: Body<Redrive>,
) -> Result<Json<Redriven>, ApiError> {
    let max = body.value.max.unwrap_or(MAX_MOVED);
    if !(1..=MAX_MOVED).contains(&max) {
        return Err(ApiError::invalid(format!("max: expected 1 to {MAX_MOVED}")));
    }
    let moved = state.bus.redrive(body.value.queue.name(&state)?, max).await?;
    tracing::info!(moved, "dead letters were redriven");
    Ok(Json(Redriven { moved }))
}
