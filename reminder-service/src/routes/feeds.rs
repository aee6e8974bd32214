//! `/calendar/feeds`: the caller's calendar feeds.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{HeaderMap, StatusCode, header::HOST, request::Parts},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use rest::{IdempotencyKeyHeader, Identity, OptionalBody, PathId};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, ErrorBody};
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    answer::{optional_time, time},
    examples,
};
use crate::{
    domain::feed::{Feed, Secret},
    store,
    usecases::{self, Answer, Error, create_feed, revoke_feed, rotate_feed},
};

/// A body without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyBody {}

/// Path of the calls on one feed.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path that `PathId` reads")]
pub(super) struct FeedPath {
    /// Id of the feed
    id: String,
}

/// A feed, without its address.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::feed()))]
pub(super) struct FeedAnswer {
    /// Id of the feed.
    id: String,
    /// Time of its creation.
    #[serde(serialize_with = "time")]
    created_at: DateTime<Utc>,
    /// Last time at which its address was replaced.
    #[serde(serialize_with = "optional_time")]
    rotated_at: Option<DateTime<Utc>>,
}

impl From<Feed> for FeedAnswer {
    fn from(Feed { id, created_at, rotated_at }: Feed) -> Self {
        Self { id: id.simple().to_string(), created_at, rotated_at }
    }
}

/// A feed with its address, which no other answer has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::new_feed()))]
pub(super) struct NewFeed {
    /// The feed.
    #[serde(flatten)]
    feed: FeedAnswer,
    /// Address for calendar apps, made of the host that the request names. The address is a
    /// secret: all who know it can read the reminders.
    url: String,
    /// Path of the address.
    path: String,
}

/// The feeds of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::feeds()))]
pub(super) struct Feeds {
    /// The feeds, the oldest first.
    feeds: Vec<FeedAnswer>,
}

/// Scheme and host under which the client reached the service, as the gateway forwards them.
pub(super) struct PublicBase(String);

impl<S: Send + Sync> FromRequestParts<S> for PublicBase {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let authority = parts.uri.authority().map(|authority| authority.as_str());
        Ok(Self(base(&parts.headers, authority)))
    }
}

fn base(headers: &HeaderMap, authority: Option<&str>) -> String {
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
    };
    let is_host = |host: &&str| {
        host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    let host = first("x-forwarded-host").or_else(|| first(HOST.as_str())).or(authority);
    let Some(host) = host.filter(is_host) else { return String::new() };
    let scheme = if first("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    format!("{scheme}://{host}")
}

fn respond(
    status: StatusCode,
    PublicBase(base): &PublicBase,
    answer: Answer<(Feed, Secret)>,
) -> Response {
    match answer {
        Answer::First((feed, secret)) => {
            let path = format!("/calendar/{}", secret.file());
            let url = format!("{base}{path}");
            (status, Json(NewFeed { feed: feed.into(), url, path })).into_response()
        }
        Answer::Repeat(replay) => replay.into_response(),
    }
}

/// Create a calendar feed
///
/// Calendar apps subscribe to its `url`, which is shown only in this answer. A repeat with the same
/// `Idempotency-Key` returns the feed without it. A user may have five feeds.
#[utoipa::path(
    post,
    path = "/calendar/feeds",
    operation_id = "createFeed",
    tag = "feeds",
    params(IdempotencyKeyHeader),
    responses(
        (status = 201, body = NewFeed, description = "The feed and its address"),
        (status = 400, body = ErrorBody, description = "`INVALID_REQUEST`: the body has fields"),
        (status = 409, body = ErrorBody, description = "`CONFLICT`: the caller has five feeds"),
    ),
)]
pub(super) async fn create(
    State(state): State<AppState>,
    Identity { user_id, .. }: Identity,
    base: PublicBase,
    body: OptionalBody<EmptyBody>,
) -> Result<Response, ApiError> {
    let created =
        create_feed(&state.resources, &user_id, body.key.as_ref(), FeedAnswer::from).await?;
    Ok(respond(StatusCode::CREATED, &base, created))
}

/// List the caller's calendar feeds
#[utoipa::path(
    get,
    path = "/calendar/feeds",
    operation_id = "listFeeds",
    tag = "feeds",
    responses((status = 200, body = Feeds, description = "The feeds, without their addresses")),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Identity { user_id, .. }: Identity,
) -> Result<Json<Feeds>, ApiError> {
    let feeds = store::feeds(&state.resources.pool, &user_id).await?;
    Ok(Json(Feeds { feeds: feeds.into_iter().map(FeedAnswer::from).collect() }))
}

/// Replace the address of a calendar feed
///
/// The earlier address stops to work at once. The new one is shown only in this answer.
#[utoipa::path(
    post,
    path = "/calendar/feeds/{id}/rotate",
    operation_id = "rotateFeed",
    tag = "feeds",
    params(FeedPath, IdempotencyKeyHeader),
    responses(
        (status = 200, body = NewFeed, description = "The feed and its new address"),
        (status = 400, body = ErrorBody, description = "`INVALID_REQUEST`: the body has fields"),
        (status = 404, body = ErrorBody, description = "`NOT_FOUND`: the caller has no such feed"),
    ),
)]
pub(super) async fn rotate(
    State(state): State<AppState>,
    Identity { user_id, .. }: Identity,
    PathId(id): PathId,
    base: PublicBase,
    body: OptionalBody<EmptyBody>,
) -> Result<Response, ApiError> {
    let id = id.ok_or_else(missing)?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let rotated = rotate_feed(resources, &user_id, key, id, FeedAnswer::from).await?;
    Ok(respond(StatusCode::OK, &base, rotated))
}

/// Revoke a calendar feed
///
/// Its address stops to work at once.
#[utoipa::path(
    delete,
    path = "/calendar/feeds/{id}",
    operation_id = "revokeFeed",
    tag = "feeds",
    params(FeedPath),
    responses(
        (status = 200, description = "The feed is revoked; the answer is empty"),
        (status = 404, body = ErrorBody, description = "`NOT_FOUND`: the caller has no such feed"),
    ),
)]
pub(super) async fn revoke(
    State(state): State<AppState>,
    Identity { user_id, .. }: Identity,
    PathId(id): PathId,
) -> Result<StatusCode, ApiError> {
    revoke_feed(&state.resources, &user_id, id.ok_or_else(missing)?).await?;
    Ok(StatusCode::OK)
}

fn missing() -> usecases::Error {
    Error::MissingFeed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_host_of_client() {
        let base = |headers: &[(&'static str, &str)], authority| {
            let headers = headers.iter().map(|(name, value)| {
                (name.parse().expect("a name"), value.parse().expect("a value"))
            });
            base(&headers.collect(), authority)
        };
        assert_eq!(base(&[("host", "127.0.0.1:3000")], None), "http://127.0.0.1:3000");
        assert_eq!(base(&[], Some("api.example.com")), "http://api.example.com");
        let forwarded = [
            ("host", "reminder-service"),
            ("x-forwarded-host", "api.example.com, proxy"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(base(&forwarded, None), "https://api.example.com");
        assert_eq!(base(&[("host", "a/b")], None), "");
    }
}
