//! `GET /me/export` and `DELETE /me`: what is held of a user, to take along or to have erased.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use shared::{
    contract::new_id,
    http::{ApiError, Credentials, ErrorBody, Identity, RequestContext},
};
use utoipa::ToSchema;

use super::{
    Api,
    answer::{ReminderAnswer, time},
    examples,
};
use crate::{
    events::{self, Origin},
    reminder::Reminder,
    store::{self, Filter, Seen, Slice},
};

/// Reminders that one export holds at the most; the newest.
const MOST: usize = 100_000;
/// Reminders read at once.
const PAGE: u32 = 1_000;

/// Everything that is held of the caller.
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
    /// Whether every service's part is there, and none was cut short.
    complete: bool,
    /// What is missing, and why.
    missing: Vec<String>,
    /// The caller's reminders, newest first.
    reminders: Vec<ReminderAnswer>,
    /// What notification-service holds: devices, preferences, deliveries.
    notification_service: Option<Value>,
    /// What event-service holds: notifications and their occurrences, events.
    event_service: Option<Value>,
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
        (status = 200, description = "What every service holds, in one document", body = Export),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: a service does not answer; nothing is given in part", body = ErrorBody),
    ),
)]
pub(super) async fn export(
    State(api): State<Api>,
    identity: Identity,
    credentials: Credentials,
) -> Result<Json<Export>, ApiError> {
    let (reminders, notification_service, event_service) = tokio::try_join!(
        reminders_of::<ReminderAnswer>(&api, &identity.user_id, MOST),
        api.peers.of_notification_service(&credentials),
        api.peers.of_event_service(&identity.user_id),
    )?;
    let mut missing = api.peers.missing();
    let is_cut = |part: &Option<Value>| part.as_ref().is_some_and(|part| part["truncated"] == true);
    if reminders.len() == MOST || is_cut(&notification_service) || is_cut(&event_service) {
        missing.push("of the oldest entries, more than 100,000 of a kind".to_owned());
    }
    Ok(Json(Export {
        exported_at: Utc::now(),
        user_id: identity.user_id,
        email: identity.email,
        complete: missing.is_empty(),
        missing,
        reminders,
        notification_service,
        event_service,
    }))
}

/// Up to `most` of a user's reminders, newest first, read page by page.
pub(super) async fn reminders_of<T: From<Seen<Reminder>>>(
    api: &Api,
    user_id: &str,
    most: usize,
) -> Result<Vec<T>, ApiError> {
    let mut reminders = Vec::new();
    let mut before = None;
    loop {
        let slice = Slice { before, offset: 0, limit: PAGE };
        let page = store::list(&api.pool, user_id, &Filter::default(), slice).await?;
        before = page.items.last().map(|last| last.value.id);
        reminders.extend(page.items.into_iter().map(T::from));
        if !page.more || reminders.len() >= most {
            reminders.truncate(most);
            return Ok(reminders);
        }
    }
}

/// Erase everything that is held of the caller
///
/// The reminders are gone with the answer; the other services follow by event, within seconds. What was handed to a provider
/// cannot be called back.
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
    metrics::counter!("users_erased_total").increment(1);
    tracing::info!(receipt.id = %receipt_id.simple(), "a user was erased");
    Ok(Json(Receipt { receipt_id: receipt_id.simple().to_string(), erased_at }))
}
