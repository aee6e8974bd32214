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
    cursor::{self, TimeCursor},
    examples,
};
use crate::{
    domain::reminder::{InvalidField, NextAt, instant},
    store::{self, Filter, Page, Slice},
    usecases::list_by_next_delivery,
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
    /// Order: the newest reminder first, or (`nextAt`) the one with the next delivery first, and
    /// those without one last. Cannot be combined with `offset`, `from` and `to`.
    #[param(inline)]
    sort: Option<Sort>,
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

/// Order of the list.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Sort {
    /// By the time of the next delivery.
    NextAt,
}

/// Part of a list, in an order.
enum Part {
    Newest(Slice),
    NextAt(Option<NextAt>),
}

impl Query {
    /// Checks the parameters; `faults` are those of parameters that could not be parsed.
    fn read(self, faults: Vec<FieldFault>) -> Result<(Filter, Part, Numbers), ApiError> {
        let mut faults = Faults::begin(faults);
        let limit = faults.take(within("limit", self.limit.unwrap_or(DEFAULT_LIMIT), 1, MAX_LIMIT));
        let offset = faults.take(within("offset", self.offset.unwrap_or(0), 0, MAX_OFFSET));
        let by_next_at = self.sort.is_some();
        let mut refuse = |is_given: bool, field, other: &str| {
            if is_given {
                let problem = format!("cannot be combined with {other}");
                faults.take(Err::<(), _>(InvalidField::new(field, problem)));
            }
        };
        refuse(self.offset.is_some() && self.cursor.is_some(), "offset", "cursor");
        refuse(self.offset.is_some() && by_next_at, "offset", "sort");
        refuse(self.from.is_some() && by_next_at, "from", "sort");
        refuse(self.to.is_some() && by_next_at, "to", "sort");
        let cursor = self.cursor.as_deref();
        let newest = |before, limit, offset| Part::Newest(Slice { before, offset, limit });
        let part = if by_next_at {
            let after = faults.take(cursor.map(str::parse::<TimeCursor>).transpose());
            after.map(|after| Part::NextAt(after.map(Into::into)))
        } else {
            let before = faults.take(cursor.map(cursor::read).transpose());
            before
                .zip(limit.zip(offset))
                .map(|(before, (limit, offset))| newest(before, limit, offset))
        };
        let mut time = |name, text: Option<String>| {
            faults.take(text.as_deref().map(|text| instant(name, text)).transpose())
        };
        let (from, to) = (time("from", self.from), time("to", self.to));
        let status = self.status.map(Into::into);
        let filter = from.zip(to).map(|(from, to)| Filter { status, from, to });
        let numbers = limit.zip(offset).map(|(limit, offset)| Numbers { limit, offset });
        let read = filter.zip(part).zip(numbers);
        faults.or(read.map(|((filter, part), numbers)| (filter, part, numbers)))
    }
}

/// Numbers of the query.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    limit: u32,
    offset: u32,
}

/// Answer of `GET /reminders`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::list()))]
pub(super) struct ReminderList {
    reminders: ReminderPage,
}

/// One page of the caller's reminders.
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

/// List the caller's reminders
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
    let (filter, part, Numbers { limit, offset }) = query.read(faults)?;
    let permit = CONCURRENT_PAGES.acquire().await.map_err(ApiError::unexpected)?;
    let (pool, user_id) = (&state.resources.pool, &identity.user_id);
    let (items, total, next_cursor) = match part {
        Part::Newest(slice) => {
            let Page { items, more, total } = store::list(pool, user_id, &filter, slice).await?;
            let last = items.last().filter(|_| more);
            let next_cursor = last.map(|last| cursor::after(last.value.id));
            (items, total, next_cursor)
        }
        Part::NextAt(after) => {
            let (status, limit) = (filter.status, limit as usize);
            let page = list_by_next_delivery(pool, user_id, status, after, limit).await?;
            let next_cursor = page.next.map(|next| TimeCursor::from(next).to_string());
            (page.items, store::count(pool, user_id, &filter).await?, next_cursor)
        }
    };
    let items = answers(user_id, items).await?;
    let list = ReminderList {
        reminders: ReminderPage {
            items,
            limit: limit.into(),
            offset: offset.into(),
            total,
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
