//! `GET /me/export`.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    contract::NotifyContent,
    http::{ApiError, BodyWriter, ErrorBody, Identity, streamed_json},
};
use sqlx::PgPool;
use utoipa::ToSchema;

use super::{
    Api,
    preferences::PreferencesBody,
    time_format::{optional_time, time},
};
use crate::store::{
    export::{self, KeptDelivery, KeptDevice},
    preferences,
};

/// Deliveries that are in memory at once.
const PAGE: i64 = 100;
/// Deliveries that are given at the most.
const MAX_DELIVERIES: usize = 100_000;

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
        Self {
            id: id.simple().to_string(),
            device_type,
            name,
            created_at,
            last_seen_at,
            invalidated_at,
        }
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
            email: kept
                .user_email
                .filter(|_| kept.channel == shared::contract::Channel::Email.as_str()),
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
/// It is written as it is read, so that its length is no matter; where it breaks off, the
/// connection does.
#[utoipa::path(
    get,
    path = "/me/export",
    operation_id = "exportMine",
    tag = "export",
    responses(
        (status = 200, description = "All of it", body = Export),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMITED`: an export of the caller, or as many as the service writes at once, are under way", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn export(
    State(api): State<Api>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let permit = api.exports.acquire(&identity.user_id)?;
    let devices = export::devices(&api.pool, &identity.user_id).await?;
    let devices: Vec<ExportedDevice> = devices.into_iter().map(Into::into).collect();
    let preferences =
        PreferencesBody::from(&preferences::of_user(&api.pool, &identity.user_id).await?);
    let (devices, preferences) =
        (serde_json::to_string(&devices)?, serde_json::to_string(&preferences)?);
    let head = format!(r#"{{"devices":{devices},"preferences":{preferences},"notifications":["#);
    Ok(streamed_json(permit, async move |mut writer: BodyWriter| {
        writer.write(head).await?;
        let truncated = write_deliveries(&api.pool, &mut writer, &identity.user_id).await?;
        writer.write(format!(r#"],"truncated":{truncated}}}"#)).await?;
        Ok(writer.finish().await?)
    }))
}

/// Writes a user's deliveries, newest first; returns whether there are more than an export holds.
async fn write_deliveries(
    pool: &PgPool,
    writer: &mut BodyWriter,
    user_id: &str,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let (mut before, mut written) = (None, 0);
    loop {
        let page = export::deliveries(pool, user_id, before, PAGE).await?;
        let is_last = (page.len() as i64) < PAGE;
        before = page.last().map(|last| last.id).or(before);
        for delivery in page {
            if written == MAX_DELIVERIES {
                return Ok(true);
            }
            if written > 0 {
                writer.write(",").await?;
            }
            writer.write(serde_json::to_string(&ExportedDelivery::from(delivery))?).await?;
            written += 1;
        }
        if is_last {
            return Ok(false);
        }
    }
}
