//! `GET /events/stream`: the catalogue as it grows, by server-sent events.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use rest::Params;
use serde::Deserialize;
use service::http::{ApiError, Reason};
use sqlx::PgPool;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit},
    time::{Instant, sleep},
};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{AppState, events::EventView, examples};
use crate::store::{
    catalogue::{EventFilter, EventRow},
    stream::{self as store, AppliedSnapshot, FoundEvent, SCAN_LIMIT, StreamPosition},
};

/// Interval of the scans for new events.
const PERIOD: Duration = Duration::from_millis(250);
/// Events of a stream that are in memory at once.
const PAGE: usize = 16;
/// Time after which a stream that shows nothing sends its position to the client.
const POSITION_INTERVAL: Duration = Duration::from_secs(15);

/// Filter of the event stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Only events of this user.
    user_id: Option<String>,
    /// Only events of this item.
    item_id: Option<String>,
    /// Only events of this type.
    r#type: Option<String>,
}

/// Horizon of all streams of a process, read once a period for all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Horizon(Arc<Mutex<Option<(Instant, i64)>>>);

impl Horizon {
    async fn current(&self, pool: &PgPool) -> Result<i64, sqlx::Error> {
        let mut known = self.0.lock().await;
        if let Some((at, horizon)) = *known
            && at.elapsed() < PERIOD
        {
            return Ok(horizon);
        }
        let horizon = store::horizon(pool).await?;
        *known = Some((Instant::now(), horizon));
        Ok(horizon)
    }
}

/// One client's stream.
struct EventStream {
    state: AppState,
    filter: EventFilter,
    position: StreamPosition,
    /// Events that a stream without a `Last-Event-ID` does not show.
    already: Option<AppliedSnapshot>,
    /// Events that pass the filter and are still to be read.
    found: VecDeque<FoundEvent>,
    read: VecDeque<EventRow>,
    /// Last position that was sent to the client, and its time.
    last_position: (Instant, StreamPosition),
    _permit: OwnedSemaphorePermit,
}

/// Stream events as they are applied
///
/// Events that any replica applies, from now on or after `Last-Event-ID`. Each is named by its
/// type, and its data is an event as `GET /events` shows it. A stream that has shown nothing for a
/// while sends an `id` alone, from which a client that reconnects continues.
#[utoipa::path(
    get,
    path = "/events/stream",
    operation_id = "streamEvents",
    tag = "catalogue",
    params(
        StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Id after which to continue"),
    ),
    responses((
        status = 200,
        content_type = "text/event-stream",
        body = String,
        description = "Server-sent events",
        example = json!(examples::STREAM),
    )),
)]
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
    let (position, already) = match headers.get("last-event-id") {
        Some(value) => {
            (known_position(&state.pool, value.to_str().unwrap_or_default()).await?, None)
        }
        None => {
            let (position, already) = store::start(&state.pool).await?;
            (position, Some(already))
        }
    };
    let filter = EventFilter {
        user_id: query.user_id,
        item_id: query.item_id,
        event_type: query.r#type,
        ..EventFilter::default()
    };
    let stream = EventStream {
        state,
        filter,
        position,
        already,
        found: VecDeque::new(),
        read: VecDeque::new(),
        last_position: (Instant::now(), position),
        _permit: permit,
    };
    let events = stream::unfold(stream, async |mut stream| {
        stream.next().await.map(|event| (Ok::<_, Infallible>(event), stream))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

impl EventStream {
    /// Returns the next event; `None` once the process drains.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(row) = self.read.pop_front() {
                let position = StreamPosition { xid: row.received_xid, event_id: row.event_id };
                self.last_position = (Instant::now(), position);
                return Some(sse_event(row));
            }
            let has_more = self.read_more().await.unwrap_or_else(|error| {
                tracing::warn!(error = %error, "event stream cannot read the database, will retry");
                false
            });
            if !self.read.is_empty() || has_more {
                continue;
            }
            if self.last_position.0.elapsed() >= POSITION_INTERVAL
                && self.last_position.1 != self.position
            {
                self.last_position = (Instant::now(), self.position);
                return Some(Event::default().id(id_of(self.position)));
            }
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = self.state.shutdown.cancelled() => return None,
            }
        }
    }

    /// Reads events that a scan has found, or else scans for new ones; returns `true` if there may
    /// be more.
    async fn read_more(&mut self) -> Result<bool, sqlx::Error> {
        if self.found.is_empty() {
            return self.scan().await;
        }
        let page: Vec<FoundEvent> = self.found.iter().take(PAGE).copied().collect();
        self.read = store::events_at(&self.state.pool, &page).await?.into();
        self.found.drain(..page.len());
        Ok(true)
    }

    async fn scan(&mut self) -> Result<bool, sqlx::Error> {
        let horizon = self.state.horizon.current(&self.state.pool).await?;
        if horizon <= self.position.xid {
            return Ok(false);
        }
        if self.already.as_ref().is_some_and(|already| self.position.xid >= already.until) {
            self.already = None;
        }
        let (filter, already) = (&self.filter, self.already.as_ref());
        let found = store::scan(&self.state.pool, filter, self.position, horizon, already).await?;
        self.position = after_scan(&found, horizon);
        self.found = found.into_iter().filter(|seen| seen.passes).collect();
        Ok(!self.found.is_empty() || self.position.xid < horizon)
    }
}

/// Returns the position after a scan: after all events that it read, whether they passed or not.
fn after_scan(found: &[FoundEvent], horizon: i64) -> StreamPosition {
    match found.last() {
        Some(last) if found.len() as i64 == SCAN_LIMIT => last.position,
        _ => StreamPosition { xid: horizon, event_id: Uuid::nil() },
    }
}

fn sse_event(row: EventRow) -> Event {
    let position = StreamPosition { xid: row.received_xid, event_id: row.event_id };
    let event = Event::default().id(id_of(position)).event(row.event_type.clone());
    let data = serde_json::to_string(&EventView::from(row)).unwrap_or_default();
    event.data(data)
}

fn id_of(position: StreamPosition) -> String {
    format!("{}-{}", position.xid, position.event_id.simple())
}

/// Reads the position that a client names. A position later than the database's transactions is
/// refused: the database was restored or replaced since, and the stream would send nothing until it
/// reaches that position.
async fn known_position(pool: &PgPool, text: &str) -> Result<StreamPosition, ApiError> {
    let parsed = text.split_once('-').and_then(|(xid, id)| {
        Some(StreamPosition { xid: xid.parse().ok()?, event_id: Uuid::try_parse(id).ok()? })
    });
    let unknown = || ApiError::invalid("Last-Event-ID: must be the id of an event of this stream");
    let position = parsed.filter(|position| position.xid >= 0).ok_or_else(unknown)?;
    if position.xid > store::horizon(pool).await? {
        return Err(unknown());
    }
    Ok(position)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn found(count: i64) -> Vec<FoundEvent> {
        let sighting = |number: i64| FoundEvent {
            position: StreamPosition { xid: number, event_id: Uuid::from_u128(7) },
            occurred_at: DateTime::UNIX_EPOCH,
            passes: false,
        };
        (1..=count).map(sighting).collect()
    }

    #[test]
    fn advances_position_when_nothing_passes() {
        let at_horizon = StreamPosition { xid: 5_000, event_id: Uuid::nil() };
        assert_eq!(after_scan(&[], 5_000), at_horizon);
        assert_eq!(after_scan(&found(3), 5_000), at_horizon);
        let full = found(SCAN_LIMIT);
        assert_eq!(after_scan(&full, 5_000), full[full.len() - 1].position);
    }
}
