//! `GET /reminders`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use shared::http::{ApiError, ErrorBody, Identity, Params};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    answer::{ReminderAnswer, StatusWord, answers},
    cursor, examples,
};
use crate::{
    reminder::instant,
    store::{self, Filter, Slice},
};

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;
/// Deeper than this a cursor is the way: an offset is counted off row by row.
const MAX_OFFSET: i64 = 10_000;
/// Parts that are read and written at once, fewer than there are connections: a part may have
/// megabytes, and waits for others while its rules are followed.
static AT_ONCE: Semaphore = Semaphore::const_new(6);

/// Which part of the list is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// How many to give.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<i64>,
    /// How many of the newest to pass over. Not together with `cursor`.
    #[param(minimum = 0, maximum = 10000, default = 0)]
    offset: Option<i64>,
    /// The `nextCursor` of the part before, with the same filters: stable while reminders are made
    /// and deleted.
    cursor: Option<String>,
    /// Only those that are now this.
    #[param(inline)]
    status: Option<StatusWord>,
    /// Only those whose `date` is then or later: RFC 3339 with an offset, its `+` encoded as `%2B`.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only those whose `date` is before.
    #[param(format = DateTime)]
    to: Option<String>,
}

/// A part of the caller's reminders.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::list()))]
pub(super) struct Listed {
    reminders: Reminders,
}

/// A part of the caller's reminders, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reminders {
    /// The reminders.
    items: Vec<ReminderAnswer>,
    /// How many were asked for.
    limit: i64,
    /// How many were passed over.
    offset: i64,
    /// How many there are in all that the filters let through.
    total: i64,
    /// Where the next part begins, if there is one.
    next_cursor: Option<String>,
}

/// List the caller's reminders, newest first
#[utoipa::path(
    get,
    path = "/reminders",
    operation_id = "listReminders",
    tag = "reminders",
    params(Query),
    responses(
        (status = 200, description = "A part of the list", body = Listed),
        (status = 400, description = "`INVALID_REQUEST`: a parameter is malformed or unknown; the message names it", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(api): State<Api>,
    identity: Identity,
    Params(query): Params<Query>,
) -> Result<Response, ApiError> {
    let limit = within("limit", query.limit.unwrap_or(DEFAULT_LIMIT), 1, MAX_LIMIT)?;
    let offset = within("offset", query.offset.unwrap_or(0), 0, MAX_OFFSET)?;
    if query.cursor.is_some() && query.offset.is_some() {
        return Err(ApiError::invalid("offset: cannot be given together with cursor"));
    }
    let before = query.cursor.as_deref().map(cursor::read).transpose()?;
    let filter = Filter {
        status: query.status.map(Into::into),
        from: query.from.as_deref().map(|text| instant("from", text)).transpose()?,
        to: query.to.as_deref().map(|text| instant("to", text)).transpose()?,
    };
    let turn = AT_ONCE.acquire().await.map_err(ApiError::unexpected)?;
    let page =
        store::list(&api.pool, &identity.user_id, &filter, Slice { before, offset, limit }).await?;
    let last = page.items.last().filter(|_| page.more);
    let next_cursor = last.map(|last| cursor::after(last.value.id));
    let items = answers(&identity.user_id, page.items).await?;
    let listed = Listed {
        reminders: Reminders {
            items,
            limit: limit.into(),
            offset: offset.into(),
            total: page.total,
            next_cursor,
        },
    };
    let answer = Json(listed).into_response();
    drop(turn);
    Ok(answer)
}

fn within(name: &str, value: i64, least: i64, most: i64) -> Result<u32, ApiError> {
    let fitting = u32::try_from(value).ok().filter(|_| (least..=most).contains(&value));
    fitting.ok_or_else(|| ApiError::invalid(format!("{name}: must be between {least} and {most}")))
}
