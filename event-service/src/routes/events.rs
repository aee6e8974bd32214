//! `GET /events`: the catalogue, newest first.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use rest::LenientParams;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::http::ApiError;
use utoipa::{IntoParams, ToSchema};

use super::{AppState, examples, page};
use crate::store::catalogue::{self, Cursor, EventFilter, EventRow};

/// Query of the event catalogue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Only events of this user.
    #[param(pattern = r"^[^\x00]*$")]
    user_id: Option<String>,
    /// Only events of this item.
    #[param(pattern = r"^[^\x00]*$")]
    item_id: Option<String>,
    /// Only events of this type, such as `reminder:created`.
    #[param(pattern = r"^[^\x00]*$")]
    r#type: Option<String>,
    /// Only events at or after this time.
    from: Option<DateTime<Utc>>,
    /// Only events before this time.
    to: Option<DateTime<Utc>>,
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
    /// Page size.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// An event of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::event()))]
pub(super) struct EventView {
    /// Id of the event.
    #[schema(example = "018f6d0c-6d1b-7c5e-9f59-0d0c6b1c7e11")]
    event_id: String,
    /// Type of the event.
    #[schema(example = "reminder:created")]
    r#type: String,
    /// Item that the event concerns.
    item_id: String,
    /// User that the event concerns.
    user_id: String,
    /// Version of the item.
    version: i64,
    /// Time at which the event happened.
    occurred_at: DateTime<Utc>,
    /// Time at which event-service applied the event.
    received_at: DateTime<Utc>,
    /// `eventData` of the message.
    data: Value,
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        Self {
            event_id: row.event_id.to_string(),
            r#type: row.event_type,
            item_id: row.item_id,
            user_id: row.user_id,
            version: row.version,
            occurred_at: row.occurred_at,
            received_at: row.received_at,
            data: row.data,
        }
    }
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::events()))]
pub(super) struct EventPage {
    /// Events, newest first.
    events: Vec<EventView>,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// List events of the catalogue, newest first
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "listEvents",
    tag = "catalogue",
    params(EventsQuery),
    responses((status = 200, body = EventPage, description = "One page of events")),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    LenientParams { value: query, faults }: LenientParams<EventsQuery>,
) -> Result<Json<EventPage>, ApiError> {
    let (limit, after) = page::checked(query.limit, query.cursor.as_deref(), faults)?;
    let filter = EventFilter {
        user_id: query.user_id,
        item_id: query.item_id,
        event_type: query.r#type,
        from: query.from,
        to: query.to,
    };
    let page = catalogue::events(&state.pool, &filter, after, limit).await?;
    let last = page.rows.last().filter(|_| page.is_full);
    let next_cursor = last
        .map(|row| page::write(Cursor { occurred_at: row.occurred_at, event_id: row.event_id }));
    Ok(Json(EventPage {
        events: page.rows.into_iter().map(EventView::from).collect(),
        next_cursor,
    }))
}
