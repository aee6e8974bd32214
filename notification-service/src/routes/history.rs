//! `GET /notifications`.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contract::{Channel, DeliveryState, ItemId, NotifyContent, SendData},
    http::{ApiError, ErrorBody, Identity, Params},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api, examples,
    time_format::{optional_time, time},
};
use crate::store::history::{self, Filter, HistoryRow};

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;

/// Which part of the history is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// How many to give.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    /// The `nextCursor` of the part before, with the same filters: stable while new ones are made.
    cursor: Option<String>,
    /// Only those in this state.
    #[param(inline)]
    state: Option<DeliveryState>,
    /// Only those on this channel.
    #[param(inline)]
    channel: Option<Channel>,
    /// Only those of this item, such as a reminder.
    #[param(value_type = Option<String>, max_length = 64)]
    item_id: Option<ItemId>,
    /// `true`: only those whose occurrence was sent on some way and was not read; `false`: only the
    /// others.
    unread: Option<bool>,
}

/// One delivery: an occurrence, on a channel, to a device or the mailbox.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery, example = json!(examples::delivery()))]
pub(super) struct DeliveryAnswer {
    /// Its id.
    id: String,
    /// The occurrence; the deliveries of one reminder at one time share it.
    occurrence_id: String,
    /// Who asked for it: `reminder`, or `notification` for another service's command.
    #[schema(example = "reminder")]
    source: String,
    /// The item it belongs to, such as the reminder.
    item_id: String,
    /// What it reminds of: its date, which may lie after the time of delivery.
    #[serde(serialize_with = "time")]
    date: DateTime<Utc>,
    /// A short heading.
    title: Option<String>,
    /// The text.
    message: String,
    /// What a tap opens.
    url: Option<String>,
    /// The client's own pairs.
    data: BTreeMap<String, String>,
    /// When its occurrence was read; the deliveries of one occurrence share it. `null` while it is
    /// unread.
    #[serde(serialize_with = "optional_time")]
    read_at: Option<DateTime<Utc>>,
    /// `push` or `email`.
    #[schema(example = "push")]
    channel: String,
    /// The device of a push.
    device_id: Option<String>,
    /// `pending`, `sent`, `failed`, `suppressed` or `deferred`.
    #[schema(example = "sent")]
    state: String,
    /// Why, as a stable code.
    #[schema(example = "NO_DEVICE")]
    reason: Option<String>,
    /// How often it was tried.
    attempts: i32,
    /// The time of delivery that was asked for.
    #[serde(serialize_with = "time")]
    due_at: DateTime<Utc>,
    /// When the first attempt began.
    #[serde(serialize_with = "optional_time")]
    first_attempt_at: Option<DateTime<Utc>>,
    /// While it is pending or deferred: when it is tried again at the latest.
    #[serde(serialize_with = "optional_time")]
    next_attempt_at: Option<DateTime<Utc>>,
    /// When it came to its end; of `sent`: when the provider accepted it.
    #[serde(serialize_with = "optional_time")]
    finished_at: Option<DateTime<Utc>>,
}

/// A part of the caller's deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::deliveries()))]
pub(super) struct Deliveries {
    /// Newest first.
    notifications: Vec<DeliveryAnswer>,
    /// Where the next part begins, if there is one. With filters a part may be shorter than what
    /// was asked for, even empty, and not be the last one: no more than 2,000 deliveries are looked
    /// through for it.
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

/// List what was sent to the caller, newest first
///
/// One entry for each delivery: a reminder on three devices and by e-mail is four deliveries of one
/// occurrence.
#[utoipa::path(
    get,
    path = "/notifications",
    operation_id = "listNotifications",
    tag = "notifications",
    params(Query),
    responses(
        (status = 200, description = "A part of the history", body = Deliveries),
        (status = 400, description = "`INVALID_REQUEST`: a parameter is malformed or unknown; the message names it", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(api): State<Api>,
    identity: Identity,
    Params(query): Params<Query>,
) -> Result<Json<Deliveries>, ApiError> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::invalid(format!("limit: must be between 1 and {MAX_LIMIT}")));
    }
    let before = query.cursor.as_deref().map(read_cursor).transpose()?;
    let Query { state, channel, item_id, unread, .. } = query;
    let filter = Filter { state, channel, item_id: item_id.map(Into::into), unread };
    let page = history::of_user(&api.pool, &identity.user_id, &filter, before, limit).await?;
    let next_cursor = page.next.map(|last| last.simple().to_string());
    Ok(Json(Deliveries {
        notifications: page.rows.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

fn read_cursor(text: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text)
        .map_err(|_| ApiError::invalid("cursor: must be a nextCursor as it was answered"))
}
