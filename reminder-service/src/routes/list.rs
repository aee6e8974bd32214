//! `GET /reminders`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use rest::{Faults, Identity, LenientParams};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, FieldFault};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    answer::{ReminderAnswer, StatusWord, answers},
    cursor, examples,
};
use crate::{
    domain::reminder::instant,
    store::{self, Filter, Slice},
};

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;
/// Largest offset; the database skips its rows one by one, so deeper pages need a cursor.
const MAX_OFFSET: i64 = 10_000;
/// Pages that are processed at the same time, fewer than there are connections: a page may have
/// megabytes, and its rules are expanded one after the other.
static CONCURRENT_PAGES: Semaphore = Semaphore::const_new(6);

/// Query of `GET /reminders`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Largest number of reminders on the page.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<i64>,
    /// Number of the newest reminders to skip. Cannot be combined with `cursor`.
    #[param(minimum = 0, maximum = 10000, default = 0)]
    offset: Option<i64>,
    /// `nextCursor` of the page before, with the same filters. Pages by cursor stay stable while
    /// reminders are created and deleted.
    cursor: Option<String>,
    /// Only reminders with this status.
    #[param(inline)]
    status: Option<StatusWord>,
    /// Only reminders whose `date` is at this time or later: RFC 3339 with an offset, whose `+` is
    /// encoded as `%2B`.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only reminders whose `date` is before this time.
    #[param(format = DateTime)]
    to: Option<String>,
}

impl Query {
    /// Checks the parameters; `faults` are those of parameters that could not be parsed.
    fn read(self, faults: Vec<FieldFault>) -> Result<(Filter, Slice), ApiError> {
        let mut faults = Faults::begin(faults);
        let limit = faults.take(within("limit", self.limit.unwrap_or(DEFAULT_LIMIT), 1, MAX_LIMIT));
        let offset = faults.take(within("offset", self.offset.unwrap_or(0), 0, MAX_OFFSET));
        if self.cursor.is_some() && self.offset.is_some() {
            let problem = "offset: cannot be combined with cursor";
            faults.take(Err::<(), _>(ApiError::invalid(problem)));
        }
        let before = faults.take(self.cursor.as_deref().map(cursor::read).transpose());
        let mut time = |name, text: Option<String>| {
            faults.take(text.as_deref().map(|text| instant(name, text)).transpose())
        };
        let (from, to) = (time("from", self.from), time("to", self.to));
        let status = self.status.map(Into::into);
        let filter = from.zip(to).map(|(from, to)| Filter { status, from, to });
        let slice = match (before, offset, limit) {
            (Some(before), Some(offset), Some(limit)) => Some(Slice { before, offset, limit }),
            _ => None,
        };
        faults.or(filter.zip(slice))
    }
}

/// Answer of `GET /reminders`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::list()))]
pub(super) struct ReminderList {
    reminders: ReminderPage,
}

/// One page of the caller's reminders, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReminderPage {
    /// The reminders.
    items: Vec<ReminderAnswer>,
    /// The `limit` of the request.
    limit: i64,
    /// The `offset` of the request.
    offset: i64,
    /// Number of reminders that match the filters, on all pages.
    total: i64,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// List the caller's reminders, newest first
#[utoipa::path(
    get,
    path = "/reminders",
    operation_id = "listReminders",
    tag = "reminders",
    params(Query),
    responses((status = 200, body = ReminderList, description = "One page of the list")),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    identity: Identity,
    LenientParams { value: query, faults }: LenientParams<Query>,
) -> Result<Response, ApiError> {
    let (filter, slice) = query.read(faults)?;
    let permit = CONCURRENT_PAGES.acquire().await.map_err(ApiError::unexpected)?;
    let page = store::list(&state.resources.pool, &identity.user_id, &filter, slice).await?;
    let last = page.items.last().filter(|_| page.more);
    let next_cursor = last.map(|last| cursor::after(last.value.id));
    let items = answers(&identity.user_id, page.items).await?;
    let list = ReminderList {
        reminders: ReminderPage {
            items,
            limit: slice.limit.into(),
            offset: slice.offset.into(),
            total: page.total,
            next_cursor,
        },
    };
    let answer = Json(list).into_response();
    drop(permit);
    Ok(answer)
}

fn within(name: &str, value: i64, least: i64, most: i64) -> Result<u32, ApiError> {
    let fitting = u32::try_from(value).ok().filter(|_| (least..=most).contains(&value));
    fitting.ok_or_else(|| ApiError::invalid(format!("{name}: must be between {least} and {most}")))
}
