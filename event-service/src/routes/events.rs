//! `GET /events`: the catalogue, newest first.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::http::{ApiError, ErrorBody, Params};
use utoipa::{IntoParams, ToSchema};

use super::{AppState, examples, page};
use crate::store::{Cursor, EventFilter, EventRow};

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Of this user.
    user_id: Option<String>,
    /// Of this item.
    item_id: Option<String>,
    /// Of this type, such as `reminder:created`.
    r#type: Option<String>,
    /// Not before.
    from: Option<DateTime<Utc>>,
    /// Before.
    to: Option<DateTime<Utc>>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// At most so many: 1 to 500, 50 by default.
    limit: Option<i64>,
}

/// An event of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::event()))]
pub(super) struct EventView {
    /// Its identity.
    #[schema(example = "018f6d0c-6d1b-7c5e-9f59-0d0c6b1c7e11")]
    event_id: String,
    /// What it tells or commands.
    #[schema(example = "reminder:created")]
    r#type: String,
    /// The item it concerns.
    item_id: String,
    /// The user it concerns.
    user_id: String,
    /// The item's version.
    version: i64,
    /// When it happened.
    occurred_at: DateTime<Utc>,
    /// When it was applied here.
    received_at: DateTime<Utc>,
    /// `eventData`.
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
    /// Newest first.
    events: Vec<EventView>,
    /// Where the next page begins; none after the last.
    next_cursor: Option<String>,
}

/// The catalogue, newest first.
#[utoipa::path(get, path = "/events", tag = "catalogue", params(EventsQuery), responses(
    (status = 200, body = EventPage), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(query): Params<EventsQuery>,
) -> Result<Json<EventPage>, ApiError> {
    let limit = page::limit(query.limit)?;
    let after = query.cursor.as_deref().map(page::read).transpose()?;
    let filter = EventFilter {
        user_id: query.user_id,
        item_id: query.item_id,
        event_type: query.r#type,
        from: query.from,
        to: query.to,
    };
    let page = state.store.events(&filter, after, limit).await?;
    let last = page.rows.last().filter(|_| page.is_full);
    let next_cursor = last
        .map(|row| page::write(Cursor { occurred_at: row.occurred_at, event_id: row.event_id }));
    Ok(Json(EventPage {
        events: page.rows.into_iter().map(EventView::from).collect(),
        next_cursor,
    }))
}
