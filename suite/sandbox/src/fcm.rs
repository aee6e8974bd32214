//! FCM HTTP v1: `POST /v1/projects/{project}/messages:send`.
//!
//! See "REST Resource: projects.messages" and "FCM Error Codes" in Firebase's documentation.

mod behaviour;
mod error;
mod message;
mod shape;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State as Shared},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde_json::{Value, json};
use uuid::Uuid;

pub use behaviour::Behaviour;
pub(crate) use behaviour::SendCounts;
use error::Refusal;

use crate::{
    capture::{Attempt, Kind, Push},
    sandbox::State,
    server,
};

/// A request that passed the checks.
#[derive(Debug)]
struct Request {
    project: String,
    message: Value,
    validate_only: bool,
    at: DateTime<Utc>,
}

impl Request {
    fn token(&self) -> &str {
        self.message["token"].as_str().unwrap_or_default()
    }
}

/// `POST /v1/projects/{project}/messages:send`.
pub(crate) async fn send(
    Shared(state): Shared<Arc<State>>,
    Path((project, call)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at = Utc::now();
    if call != "messages:send" {
        return Refusal::no_such_method().into_response();
    }
    let mode = state.mode();
    if mode.fcm.down {
        return server::broken();
    }
    if mode.fcm.hang {
        return server::unanswered().await;
    }
    let parsed = message::read(&body).map(|(message, validate_only)| Request {
        project,
        message,
        validate_only,
        at,
    });
    let token = parsed.as_ref().map(|request| request.token().to_owned()).unwrap_or_default();
    let validate_only = parsed.as_ref().is_ok_and(|request| request.validate_only);

    let latency = Duration::from_millis(mode.fcm.latency_ms);
    let answer = if !state.tokens.allow(&headers) {
        state.store.count(|stats| stats.unauthenticated += 1);
        Err(Refusal::unauthenticated())
    } else if let Some(status) = mode.fcm.status {
        Err(Refusal::of_status(status, mode.fcm.retry_after))
    } else {
        match parsed {
            Ok(request) => answer(&state, request).await,
            Err(refusal) => Err(refusal),
        }
    };
    let summary = answer.as_ref().map_or_else(Refusal::summary, |_| "200".to_owned());
    state.store.answered(Attempt {
        at,
        kind: "push",
        address: token,
        answer: summary,
        validate_only,
    });
    tokio::time::sleep(latency).await;
    match answer {
        Ok(Some(name)) => Json(json!({ "name": name })).into_response(),
        Ok(None) => server::unanswered().await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Answers as the token selects. `Ok(None)`: the message is accepted and never answered.
async fn answer(state: &State, request: Request) -> Result<Option<String>, Refusal> {
    let behaviour = Behaviour::of(request.token());
    if request.validate_only && !behaviour.fails_validation() {
        return Ok(Some(format!("projects/{}/messages/fake_message_id", request.project)));
    }
    if let Some(refusal) = behaviour.refusal(request.token(), &state.sends) {
        return Err(refusal);
    }
    let name = accept(state, request);
    match behaviour {
        Behaviour::Slow(delay) => {
            tokio::time::sleep(delay).await;
            Ok(Some(name))
        }
        Behaviour::TimeoutAfterAccept => Ok(None),
        _ => Ok(Some(name)),
    }
}

fn accept(state: &State, request: Request) -> String {
    let name = format!("projects/{}/messages/{}", request.project, Uuid::now_v7().simple());
    let push = message::as_shown(request.project, &request.message);
    state.store.accept(request.at, name.clone(), Kind::Push(push), request.message);
    name
}

impl Push {
    /// Returns `true` if this message replaces the other one on the device.
    pub fn replaces(&self, other: &Self) -> bool {
        self.token == other.token
            && self.collapse_key.is_some()
            && self.collapse_key == other.collapse_key
    }
}
