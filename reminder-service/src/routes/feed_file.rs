//! `GET /calendar/{secret}.ics`: a calendar feed, which calendar apps read without an identity.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use rest::{PathText, streamed};
use service::http::{ApiError, ErrorBody, Peer, Reason};
use utoipa::IntoParams;

use super::{AppState, calendar};
use crate::{
    domain::feed::{Secret, entity_tag, is_known},
    store,
    usecases::{CALENDAR_REMINDERS, export_calendar},
};

/// Route of the calendar files; its parameter is the name of a file.
pub(super) const ROUTE: &str = "/calendar/{file}";
/// Longest wait for a permit to write a calendar: many calendar apps read on the hour, and one that
/// is refused asks again hours later.
const PERMIT_WAIT: Duration = Duration::from_secs(10);

/// Path of a calendar file.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path that `PathText` reads")]
pub(super) struct SecretPath {
    /// Secret of the feed
    secret: String,
}

/// Read a calendar feed
///
/// Needs no identity: the address is the secret. The file is that of `GET /reminders/export.ics`,
/// with the user's newest 10,000 reminders. It may be read once a second on average and 30 times at
/// once.
#[utoipa::path(
    get,
    path = "/calendar/{secret}.ics",
    operation_id = "readFeed",
    tag = "feeds",
    params(
        SecretPath,
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of the last answer"),
    ),
    security(()),
    responses(
        (
            status = 200,
            body = String,
            content_type = "text/calendar",
            description = "An iCalendar file (RFC 5545)",
            headers(("ETag" = String, description = "Changes with every change of a reminder")),
        ),
        (status = 304, description = "The file is that of `If-None-Match`"),
        (status = 404, body = ErrorBody, description = "`NOT_FOUND`: no feed has this address"),
    ),
)]
pub(super) async fn read(
    State(state): State<AppState>,
    peer: Option<Extension<Peer>>,
    PathText(file): PathText,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let source = peer.map(|Extension(peer)| peer.0);
    let user_id = user_of(&state, source, file.as_deref()).await?;
    let pool = &state.resources.pool;
    let versions = store::versions(pool, &user_id, CALENDAR_REMINDERS as i64).await?;
    let tag = entity_tag(&versions, time_zone::edition());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let response = if known.is_some_and(|known| is_known(known, &tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if method == Method::HEAD {
        // Without a length: that of the file is not known before it is written.
        let none = Body::from_stream(stream::empty::<Result<Vec<u8>, Infallible>>());
        ([(header::CONTENT_TYPE, calendar::CONTENT_TYPE)], none).into_response()
    } else {
        let permit = state.exports.acquire_within(&user_id, PERMIT_WAIT).await?;
        let export = export_calendar(&state.resources, user_id, false).await?;
        streamed(permit, calendar::CONTENT_TYPE, move |writer| calendar::write(export, writer))
    };
    Ok(with_validators(response, &tag))
}

/// Finds the user of a feed, within the limits of the feed and of unknown secrets.
async fn user_of(
    state: &AppState,
    source: Option<std::net::IpAddr>,
    file: Option<&str>,
) -> Result<String, ApiError> {
    let missing = || ApiError::new(Reason::NotFound, "no calendar has this address");
    let limits = &state.feeds;
    let Some(digest) = file.and_then(Secret::of_file).map(|secret| secret.digest()) else {
        limits.take_miss(source)?;
        return Err(missing());
    };
    let search = limits.search(digest).await?;
    let user_id = store::user_of_feed(&state.resources.pool, &digest).await?;
    limits.end(search, source, user_id)?.ok_or_else(missing)
}

/// Adds the headers by which a client asks again for the file only when it has changed. No shared
/// cache may keep it, and the answer of a revoked address must not come from a cache.
fn with_validators(mut response: Response, tag: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}
