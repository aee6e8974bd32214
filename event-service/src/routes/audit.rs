//! `GET /audit`: what operators did; and the middleware that records it.

use axum::{
    Json,
    extract::{MatchedPath, RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use contract::new_id;
use rest::{LenientParams, Operator};
use serde::{Deserialize, Serialize};
use service::http::ApiError;
use utoipa::{IntoParams, ToSchema};

use super::{AppState, examples, page};
use crate::store::{
    audit::{self, Action, NewAction},
    catalogue::Cursor,
};

/// Query of the list of actions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Page size.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
}

/// An operator's action on user data or on messages.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuditedAction {
    /// The action's id.
    id: String,
    /// When it began.
    at: DateTime<Utc>,
    /// Actor: `operator-` followed by the first characters of the token's digest, `local` if no
    /// token is required, or `user`.
    actor: String,
    /// `REDRIVE`, `EXPORT` or `ERASE`.
    action: String,
    /// SHA-256 of the id of the user concerned, in hexadecimal; `null` if the action concerns no
    /// single user.
    subject: Option<String>,
    /// Id of the request; for an erasure, the id of its receipt.
    request_id: String,
    /// `DONE`, or `FAILED` with the status of the response; `null` while the action is in progress.
    result: Option<String>,
}

/// A page of actions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::audit()))]
pub(super) struct Audit {
    /// Actions, newest first.
    actions: Vec<AuditedAction>,
    /// Cursor of the next page, with older actions; `null` on the last page.
    next_cursor: Option<String>,
}

impl From<Action> for AuditedAction {
    fn from(action: Action) -> Self {
        let hex = |digest: Vec<u8>| digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            id: action.id.simple().to_string(),
            at: action.at,
            actor: action.actor,
            action: action.action,
            subject: action.subject.map(hex),
            request_id: action.request_id,
            result: action.result,
        }
    }
}

/// List the audit log, newest first
///
/// Redrives, exports and erasures, each with its actor and its result.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "listActions",
    tag = "operation",
    params(AuditQuery),
    responses((status = 200, body = Audit, description = "One page of actions")),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    LenientParams { value: query, faults }: LenientParams<AuditQuery>,
) -> Result<Json<Audit>, ApiError> {
    let (limit, after) = page::checked(query.limit, query.cursor.as_deref(), faults)?;
    let mut actions = audit::list(&state.pool, after, limit + 1).await?;
    let is_more = actions.len() as i64 > limit;
    actions.truncate(usize::try_from(limit).unwrap_or_default());
    let next_cursor = actions
        .last()
        .filter(|_| is_more)
        .map(|last| page::write(Cursor { occurred_at: last.at, event_id: last.id }));
    Ok(Json(Audit { actions: actions.into_iter().map(AuditedAction::from).collect(), next_cursor }))
}

/// Middleware that records redrives and exports: before the call, so that none happens without a
/// record, and its result afterwards.
pub(super) async fn record(
    State(state): State<AppState>,
    operator: Operator,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // The route refuses a path that is not UTF-8.
    let Some((action, user_id)) = params.ok().and_then(|params| audited(&request, &params)) else {
        return next.run(request).await;
    };
    let request_id =
        request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let new = NewAction {
        id: new_id(),
        actor: operator.0,
        action,
        user_id,
        request_id: request_id.to_owned(),
    };
    if let Err(error) = audit::begin(&state.pool, &new).await {
        return ApiError::from(error).into_response();
    }
    let response = next.run(request).await;
    let status = response.status();
    let result =
        if status.is_success() { "DONE".to_owned() } else { format!("FAILED {}", status.as_u16()) };
    if let Err(error) = audit::end(&state.pool, new.id, &result).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            action.id = %new.id,
            "result of an operator action was not recorded"
        );
    }
    response
}

/// Returns the kind of action and the id of the user concerned; `None` for a request that changes
/// nothing.
fn audited(request: &Request, params: &RawPathParams) -> Option<(&'static str, Option<String>)> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    match (request.method(), route) {
        (&Method::POST, "/dead-letters/redrive") => Some(("REDRIVE", None)),
        (&Method::GET | &Method::HEAD, "/users/{userId}/export") => {
            let user_id = params
                .iter()
                .find(|(name, _)| *name == "userId")
                .map(|(_, value)| value.to_owned());
            Some(("EXPORT", user_id))
        }
        _ => None,
    }
}
