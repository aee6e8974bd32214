//! `GET /dead-letters`, `POST /dead-letters/redrive`: lists and redrives messages that could not be
//! consumed.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use bus::{DETAIL_ATTRIBUTE, REASON_ATTRIBUTE, Received};
use chrono::{DateTime, Utc};
use contract::Reason;
use rest::{Faults, LenientBody, LenientParams, json::WholeNumber};
use serde::{Deserialize, Serialize};
use service::http::ApiError;
use utoipa::{IntoParams, ToSchema};

use super::{AppState, examples, page};
use crate::usecases::redrive_dead_letters::redrive_dead_letters;

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
                ApiError::invalid("queue: no feedback queue is configured (SES_FEEDBACK_QUEUE_URL)")
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
    /// Page size.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// A message that could not be consumed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeadLetter {
    /// Id of the message on the bus.
    message_id: String,
    /// Reason code; `null` if the queue itself moved the message here. Later versions may add
    /// codes.
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    /// Explanation of the reason.
    detail: Option<String>,
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
        let reason = received.attributes.remove(REASON_ATTRIBUTE);
        let detail = received.attributes.remove(DETAIL_ATTRIBUTE);
        // Release 2.0.0 and earlier wrote a sentence as the reason.
        let (reason, sentence): (Option<String>, Option<String>) = match reason {
            Some(text) if !is_code(&text) => (None, Some(text)),
            code => (code, None),
        };
        Self {
            reason,
            detail: detail.or(sentence),
            message_id: received.message_id,
            receive_count: received.receive_count,
            sent_at: received.sent_at,
            attributes: received.attributes,
            body: received.body,
        }
    }
}

/// Returns `true` if a text has the form of a reason code.
fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
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
    /// Largest number of messages to move.
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10000, default = 10000)]
    max: Option<WholeNumber>,
}

/// Result of a redrive.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::redriven()))]
pub(super) struct Redriven {
    /// Number of messages that were moved back into their queue.
    moved: u64,
}

/// List dead letters
///
/// Messages that could not be consumed, each with its reason. They stay in the dead-letter queue.
#[utoipa::path(
    get,
    path = "/dead-letters",
    operation_id = "listDeadLetters",
    tag = "operation",
    params(DeadLettersQuery),
    responses((status = 200, body = DeadLetters, description = "The oldest dead letters")),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    LenientParams { value: query, faults }: LenientParams<DeadLettersQuery>,
) -> Result<Json<DeadLetters>, ApiError> {
    let mut faults = Faults::begin(faults);
    let limit = faults.take(page::limit(query.limit));
    let queue = faults.take(query.queue.name(&state));
    let (limit, queue) = faults.or(limit.zip(queue))?;
    let letters = state.bus.dead_letters(queue, usize::try_from(limit).unwrap_or_default()).await?;
    Ok(Json(DeadLetters { dead_letters: letters.into_iter().map(DeadLetter::from).collect() }))
}

/// Redrive dead letters
///
/// Moves them back into their queue, to be consumed again.
#[utoipa::path(
    post,
    path = "/dead-letters/redrive",
    operation_id = "redriveDeadLetters",
    tag = "operation",
    request_body = Redrive,
    responses((status = 200, body = Redriven, description = "Number of messages moved")),
)]
pub(super) async fn redrive(
    State(state): State<AppState>,
    body: LenientBody<Redrive>,
) -> Result<Json<Redriven>, ApiError> {
    let mut faults = Faults::begin(body.faults);
    let max = faults.take(checked_max(body.value.max));
    let queue = faults.take(body.value.queue.name(&state));
    let (max, queue) = faults.or(max.zip(queue))?;
    let moved = redrive_dead_letters(&state.bus, queue, max).await?;
    Ok(Json(Redriven { moved }))
}

fn checked_max(max: Option<WholeNumber>) -> Result<usize, ApiError> {
    let Some(max) = max else { return Ok(MAX_MOVED) };
    let checked = usize::try_from(max.get()).ok().filter(|max| (1..=MAX_MOVED).contains(max));
    checked.ok_or_else(|| ApiError::invalid(format!("max: must be between 1 and {MAX_MOVED}")))
}

#[cfg(test)]
mod tests {
    use bus::Receipt;

    use super::*;

    fn letter(attributes: &[(&str, &str)]) -> DeadLetter {
        let attribute = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        DeadLetter::from(Received {
            receipt: Receipt("r".to_owned()),
            message_id: "m".to_owned(),
            body: "{}".to_owned(),
            attributes: attributes.iter().map(attribute).collect(),
            receive_count: 1,
            sent_at: Utc::now(),
        })
    }

    #[test]
    fn reads_number_to_redrive_in_any_form() {
        for (text, expected) in [
            ("{}", Some(MAX_MOVED)),
            (r#"{"max":100.0}"#, Some(100)),
            (r#"{"max":1e2}"#, Some(100)),
            (r#"{"max":0}"#, None),
            (r#"{"max":10001}"#, None),
            (r#"{"max":-1}"#, None),
        ] {
            let Redrive { max, .. } = serde_json::from_str(text).expect(text);
            assert_eq!(checked_max(max).ok(), expected, "{text}");
        }
    }

    #[test]
    fn separates_code_from_detail() {
        let letter = letter(&[(REASON_ATTRIBUTE, "UNREADABLE"), (DETAIL_ATTRIBUTE, "no userId")]);
        assert_eq!(letter.reason.as_deref(), Some("UNREADABLE"));
        assert_eq!(letter.detail.as_deref(), Some("no userId"));
        assert!(letter.attributes.is_empty());
    }

    #[test]
    fn shows_sentence_of_old_letter_as_detail() {
        let old = letter(&[(REASON_ATTRIBUTE, "the event type is unknown")]);
        assert_eq!((old.reason, old.detail.as_deref()), (None, Some("the event type is unknown")));
        let unsettled = letter(&[]);
        assert_eq!((unsettled.reason, unsettled.detail), (None, None));
    }
}
