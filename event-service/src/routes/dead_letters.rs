//! `GET /dead-letters`, `POST /dead-letters/redrive`: what could not be consumed, and another try.

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

/// The most that one call moves.
const MAX_MOVED: usize = 10_000;

/// A queue whose dead letters can be looked at.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Queue {
    /// event-service's.
    #[default]
    Event,
    /// notification-service's.
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

/// Which dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLettersQuery {
    /// `event` (the default), `notification` or `feedback`.
    #[param(inline)]
    #[serde(default)]
    queue: Queue,
    /// At most so many: 1 to 500, 50 by default.
    limit: Option<i64>,
}

/// A message that could not be consumed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeadLetter {
    /// The bus's id of it.
    message_id: String,
    /// Why it is here; none when it was received too often without an answer.
    reason: Option<String>,
    /// How often it was received.
    receive_count: u32,
    /// When it was put into the queue.
    sent_at: DateTime<Utc>,
    /// Its attributes.
    attributes: BTreeMap<String, String>,
    /// Its text.
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

/// Dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::dead_letters()))]
pub(super) struct DeadLetters {
    /// Those that the bus showed; it may hold more.
    dead_letters: Vec<DeadLetter>,
}

/// What to try again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!(examples::redrive()))]
pub(super) struct Redrive {
    /// Whose dead letters; the event queue's if not said.
    #[serde(default)]
    queue: Queue,
    /// At most so many: 1 to 10,000, all of them if not said.
    max: Option<usize>,
}

/// What is tried again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::redriven()))]
pub(super) struct Redriven {
    /// So many messages are in their queue again.
    moved: u64,
}

/// What could not be consumed, and why. Looking takes nothing away.
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

/// Puts dead letters back into their queue, for another try.
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
