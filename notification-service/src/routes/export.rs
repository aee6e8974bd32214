//! `GET /me/export`.

use std::collections::BTreeMap;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use futures::{Stream, stream};
use serde::Serialize;
use shared::{
    contract::NotifyContent,
    http::{ApiError, ErrorBody, Identity},
};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    answer::{optional_time, time},
    preferences::PreferencesBody,
};
use crate::store::{
    export::{self, KeptDelivery, KeptDevice},
    preferences,
};

/// Deliveries that are in memory at once.
const PAGE: i64 = 500;
/// Deliveries that are given at the most.
const MOST: usize = 100_000;

/// Everything that this service keeps of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "devices": [{
        "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5", "type": "android", "name": "My phone", "createdAt": "2026-01-10T08:00:00.000Z",
        "lastSeenAt": "2026-01-12T08:00:00.000Z", "invalidatedAt": null
    }],
    "preferences": {"channels": {"push": true, "email": true}, "quietHours": null, "locale": "de"},
    "notifications": [{
        "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a6", "occurrenceId": "6f2d1c0b7e2f5c41b1d1e0a5d2c3f4a7", "source": "reminder",
        "itemId": "01979a3c7e2f7c41b1d1e0a5d2c3f4a8", "channel": "push", "deviceId": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5",
        "email": null, "state": "sent", "reason": null, "attempts": 1, "date": "2026-01-12T09:00:00.000Z",
        "dueAt": "2026-01-12T08:50:00.000Z", "receivedAt": "2026-01-12T08:50:00.012Z", "finishedAt": "2026-01-12T08:50:00.201Z",
        "title": "Plants", "message": "Water them", "url": null, "data": {}, "locale": "de", "timeZone": "Europe/Berlin"
    }],
    "truncated": false
}))]
pub(super) struct Export {
    /// Every device, dead ones included; never a token.
    devices: Vec<ExportedDevice>,
    /// How the caller wants to be reached.
    preferences: PreferencesBody,
    /// Every delivery, newest first, with what it said; at most 100,000.
    #[schema(max_items = 100000)]
    notifications: Vec<ExportedDelivery>,
    /// Whether there are more deliveries than are given.
    truncated: bool,
}

/// A device.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExportedDevice {
    /// Its id.
    id: String,
    /// `web`, `android` or `ios`.
    #[serde(rename = "type")]
    device_type: String,
    /// What its user calls it.
    name: Option<String>,
    /// When it was first registered.
    #[serde(serialize_with = "time")]
    created_at: DateTime<Utc>,
    /// When it was last registered.
    #[serde(serialize_with = "time")]
    last_seen_at: DateTime<Utc>,
    /// When its token turned out dead.
    #[serde(serialize_with = "optional_time")]
    invalidated_at: Option<DateTime<Utc>>,
}

/// A delivery, with what it said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExportedDelivery {
    /// Its id.
    id: String,
    /// The occurrence.
    occurrence_id: String,
    /// Who asked for it.
    source: String,
    /// The item it belongs to, such as the reminder.
    item_id: String,
    /// `push` or `email`.
    channel: String,
    /// The device of a push.
    device_id: Option<String>,
    /// Where an e-mail goes.
    email: Option<String>,
    /// How it stands.
    state: String,
    /// Why.
    reason: Option<String>,
    /// How often it was tried.
    attempts: i32,
    /// What it reminds of.
    #[serde(serialize_with = "time")]
    date: DateTime<Utc>,
    /// The time of delivery that was asked for.
    #[serde(serialize_with = "time")]
    due_at: DateTime<Utc>,
    /// When it came here.
    #[serde(serialize_with = "time")]
    received_at: DateTime<Utc>,
    /// When it came to its end.
    #[serde(serialize_with = "optional_time")]
    finished_at: Option<DateTime<Utc>>,
    /// Its heading.
    title: Option<String>,
    /// Its text.
    message: String,
    /// What a tap opens.
    url: Option<String>,
    /// The client's own pairs.
    data: BTreeMap<String, String>,
    /// The language of the texts around it.
    locale: Option<String>,
    /// The zone in which its time is written.
    time_zone: String,
}

impl From<KeptDevice> for ExportedDevice {
    fn from(device: KeptDevice) -> Self {
        let KeptDevice { id, device_type, name, created_at, last_seen_at, invalidated_at } = device;
        Self { id: id.simple().to_string(), device_type, name, created_at, last_seen_at, invalidated_at }
    }
}

impl From<KeptDelivery> for ExportedDelivery {
    fn from(kept: KeptDelivery) -> Self {
        let send = kept.send;
        let NotifyContent { title, message, url, data, locale, time_zone, .. } = send.content;
        Self {
            id: kept.id.simple().to_string(),
            occurrence_id: kept.occurrence_id.simple().to_string(),
            source: send.source,
            item_id: send.item_id.into(),
            email: kept.user_email.filter(|_| kept.channel == shared::contract::Channel::Email.as_str()),
            channel: kept.channel,
            device_id: (!kept.device_id.is_nil()).then(|| kept.device_id.simple().to_string()),
            state: kept.state,
            reason: kept.reason,
            attempts: kept.attempts,
            date: send.date,
            due_at: send.due_at,
            received_at: kept.received_at,
            finished_at: kept.finished_at,
            title,
            message,
            url,
            data,
            locale,
            time_zone,
        }
    }
}

/// Everything that this service keeps of the caller
///
/// It is written as it is read, so that its length is no matter; where it breaks off, the connection does.
#[utoipa::path(
    get,
    path = "/me/export",
    operation_id = "exportMine",
    tag = "export",
    responses(
        (status = 200, description = "All of it", body = Export),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn export(State(api): State<Api>, identity: Identity) -> Result<Response, ApiError> {
    let devices = export::devices(&api.pool, &identity.user_id).await?;
    let devices: Vec<ExportedDevice> = devices.into_iter().map(Into::into).collect();
    let preferences = PreferencesBody::from(&preferences::of_user(&api.pool, &identity.user_id).await?);
    let (devices, preferences) = (serde_json::to_string(&devices)?, serde_json::to_string(&preferences)?);
    let head = format!(r#"{{"devices":{devices},"preferences":{preferences},"notifications":["#);
    let parts = parts(Place { pool: api.pool, user_id: identity.user_id, given: 0, next: Next::Head(head) });
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json)], Body::from_stream(parts)).into_response())
}

/// How far the writing is.
struct Place {
    pool: PgPool,
    user_id: String,
    given: usize,
    next: Next,
}

enum Next {
    Head(String),
    Page { before: Option<Uuid> },
    End,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("read deliveries")]
    Sql(#[from] sqlx::Error),
    #[error("write deliveries as JSON")]
    Json(#[from] serde_json::Error),
}

/// The answer, part by part.
fn parts(place: Place) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold(place, async |mut place| {
        let part = match std::mem::replace(&mut place.next, Next::End) {
            Next::End => return Ok(None),
            Next::Head(head) => {
                place.next = Next::Page { before: None };
                head
            }
            Next::Page { before } => page(&mut place, before).await.inspect_err(|error| {
                tracing::warn!(error = error as &dyn std::error::Error, "an export broke off");
            })?,
        };
        Ok(Some((Bytes::from(part), place)))
    })
}

/// The next deliveries; with the last of them the end of the answer.
async fn page(place: &mut Place, before: Option<Uuid>) -> Result<String, Error> {
    // One more than is given tells whether there are more.
    let mut rows = export::deliveries(&place.pool, &place.user_id, before, PAGE + 1).await?;
    let has_more = rows.len() as i64 > PAGE;
    rows.truncate(usize::try_from(PAGE).unwrap_or_default());
    let last = rows.last().map(|row| row.id);
    let mut text = String::new();
    for row in rows {
        if place.given > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&ExportedDelivery::from(row))?);
        place.given += 1;
    }
    if has_more && place.given < MOST {
        place.next = Next::Page { before: last };
    } else {
        text.push_str(&format!(r#"],"truncated":{has_more}}}"#));
    }
    Ok(text)
}
