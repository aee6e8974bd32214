//! `GET /me/export` and `DELETE /me`: what is held of a user, to take along or to have erased.

use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use shared::{
    contract::new_id,
    http::{ApiError, BodyWriter, Credentials, ErrorBody, Identity, RequestContext, streamed_json},
};
use utoipa::ToSchema;

use super::{
    Api,
    answer::{ReminderAnswer, time},
    examples,
};
use crate::{
    events::{self, Origin},
    peers::Part,
    reminder::Reminder,
    store::{self, Seen},
};

/// Reminders that one export holds at the most; the newest.
const MOST: usize = 100_000;
/// Reminders of an export in memory at once.
const PAGE: i64 = 100;

/// Everything that is held of the caller. It is written as it is read, in this order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::export()))]
pub(super) struct Export {
    /// When it was gathered.
    #[serde(serialize_with = "time")]
    exported_at: DateTime<Utc>,
    /// The caller's id.
    user_id: String,
    /// The caller's e-mail address.
    email: String,
    /// What notification-service holds: devices, preferences, deliveries.
    notification_service: Option<Value>,
    /// What event-service holds: notifications and their occurrences, events.
    event_service: Option<Value>,
    /// The caller's reminders, newest first.
    reminders: Vec<ReminderAnswer>,
    /// The parts that are missing, and why.
    missing: Vec<String>,
    /// `true` if every service's part is there and none was cut short. It comes last: a body
    /// without it broke off, as its connection did.
    complete: bool,
}

/// The first members of an [`Export`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(serialize_with = "time")]
    exported_at: DateTime<Utc>,
    user_id: &'a str,
    email: &'a str,
}

/// An erasure's receipt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::receipt()))]
pub(super) struct Receipt {
    /// What to quote; the other services and the logs name the erasure by it.
    receipt_id: String,
    /// Everything that was held up to then is erased.
    #[serde(serialize_with = "time")]
    erased_at: DateTime<Utc>,
}

/// Take along everything that is held of the caller
#[utoipa::path(
    get,
    path = "/me/export",
    operation_id = "exportMe",
    tag = "me",
    responses(
        (status = 200, description = "What every service holds, in one document; `complete` is its last member, and missing where the body broke off", body = Export),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMITED`: an export of the caller, or as many as the service writes at once, are under way", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: a service does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn export(
    State(api): State<Api>,
    identity: Identity,
    credentials: Credentials,
) -> Result<Response, ApiError> {
    let permit = api.exports.acquire(&identity.user_id)?;
    // Before the answer begins: a service that is away, or the database, is told by 503.
    let (page, notification_service, event_service) = tokio::try_join!(
        async { Ok(store::page(&api.pool, &identity.user_id, None, PAGE).await?) },
        api.peers.of_notification_service(&credentials),
        api.peers.of_event_service(&identity.user_id),
    )?;
    let export = Writing { api, identity, notification_service, event_service };
    Ok(streamed_json(permit, move |writer: BodyWriter| export.write(writer, page)))
}

/// An export that is being written.
struct Writing {
    api: Api,
    identity: Identity,
    notification_service: Option<Part>,
    event_service: Option<Part>,
}

type ExportError = Box<dyn std::error::Error + Send + Sync>;

impl Writing {
    /// The parts of the other services come first: they wait on open connections. `complete` comes
    /// last, so that a body that broke off never has it.
    async fn write(
        self,
        mut writer: BodyWriter,
        page: Vec<Seen<Reminder>>,
    ) -> Result<(), ExportError> {
        let Self { api, identity, notification_service, event_service } = self;
        let head =
            Head { exported_at: Utc::now(), user_id: &identity.user_id, email: &identity.email };
        let head = serde_json::to_string(&head)?;
        writer.write(head.trim_end_matches('}')).await?;
        let mut is_cut = false;
        for (name, part) in
            [("notificationService", notification_service), ("eventService", event_service)]
        {
            writer.write(format!(r#","{name}":"#)).await?;
            match part {
                Some(part) => is_cut |= part.copy_to(&mut writer).await?,
                None => writer.write("null").await?,
            }
        }
        writer.write(r#","reminders":["#).await?;
        is_cut |= write_reminders(&api, &mut writer, &identity.user_id, page).await?;
        let mut missing = api.peers.missing();
        if is_cut {
            missing.push("of the oldest entries, more than 100,000 of a kind".to_owned());
        }
        let (is_complete, missing) = (missing.is_empty(), serde_json::to_string(&missing)?);
        writer.write(format!(r#"],"missing":{missing},"complete":{is_complete}}}"#)).await?;
        Ok(writer.finish().await?)
    }
}

/// Writes a user's reminders, newest first; returns whether there are more than an export holds.
async fn write_reminders(
    api: &Api,
    writer: &mut BodyWriter,
    user_id: &str,
    mut page: Vec<Seen<Reminder>>,
) -> Result<bool, ExportError> {
    let mut written = 0;
    loop {
        let (is_last, before) = ((page.len() as i64) < PAGE, page.last().map(|last| last.value.id));
        written += page.len();
        // Where a reminder stands is computed by its rule, which may take its time.
        let is_first = written == page.len();
        writer.write(tokio::task::spawn_blocking(move || listed(page, is_first)).await??).await?;
        if is_last || written >= MOST {
            return Ok(!is_last);
        }
        page = store::page(&api.pool, user_id, before, PAGE).await?;
    }
}

/// Reminders as the items of a list, with a comma before each but the first.
fn listed(page: Vec<Seen<Reminder>>, is_first: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for (place, seen) in page.into_iter().enumerate() {
        if !(is_first && place == 0) {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&ReminderAnswer::from(seen))?);
    }
    Ok(text)
}

/// Erase everything that is held of the caller
///
/// The reminders are gone with the answer; the other services follow by event, within seconds. What
/// was handed to a provider cannot be called back.
#[utoipa::path(
    delete,
    path = "/me",
    operation_id = "eraseMe",
    tag = "me",
    responses(
        (status = 200, description = "The receipt", body = Receipt),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: nothing was erased", body = ErrorBody),
    ),
)]
pub(super) async fn erase(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
) -> Result<Json<Receipt>, ApiError> {
    let receipt_id = new_id();
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let message = events::erased(origin, receipt_id)?;
    let erased_at = store::erase(&api.pool, &identity.user_id, &message).await?;
    api.handoff.after_commit([message.stamped(erased_at, 1)]);
    metrics::counter!("reminders_users_erased_total").increment(1);
    tracing::info!(receipt.id = %receipt_id.simple(), "user data was erased");
    Ok(Json(Receipt { receipt_id: receipt_id.simple().to_string(), erased_at }))
}
