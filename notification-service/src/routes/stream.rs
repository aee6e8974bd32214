//! `GET /notifications/stream`: the caller's deliveries as they reach a state, as server-sent
//! events.
//!
//! Each stream polls the database once a [`PERIOD`] (`store::change_feed` describes the query). So
//! it sees changes by any replica, at no cost to the writers. The streams of a process share a few
//! connections, and a page is read only after the client has received the previous one, so that a
//! slow client holds one page in memory.

mod cursor;
mod limits;

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue},
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use rest::Identity;
use service::http::{ApiError, ErrorBody};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::{cursor::Cursor, limits::StreamPermit};
use super::{AppState, examples, history::DeliveryAnswer, inbox::Unread};
use crate::store::{
    change_feed::{self, Change, Position},
    inbox,
};

pub use limits::Streams;

/// Interval of polling.
const PERIOD: Duration = Duration::from_secs(1);
/// Factor of the pause after a slow query: the streams of a user with many deliveries use a small
/// part of a connection.
const PAUSE_FACTOR: u32 = 20;
/// Longest pause after a query.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Interval of polling while the database is unreachable.
const PERIOD_UNAVAILABLE: Duration = Duration::from_secs(5);
/// Number of deliveries that are read at once and that each stream may hold, at most 12 KiB each.
const PAGE: i64 = 8;
/// Longest duration of a stream. Afterwards, the client reconnects, authenticates again and
/// resumes.
const MAX_DURATION: Duration = Duration::from_secs(60 * 60);

/// Stream of one client.
struct DeliveryStream {
    state: AppState,
    user_id: String,
    cursor: Cursor,
    read: VecDeque<Change>,
    /// Revision of the read marks at the last count, `None` before the first one.
    revision: Option<i64>,
    /// `true` if a delivery was sent since the last count.
    has_arrivals: bool,
    unread: Option<Unread>,
    ends_at: Instant,
    is_unavailable: bool,
    /// Duration of the last query.
    query_time: Duration,
    permit: StreamPermit,
}

/// Stream deliveries
///
/// Server-sent events of two types. `unread`: number of unread occurrences, at the beginning and
/// after each change. `delivery`: a delivery in the form of `GET /notifications`, each time it
/// reaches a state (`sent`, `failed`, `suppressed`, `deferred`). A stream begins with the current
/// time; changes of the moments before may be among its first events. With `Last-Event-ID`, the
/// `id` of an event, it resumes after that event, on any replica and up to 7 days later, without
/// gaps or repeats; for a delivery that reached several states meanwhile, only the last one is
/// sent. A stream covers the caller's newest 10,000 deliveries. A comment every 15 seconds keeps
/// the connection open. A stream ends after one hour or when its process stops; then the client
/// reconnects.
#[utoipa::path(
    get,
    path = "/notifications/stream",
    operation_id = "streamNotifications",
    tag = "notifications",
    params(("Last-Event-ID" = Option<String>, Header, description = "Resumes after this event")),
    responses(
        (
            status = 200,
            description = "The events",
            content_type = "text/event-stream",
            body = String,
            example = json!(examples::STREAM)
        ),
        (
            status = 400,
            description = "`INVALID_REQUEST`: `Last-Event-ID` is malformed",
            body = ErrorBody
        ),
        (
            status = 429,
            description = "`RATE_LIMITED`: the caller has 10 open streams",
            body = ErrorBody
        ),
        (
            status = 503,
            description = "`UPSTREAM_UNAVAILABLE`: too many streams are open, or the database is \
                unreachable; try again after `Retry-After`",
            body = ErrorBody
        ),
    ),
)]
pub(super) async fn stream(
    State(state): State<AppState>,
    identity: Identity,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let permit = state.streams.open_stream(&identity.user_id)?;
    let last = headers.get("last-event-id").map(read_cursor).transpose()?;
    let cursor = start_cursor(&state, &permit, &identity.user_id, last).await?;
    let deliveries = DeliveryStream {
        state,
        user_id: identity.user_id,
        cursor,
        read: VecDeque::new(),
        revision: None,
        has_arrivals: false,
        unread: None,
        ends_at: Instant::now() + MAX_DURATION,
        is_unavailable: false,
        query_time: Duration::ZERO,
        permit,
    };
    let events = stream::unfold(deliveries, async |mut deliveries| {
        deliveries.next().await.map(|event| (Ok::<_, Infallible>(event), deliveries))
    });
    // Asks proxies not to buffer the response.
    let unbuffered = [("x-accel-buffering", HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(events).keep_alive(KeepAlive::default())))
}

fn read_cursor(value: &HeaderValue) -> Result<Cursor, ApiError> {
    let read = value.to_str().ok().and_then(|text| text.parse().ok());
    read.ok_or_else(|| {
        ApiError::invalid("Last-Event-ID: must be the id of an event of this stream")
    })
}

/// Returns the start of a stream: after the last event, or the current position. A position ahead
/// of the database's was written before the database was restored from a backup: such a stream
/// begins at the current position.
async fn start_cursor(
    state: &AppState,
    permit: &StreamPermit,
    user_id: &str,
    last: Option<Cursor>,
) -> Result<Cursor, ApiError> {
    let now = state.clock.now();
    let unknown = Position { xid: i64::MAX, id: Uuid::max() };
    let _connection = state.streams.connection(permit).await.map_err(ApiError::unexpected)?;
    let look = change_feed::look(&state.pool, user_id, cursor::oldest_low_water_mark(now), unknown)
        .await?;
    match last.filter(|last| last.position.xid <= look.horizon) {
        Some(last) => Ok(last.limited_to_max_age(now)),
        None => Ok(Cursor {
            position: Position { xid: look.horizon, id: Uuid::nil() },
            low_water_mark: cursor::low_water_mark(look.oldest_open, now),
        }),
    }
}

/// Returns the pause after a query of this duration.
fn pause_after(query_time: Duration) -> Duration {
    (query_time * PAUSE_FACTOR).clamp(PERIOD, MAX_PAUSE)
}

impl DeliveryStream {
    /// Returns the next event, `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(change) = self.read.pop_front() {
                self.cursor.position = change.position;
                self.has_arrivals |= change.delivery.state == "sent";
                return Some(self.event("delivery", &DeliveryAnswer::from(change.delivery)));
            }
            if Instant::now() >= self.ends_at {
                return None;
            }
            let streams = self.state.streams.clone();
            let advanced = tokio::select! {
                advanced = self.advance() => advanced,
                () = streams.ended() => return None,
            };
            if let Err(error) = &advanced
                && !self.is_unavailable
            {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "delivery stream cannot read the database, will retry"
                );
            }
            self.is_unavailable = advanced.is_err();
            if let Ok(Some(unread)) = advanced {
                return Some(self.event("unread", &unread));
            }
            if self.read.is_empty() {
                self.wait().await;
            }
        }
    }

    /// Reads new changes. If there are none, moves the cursor to the position of the query, and
    /// counts unread occurrences if their number may have changed.
    async fn advance(&mut self) -> Result<Option<Unread>, sqlx::Error> {
        let Ok(_connection) = self.state.streams.connection(&self.permit).await else {
            return Ok(None);
        };
        let Cursor { position, low_water_mark } = self.cursor;
        let (now, began) = (self.state.clock.now(), Instant::now());
        let look =
            change_feed::look(&self.state.pool, &self.user_id, low_water_mark, position).await?;
        self.query_time = began.elapsed();
        if look.has_changes {
            self.read =
                change_feed::after(&self.state.pool, &self.user_id, low_water_mark, position, PAGE)
                    .await?
                    .into();
            return Ok(None);
        }
        self.cursor = Cursor {
            position: Position { xid: look.horizon, id: Uuid::nil() },
            low_water_mark: cursor::low_water_mark(look.oldest_open, now),
        };
        if self.revision == Some(look.revision) && !self.has_arrivals {
            return Ok(None);
        }
        let unread = Unread::from(inbox::unread(&self.state.pool, &self.user_id).await?);
        (self.revision, self.has_arrivals) = (Some(look.revision), false);
        Ok((self.unread.replace(unread) != Some(unread)).then_some(unread))
    }

    /// Waits until the next query, or until the process stops.
    async fn wait(&self) {
        let pause =
            if self.is_unavailable { PERIOD_UNAVAILABLE } else { pause_after(self.query_time) };
        tokio::select! { () = sleep(pause) => {} () = self.state.streams.ended() => {} }
    }

    fn event(&self, name: &str, data: &impl serde::Serialize) -> Event {
        let data = serde_json::to_string(data).unwrap_or_default();
        Event::default().id(self.cursor.to_string()).event(name).data(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_longer_after_slow_query() {
        let pause = |millis| pause_after(Duration::from_millis(millis));
        assert_eq!(pause(1), PERIOD);
        assert_eq!(pause(200), Duration::from_secs(4));
        assert_eq!(pause(60_000), MAX_PAUSE);
    }
}
