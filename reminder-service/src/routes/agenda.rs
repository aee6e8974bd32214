//! `GET /occurrences`: the agenda of the caller.

use axum::{Json, extract::State};
use chrono::{DateTime, NaiveDateTime, Utc};
use contract::Channel;
use rest::{Faults, Identity, LenientParams};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, FieldFault};
use time_zone::Zone;
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    answer::{local_time, optional_time, time},
    cursor::TimeCursor,
    examples,
    occurrences::checked_limit,
};
use crate::{
    domain::reminder::{InvalidField, Position, instant},
    usecases::{AgendaEntry, AgendaPage, list_agenda},
};

const DEFAULT_LIMIT: i64 = 50;

/// Query of `GET /occurrences`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AgendaQuery {
    /// Only occurrences at this time or later; now by default. RFC 3339 with an offset, whose `+`
    /// is encoded as `%2B`.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only occurrences before this time; without it there is no end.
    #[param(format = DateTime)]
    to: Option<String>,
    /// Largest number of occurrences.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<i64>,
    /// `nextCursor` of the page before, with the same `from` and `to`. No occurrence is repeated or
    /// left out while reminders are created and deleted.
    cursor: Option<String>,
}

/// Occurrences of all of the caller's reminders, in order of time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::agenda()))]
pub(super) struct AgendaAnswer {
    /// At most `limit` occurrences. Acknowledged ones are left out.
    occurrences: Vec<AgendaOccurrence>,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// One occurrence of a reminder.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgendaOccurrence {
    /// Id of the reminder.
    reminder_id: String,
    /// Due time; the end of a snooze for a snoozed occurrence.
    #[serde(serialize_with = "time")]
    at: DateTime<Utc>,
    /// The same time on the wall clock of the reminder's zone, without an offset.
    #[serde(serialize_with = "local_time")]
    #[schema(value_type = String, example = "2126-05-06T09:00:00")]
    local_at: NaiveDateTime,
    /// Due time of a snoozed occurrence before it was snoozed; `null` for other occurrences.
    #[serde(serialize_with = "optional_time")]
    snoozed_from: Option<DateTime<Utc>>,
    /// Title of the occurrence.
    title: Option<String>,
    /// Deliveries in the future, in order of time.
    deliveries: Vec<AgendaDelivery>,
}

/// One delivery of an occurrence on one channel.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgendaDelivery {
    /// Time of the delivery.
    #[serde(serialize_with = "time")]
    deliver_at: DateTime<Utc>,
    /// Channel.
    channel: Channel,
}

impl From<AgendaEntry> for AgendaOccurrence {
    fn from(AgendaEntry { entry, reminder, deliveries }: AgendaEntry) -> Self {
        let at = entry.position.at;
        let local_at = Zone::from(reminder.details.schedule.time_zone).wall_clock(at);
        let title = reminder.title_of(entry.snoozed_from.unwrap_or(at));
        let channels = reminder.details.channels.as_slice();
        let deliveries = deliveries.into_iter().flat_map(|deliver_at| {
            channels.iter().map(move |&channel| AgendaDelivery { deliver_at, channel })
        });
        Self {
            reminder_id: reminder.id.simple().to_string(),
            at,
            local_at,
            snoozed_from: entry.snoozed_from,
            deliveries: deliveries.collect(),
            title: title.map(|title| title.as_str().to_owned()),
        }
    }
}

impl From<AgendaPage> for AgendaAnswer {
    fn from(AgendaPage { entries, next, .. }: AgendaPage) -> Self {
        let occurrences = entries.into_iter().map(AgendaOccurrence::from).collect();
        Self { occurrences, next_cursor: next.map(|next| TimeCursor::from(next).to_string()) }
    }
}

/// Parameters that were checked.
struct Wanted {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    after: Option<Position>,
    limit: usize,
}

impl AgendaQuery {
    /// Checks the parameters; `faults` are those of parameters that could not be parsed.
    fn read(self, faults: Vec<FieldFault>) -> Result<Wanted, ApiError> {
        let mut faults = Faults::begin(faults);
        let limit = faults.take(checked_limit(self.limit.unwrap_or(DEFAULT_LIMIT)));
        let mut time = |name, text: Option<String>| {
            faults.take(text.as_deref().map(|text| instant(name, text)).transpose())
        };
        let (from, to) = (time("from", self.from), time("to", self.to));
        if let (Some(Some(from)), Some(Some(to))) = (from, to)
            && to <= from
        {
            faults.take(Err::<(), _>(InvalidField::new("to", "must be later than from")));
        }
        let after = faults.take(self.cursor.as_deref().map(str::parse::<TimeCursor>).transpose());
        let wanted = match (from, to, after, limit) {
            (Some(from), Some(to), Some(after), Some(limit)) => {
                Some(Wanted { from, to, after: after.map(Into::into), limit })
            }
            _ => None,
        };
        faults.or(wanted)
    }
}

/// List the occurrences of all reminders in order of time
///
/// The agenda of the caller: what is due, and what will be sent.
#[utoipa::path(
    get,
    path = "/occurrences",
    operation_id = "listAgenda",
    tag = "reminders",
    params(AgendaQuery),
    responses((status = 200, body = AgendaAnswer, description = "One page of the agenda")),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    identity: Identity,
    LenientParams { value: query, faults }: LenientParams<AgendaQuery>,
) -> Result<Json<AgendaAnswer>, ApiError> {
    let Wanted { from, to, after, limit } = query.read(faults)?;
    let page =
        list_agenda(&state.resources.pool, &identity.user_id, from, to, after, limit).await?;
    Ok(Json(page.into()))
}
