//! `GET /me/export` and `DELETE /me`: export and erasure of all data of the caller.

use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use contract::new_id;
use rest::{BodyWriter, Credentials, Identity, RequestContext, streamed_json};
use serde::Serialize;
use serde_json::Value;
use service::http::{ApiError, ErrorBody};
use utoipa::ToSchema;

use super::{
    Api,
    answer::{ReminderAnswer, time},
    examples,
};
use crate::{
    domain::{
        events::{self, Origin},
        reminder::Reminder,
    },
    peers::Part,
    store::{self, Seen},
};

/// Largest number of reminders of one export, the newest.
const MAX_REMINDERS: usize = 100_000;
/// Reminders of an export that are in memory at the same time.
const PAGE: i64 = 100;

/// All data of the caller. The members are streamed in this order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::export()))]
pub(super) struct Export {
    /// Time of the export.
    #[serde(serialize_with = "time")]
    exported_at: DateTime<Utc>,
    /// Id of the caller.
    user_id: String,
    /// E-mail address of the caller.
    email: String,
    /// Data of notification-service: devices, preferences, deliveries.
    notification_service: Option<Value>,
    /// Data of event-service: notifications with their occurrences, events.
    event_service: Option<Value>,
    /// Reminders of the caller, newest first.
    reminders: Vec<ReminderAnswer>,
    /// Parts that are missing, each with the reason.
    missing: Vec<String>,
    /// `true` if the data of every service is there and complete. It is the last member: a body
    /// without it is incomplete because the connection failed.
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

/// Receipt of an erasure.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::receipt()))]
pub(super) struct Receipt {
    /// Id of the erasure in the other services and in the logs.
    receipt_id: String,
    /// Time up to which all data is erased.
    #[serde(serialize_with = "time")]
    erased_at: DateTime<Utc>,
}

/// Export all data of the caller
///
/// The answer is one document with the data of every service.
#[utoipa::path(
    get,
    path = "/me/export",
    operation_id = "exportMe",
    tag = "me",
    responses(
        (
            status = 200,
            body = Export,
            description = "The data of every service. `complete` is the last member; it is missing \
                           if the connection failed before the end",
        ),
        (
            status = 429,
            body = ErrorBody,
            description = "`RATE_LIMITED`: too many requests, or another export is in progress; \
                           try again after `Retry-After`",
        ),
    ),
)]
pub(super) async fn export(
    State(api): State<Api>,
    identity: Identity,
    credentials: Credentials,
) -> Result<Response, ApiError> {
    let permit = api.exports.acquire(&identity.user_id)?;
    // Before the answer begins, so that an unreachable service or database is answered with 503.
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
    /// Writes the export. The parts of the other services come first, since their connections are
    /// open. `complete` comes last, so that an incomplete body never has it.
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
            missing.push("the oldest entries of each kind beyond 100,000".to_owned());
        }
        let (is_complete, missing) = (missing.is_empty(), serde_json::to_string(&missing)?);
        writer.write(format!(r#"],"missing":{missing},"complete":{is_complete}}}"#)).await?;
        Ok(writer.finish().await?)
    }
}

/// Writes a user's reminders, newest first; returns `true` if older ones were left out.
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
        // The status of a reminder depends on its rule, whose expansion may take time.
        let is_first = written == page.len();
        writer.write(tokio::task::spawn_blocking(move || listed(page, is_first)).await??).await?;
        if is_last || written >= MAX_REMINDERS {
            return Ok(!is_last);
        }
        page = store::page(&api.pool, user_id, before, PAGE).await?;
    }
}

/// JSON of a page of reminders, with a comma before each except the first of the export.
fn listed(page: Vec<Seen<Reminder>>, is_first: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for (index, seen) in page.into_iter().enumerate() {
        if !(is_first && index == 0) {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&ReminderAnswer::from(seen))?);
    }
    Ok(text)
}

/// Erase all data of the caller
///
/// The reminders are deleted before the answer; the other services follow an event within seconds.
/// Messages that a provider has received cannot be recalled.
#[utoipa::path(
    delete,
    path = "/me",
    operation_id = "eraseMe",
    tag = "me",
    responses(
        (status = 200, body = Receipt, description = "The receipt of the erasure"),
        (
            status = 503,
            body = ErrorBody,
            description = "`UPSTREAM_UNAVAILABLE`: the database is unreachable, and nothing was \
                           erased; try again after `Retry-After`",
        ),
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
    api.relay_handle.after_commit([message.stamped(erased_at, 1)]);
    metrics::counter!("reminders_users_erased_total").increment(1);
    tracing::info!(receipt.id = %receipt_id.simple(), "user data was erased");
    Ok(Json(Receipt { receipt_id: receipt_id.simple().to_string(), erased_at }))
}
