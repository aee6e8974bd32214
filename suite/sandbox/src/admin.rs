//! Control API of the sandbox, below `/_sandbox/`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State as Shared},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{delete, get, post, put},
};
use futures::StreamExt;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Mode,
    capture::Stats,
    sandbox::{State, stream_of},
};

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/_sandbox/messages", get(messages).delete(clear))
        .route("/_sandbox/stream", get(stream))
        .route("/_sandbox/attempts", get(attempts))
        .route("/_sandbox/stats", get(stats))
        .route("/_sandbox/mode", put(set_mode).get(mode))
        .route("/_sandbox/tokens", delete(revoke_tokens))
        .route("/_sandbox/go-away", post(go_away))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MessageQuery {
    after: u64,
    kind: Option<String>,
    limit: Option<usize>,
}

async fn messages(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<MessageQuery>,
) -> Json<Value> {
    let wanted = |kind: &str| query.kind.as_deref().is_none_or(|wanted| wanted == kind);
    let limit = query.limit.unwrap_or(usize::MAX);
    let all = state.store.after(query.after);
    let messages: Vec<_> = all
        .iter()
        .map(Arc::as_ref)
        .filter(|message| wanted(message.kind.name()))
        .take(limit)
        .collect();
    Json(json!({"messages": messages, "lastSeq": state.store.last_seq()}))
}

async fn stream(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<MessageQuery>,
    headers: HeaderMap,
) -> Response {
    let resumed =
        headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let kind = query.kind;
    let wanted = stream_of(state, resumed.unwrap_or(query.after)).filter(move |message| {
        let keep = kind.as_deref().is_none_or(|wanted| wanted == message.kind.name());
        std::future::ready(keep)
    });
    let events = wanted.map(|message| {
        let data = serde_json::to_string(&*message).unwrap_or_default();
        Ok::<_, Infallible>(
            Event::default().id(message.seq.to_string()).event(message.kind.name()).data(data),
        )
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AttemptQuery {
    address: Option<String>,
}

async fn attempts(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<AttemptQuery>,
) -> Json<Value> {
    let wanted = |address: &str| query.address.as_deref().is_none_or(|wanted| wanted == address);
    Json(json!({"attempts": state.store.attempts(|attempt| wanted(&attempt.address))}))
}

async fn stats(Shared(state): Shared<Arc<State>>) -> Json<Stats> {
    Json(state.store.stats())
}

async fn clear(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.store.clear();
    StatusCode::NO_CONTENT
}

async fn mode(Shared(state): Shared<Arc<State>>) -> Json<Mode> {
    Json(Mode::clone(&state.mode()))
}

async fn set_mode(Shared(state): Shared<Arc<State>>, Json(mode): Json<Mode>) -> Json<Mode> {
    state.set_mode(mode.clone());
    Json(mode)
}

async fn revoke_tokens(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.tokens.revoke();
    StatusCode::NO_CONTENT
}

async fn go_away(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.go_away();
    StatusCode::NO_CONTENT
}
