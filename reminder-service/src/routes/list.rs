//! `GET /reminders`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use rest::{Credentials, Faults, Identity, LenientParams};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, FieldFault};
use sqlx::PgPool;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    AppState,
    answer::{ReminderAnswer, StatusWord, answers, show_last_outcomes},
    cursor::{self, TimeCursor},
    examples,
};
use crate::{
    domain::reminder::{DueRange, InvalidField, NextAt, Status, instant},
    store::{self, DueChoice, Page, Slice},
    usecases::{find_due, list_by_next_delivery},
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
    /// Only reminders with an occurrence at this time or later, which may be in the past: RFC 3339
    /// with an offset, whose `+` is encoded as `%2B`. The occurrence of a reminder that does not
    /// recur is its `date`. Delivered, acknowledged and paused ones count; a snooze does not.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only reminders with an occurrence before this time; with `from`, with one between the two.
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

/// Page of a list that is asked for.
struct Asked {
    status: Option<Status>,
    /// Only reminders with an occurrence in this range.
    range: Option<DueRange>,
    order: Order,
    limit: u32,
    offset: u32,
}

/// Order of a list, and the place after which the page begins.
enum Order {
    /// The newest reminder first; the place is the id of a reminder.
    Newest(Option<Uuid>),
    /// The reminder with the next delivery first.
    NextAt(Option<NextAt>),
}

impl Query {
    /// Checks the parameters; `faults` are those of parameters that could not be parsed.
    fn read(self, faults: Vec<FieldFault>) -> Result<Asked, ApiError> {
        let mut faults = Faults::begin(faults);
        let limit = faults.take(within("limit", self.limit.unwrap_or(DEFAULT_LIMIT), 1, MAX_LIMIT));
        let offset = faults.take(within("offset", self.offset.unwrap_or(0), 0, MAX_OFFSET));
        let sort = self.sort.is_some().then_some("sort");
        let paging = self.cursor.is_some().then_some("cursor").or(sort);
        for (field, is_given, other) in [
            ("offset", self.offset.is_some(), paging),
            ("from", self.from.is_some(), sort),
            ("to", self.to.is_some(), sort),
        ] {
            if let Some(other) = other.filter(|_| is_given) {
                let problem = format!("cannot be combined with {other}");
                faults.take(Err::<(), _>(InvalidField::new(field, problem)));
            }
        }
        let cursor = self.cursor.as_deref();
        let order = if self.sort.is_some() {
            let after = faults.take(cursor.map(str::parse::<TimeCursor>).transpose());
            after.map(|after| Order::NextAt(after.map(Into::into)))
        } else {
            faults.take(cursor.map(cursor::read).transpose()).map(Order::Newest)
        };
        let mut time = |name, text: Option<String>| {
            faults.take(text.as_deref().map(|text| instant(name, text)).transpose())
        };
        let (from, to) = (time("from", self.from), time("to", self.to));
        let status = self.status.map(Into::into);
        let range = from.zip(to).map(|(from, to)| DueRange { from, to });
        let asked = range.zip(order).zip(limit.zip(offset));
        faults.or(asked.map(|((range, order), (limit, offset))| {
            let range = Some(range).filter(|range| *range != DueRange::default());
            Asked { status, range, order, limit, offset }
        }))
    }
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
    Credentials(credentials): Credentials,
    LenientParams { value: query, faults }: LenientParams<Query>,
) -> Result<Response, ApiError> {
    let Asked { status, range, order, limit, offset } = query.read(faults)?;
    let (pool, user_id) = (&state.resources.pool, &identity.user_id);
    let (mut permit, items, total, next_cursor) = match order {
        Order::Newest(before) => {
            let slice = Slice { before, offset, limit };
            let (permit, page) = newest(pool, user_id, status, range, slice).await?;
            let Page { items, more, total } = page;
            let last = items.last().filter(|_| more);
            let next_cursor = last.map(|last| cursor::after(last.value.id));
            (permit, items, total, next_cursor)
        }
        Order::NextAt(after) => {
            let permit = page_permit().await?;
            let limit = limit as usize;
            let page = list_by_next_delivery(pool, user_id, status, after, limit).await?;
            let next_cursor = page.next.map(|next| TimeCursor::from(next).to_string());
            (permit, page.items, store::count(pool, user_id, status).await?, next_cursor)
        }
    };
    let mut items = answers(user_id, items).await?;
    if items.iter().any(ReminderAnswer::has_last_delivery) {
        // A call that takes long keeps no page of another user from being made. The calls have a
        // limit of their own.
        drop(permit);
        show_last_outcomes(&state.resources, user_id, &credentials, items.iter_mut()).await;
        permit = page_permit().await?;
    } else {
        show_last_outcomes(&state.resources, user_id, &credentials, items.iter_mut()).await;
    }
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

async fn page_permit() -> Result<SemaphorePermit<'static>, ApiError> {
    CONCURRENT_PAGES.acquire().await.map_err(ApiError::unexpected)
}

/// Reads a page of the newest reminders. Rules are searched before the permit is taken, so that
/// those of one user keep no page of another from being made.
async fn newest(
    pool: &PgPool,
    user_id: &str,
    status: Option<Status>,
    range: Option<DueRange>,
    slice: Slice,
) -> Result<(SemaphorePermit<'static>, Page), ApiError> {
    let Some(range) = range else {
        let permit = page_permit().await?;
        return Ok((permit, store::list(pool, user_id, status, slice).await?));
    };
    let found = find_due(pool, user_id, status, range, slice).await?;
    let permit = page_permit().await?;
    let recurring = (found.for_page.as_slice(), found.total);
    let page = store::list_due(pool, user_id, DueChoice { status, range, recurring, slice });
    Ok((permit, page.await?))
}

fn within(name: &str, value: i64, least: i64, most: i64) -> Result<u32, ApiError> {
    let fitting = u32::try_from(value).ok().filter(|_| (least..=most).contains(&value));
    fitting.ok_or_else(|| ApiError::invalid(format!("{name}: must be between {least} and {most}")))
}
