//! `GET /notifications`.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, ItemId, NotifyContent, Reason, SendData};
use rest::{Faults, Identity, LenientParams};
use serde::{Deserialize, Serialize};
use service::http::ApiError;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    AppState, examples,
    time_format::{optional_time, time},
};
use crate::store::history::{self, Filter, HistoryRow};

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;

/// Query of `GET /notifications`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Number of deliveries on a page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    /// The `nextCursor` of the previous page, with the same filters. New deliveries do not shift
    /// the pages.
    cursor: Option<String>,
    /// Only deliveries in this state.
    #[param(inline)]
    state: Option<DeliveryState>,
    /// Only deliveries on this channel.
    #[param(inline)]
    channel: Option<Channel>,
    /// Only deliveries of this item, such as a reminder.
    #[param(
        value_type = Option<String>,
        min_length = 1,
        max_length = 64,
        pattern = "^[A-Za-z0-9._~-]*$",
    )]
    item_id: Option<ItemId>,
    /// `true`: only deliveries of occurrences that were sent on at least one channel and are
    /// unread. `false`: only the others.
    unread: Option<bool>,
}

/// Delivery of an occurrence on a channel to a device or mailbox.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery, example = json!(examples::delivery()))]
pub(super) struct DeliveryAnswer {
    /// Id of the delivery.
    id: String,
    /// Id of the occurrence. All deliveries of one reminder at one time share it.
    occurrence_id: String,
    /// Source of the occurrence: `reminder`, or `notification` for a command of another service.
    #[schema(example = "reminder")]
    source: String,
    /// Id of the item that it belongs to, such as the reminder.
    item_id: String,
    /// Date of the reminder, which may be later than the delivery.
    #[serde(serialize_with = "time")]
    date: DateTime<Utc>,
    /// Heading.
    title: Option<String>,
    /// Text.
    message: String,
    /// URL that a tap opens.
    url: Option<String>,
    /// Key-value pairs of the client.
    data: BTreeMap<String, String>,
    /// Time at which the occurrence was read, `null` while it is unread. All deliveries of one
    /// occurrence share it.
    #[serde(serialize_with = "optional_time")]
    read_at: Option<DateTime<Utc>>,
    /// Channel: `push` or `email`.
    #[schema(example = "push")]
    channel: String,
    /// Id of the device of a push.
    device_id: Option<String>,
    /// State: `pending`, `sent`, `failed`, `suppressed` or `deferred`.
    #[schema(example = "sent")]
    state: String,
    /// Reason code of the state. Later versions may add codes.
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    /// Number of attempts made.
    attempts: i32,
    /// Requested time of the delivery.
    #[serde(serialize_with = "time")]
    due_at: DateTime<Utc>,
    /// Start of the first attempt.
    #[serde(serialize_with = "optional_time")]
    first_attempt_at: Option<DateTime<Utc>>,
    /// Latest time of the next attempt of a pending or deferred delivery.
    #[serde(serialize_with = "optional_time")]
    next_attempt_at: Option<DateTime<Utc>>,
    /// Time of the final state. For `sent`: time at which the provider accepted it.
    #[serde(serialize_with = "optional_time")]
    finished_at: Option<DateTime<Utc>>,
}

/// Page of the caller's deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::deliveries()))]
pub(super) struct Deliveries {
    /// Deliveries, newest first.
    notifications: Vec<DeliveryAnswer>,
    /// Cursor of the next page, `null` on the last page. With filters, a page may be shorter than
    /// `limit`, or even empty, without being the last one: at most 2,000 deliveries are searched
    /// for one page.
    next_cursor: Option<String>,
}

impl From<HistoryRow> for DeliveryAnswer {
    fn from(row: HistoryRow) -> Self {
        let SendData { date, content: NotifyContent { title, message, url, data, .. }, .. } =
            row.send;
        Self {
            id: row.id.simple().to_string(),
            occurrence_id: row.occurrence_id.simple().to_string(),
            source: row.source,
            item_id: row.item_id,
            date,
            title,
            message,
            url,
            data,
            read_at: row.read_at,
            channel: row.channel,
            device_id: (!row.device_id.is_nil()).then(|| row.device_id.simple().to_string()),
            state: row.state,
            reason: row.reason,
            attempts: row.attempts,
            due_at: row.due_at,
            first_attempt_at: row.first_attempt_at,
            next_attempt_at: row.next_attempt_at,
            finished_at: row.finished_at,
        }
    }
}

/// List deliveries
///
/// Newest first, with one entry for each delivery: a reminder that goes to three devices and by
/// e-mail has four deliveries of one occurrence.
#[utoipa::path(
    get,
    path = "/notifications",
    operation_id = "listNotifications",
    tag = "notifications",
    params(Query),
    responses(
        (status = 200, description = "A page of deliveries", body = Deliveries),
    ),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    identity: Identity,
    LenientParams { value: query, faults }: LenientParams<Query>,
) -> Result<Json<Deliveries>, ApiError> {
    let mut faults = Faults::begin(faults);
    let limit = faults.take(checked_limit(query.limit.unwrap_or(DEFAULT_LIMIT)));
    let before = faults.take(query.cursor.as_deref().map(read_cursor).transpose());
    let (limit, before) = faults.or(limit.zip(before))?;
    let Query { state: in_state, channel, item_id, unread, .. } = query;
    let filter = Filter { state: in_state, channel, item_id: item_id.map(Into::into), unread };
    let page = history::of_user(&state.pool, &identity.user_id, &filter, before, limit).await?;
    let next_cursor = page.next.map(|last| last.simple().to_string());
    Ok(Json(Deliveries {
        notifications: page.rows.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

fn checked_limit(limit: i64) -> Result<i64, ApiError> {
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::invalid(format!("limit: must be between 1 and {MAX_LIMIT}")))
}

fn read_cursor(text: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text)
        .map_err(|_| ApiError::invalid("cursor: must be the nextCursor of an earlier response"))
}
