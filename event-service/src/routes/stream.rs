//! `GET /events/stream`: the catalogue as it grows, by server-sent events.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use serde::Deserialize;
use shared::http::{ApiError, ErrorBody, Params, Reason};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{AppState, events::EventView, examples};
use crate::store::{Applied, EventFilter, EventRow, StreamPosition};

/// How often it looks for new events.
const PERIOD: Duration = Duration::from_millis(250);
/// Events read at once.
const PAGE: i64 = 500;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Of this user.
    user_id: Option<String>,
    /// Of this item.
    item_id: Option<String>,
    /// Of this type.
    r#type: Option<String>,
}

/// One client's stream.
struct Following {
    state: AppState,
    filter: EventFilter,
    position: StreamPosition,
    /// Of a stream that begins now: what it need not show.
    already: Option<Applied>,
    read: VecDeque<EventRow>,
    _permit: OwnedSemaphorePermit,
}

/// Events as any replica applies them, from now on, or after `Last-Event-ID`. Each is named by its type, and its data is
/// an event as `GET /events` shows it.
#[utoipa::path(get, path = "/events/stream", tag = "catalogue",
    params(StreamQuery, ("Last-Event-ID" = Option<String>, Header, description = "Goes on after this one")),
    responses((status = 200, content_type = "text/event-stream", body = String, example = json!(examples::STREAM)), (status = 400, body = ErrorBody),
        (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn stream(
    State(state): State<AppState>,
    headers: HeaderMap,
    Params(query): Params<StreamQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let permit = state
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| ApiError::new(Reason::RateLimited, "too many streams are open"))?;
    let (position, already) = match headers.get("last-event-id").and_then(|value| value.to_str().ok()) {
        Some(text) => (read_position(text)?, None),
        None => state.store.stream_start().await.map(|(position, already)| (position, Some(already)))?,
    };
    let filter = EventFilter {
        user_id: query.user_id,
        item_id: query.item_id,
        event_type: query.r#type,
        ..EventFilter::default()
    };
    let following = Following { state, filter, position, already, read: VecDeque::new(), _permit: permit };
    let events = stream::unfold(following, async |mut following| {
        following.next().await.map(|event| (Ok::<_, Infallible>(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

impl Following {
    /// The next event; none once the process drains.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(row) = self.read.pop_front() {
                return Some(written(row));
            }
            match self.state.store.events_after(&self.filter, self.position, self.already.as_ref(), PAGE).await {
                Ok(rows) => {
                    let full = rows.len() as i64 == PAGE;
                    if let Some(last) = rows.last() {
                        self.position = StreamPosition { xid: last.received_xid, event_id: last.event_id };
                    }
                    self.read = rows.into();
                    if full {
                        continue;
                    }
                }
                Err(error) => tracing::warn!(error = %error, "a stream of events waits for the database"),
            }
            if self.read.is_empty() {
                tokio::select! { () = sleep(PERIOD) => {} () = self.state.shutdown.cancelled() => return None }
            }
        }
    }
}

fn written(row: EventRow) -> Event {
    let id = format!("{}-{}", row.received_xid, row.event_id.simple());
    let event = Event::default().id(id).event(row.event_type.clone());
    let data = serde_json::to_string(&EventView::from(row)).unwrap_or_default();
    event.data(data)
}

fn read_position(text: &str) -> Result<StreamPosition, ApiError> {
    let parsed = text
        .split_once('-')
        .and_then(|(xid, id)| Some(StreamPosition { xid: xid.parse().ok()?, event_id: Uuid::try_parse(id).ok()? }));
    parsed.ok_or_else(|| ApiError::invalid("Last-Event-ID: is none of ours"))
}
