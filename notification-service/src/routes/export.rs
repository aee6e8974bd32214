//! `GET /me/export`.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use contract::{NotifyContent, Reason};
use rest::{BodyWriter, Identity, streamed_json};
use serde::Serialize;
use service::http::{ApiError, ErrorBody};
use sqlx::PgPool;
use utoipa::ToSchema;

use super::{
    AppState,
    preferences::PreferencesBody,
    time_format::{optional_time, time},
};
use crate::store::{
    export::{self, KeptDelivery, KeptDevice},
    preferences,
    zone_changes::{self, ZoneChange},
};

/// Number of deliveries that are in memory at once.
const PAGE: i64 = 100;
/// Largest number of deliveries in an export.
const MAX_DELIVERIES: usize = 100_000;

/// All data that this service stores about the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "devices": [{
        "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5", "type": "android",
        "name": "My phone", "createdAt": "2026-01-10T08:00:00.000Z",
        "lastSeenAt": "2026-01-12T08:00:00.000Z", "invalidatedAt": null
    }],
    "preferences": {
        "channels": {"push": true, "email": true}, "quietHours": null, "locale": "de"
    },
    "zoneChange": {
        "timeZone": "Europe/Berlin", "email": "ada@example.com",
        "changedAt": "2026-01-10T08:00:00.000Z"
    },
    "notifications": [{
        "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a6",
        "occurrenceId": "6f2d1c0b7e2f5c41b1d1e0a5d2c3f4a7", "source": "reminder",
        "itemId": "01979a3c7e2f7c41b1d1e0a5d2c3f4a8", "channel": "push",
        "deviceId": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5",
        "email": null, "state": "sent", "reason": null, "attempts": 1,
        "date": "2026-01-12T09:00:00.000Z",
        "dueAt": "2026-01-12T08:50:00.000Z", "receivedAt": "2026-01-12T08:50:00.012Z",
        "finishedAt": "2026-01-12T08:50:00.201Z",
        "title": "Plants", "message": "Water them", "url": null, "data": {},
        "locale": "de", "timeZone": "Europe/Berlin"
    }],
    "truncated": false
}))]
pub(super) struct Export {
    /// All devices, including those whose token is invalid. Never contains a token.
    devices: Vec<ExportedDevice>,
    /// Preferences of the caller.
    preferences: PreferencesBody,
    /// Last change of the zone that the preferences name; `null` before the first.
    zone_change: Option<ExportedZoneChange>,
    /// Deliveries with their content, newest first, at most 100,000.
    #[schema(max_items = 100000)]
    notifications: Vec<ExportedDelivery>,
    /// `true` if there are more deliveries than the export contains.
    truncated: bool,
}

/// Last change of the zone of the caller, in an export.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ZoneChange)]
pub(super) struct ExportedZoneChange {
    /// IANA time zone of the preferences, or of the quiet hours; `null` if there is none.
    time_zone: Option<String>,
    /// Verified e-mail address of the caller at the change.
    email: Option<String>,
    /// Time of the change.
    #[serde(serialize_with = "time")]
    changed_at: DateTime<Utc>,
}

/// Device in an export.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExportedDevice {
    /// Id of the device.
    id: String,
    /// `web`, `android` or `ios`.
    #[serde(rename = "type")]
    device_type: String,
    /// Name that the user gave to the device.
    name: Option<String>,
    /// Time of the first registration.
    #[serde(serialize_with = "time")]
    created_at: DateTime<Utc>,
    /// Time of the last registration.
    #[serde(serialize_with = "time")]
    last_seen_at: DateTime<Utc>,
    /// Time at which FCM reported the token as invalid.
    #[serde(serialize_with = "optional_time")]
    invalidated_at: Option<DateTime<Utc>>,
}

/// Delivery with its content, in an export.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExportedDelivery {
    /// Id of the delivery.
    id: String,
    /// Id of the occurrence.
    occurrence_id: String,
    /// Source of the occurrence: `reminder`, or `notification` for a command of another service.
    source: String,
    /// Id of the item that it belongs to, such as the reminder.
    item_id: String,
    /// Channel: `push` or `email`.
    channel: String,
    /// Id of the device of a push.
    device_id: Option<String>,
    /// Address of an e-mail.
    email: Option<String>,
    /// State: `pending`, `sent`, `failed`, `suppressed` or `deferred`.
    state: String,
    /// Reason code of the state. Later versions may add codes.
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    /// Number of attempts made.
    attempts: i32,
    /// Date of the reminder.
    #[serde(serialize_with = "time")]
    date: DateTime<Utc>,
    /// Requested time of the delivery.
    #[serde(serialize_with = "time")]
    due_at: DateTime<Utc>,
    /// Time at which this service received the occurrence.
    #[serde(serialize_with = "time")]
    received_at: DateTime<Utc>,
    /// Time of the final state.
    #[serde(serialize_with = "optional_time")]
    finished_at: Option<DateTime<Utc>>,
    /// Heading.
    title: Option<String>,
    /// Text.
    message: String,
    /// URL that a tap opens.
    url: Option<String>,
    /// Key-value pairs of the client.
    data: BTreeMap<String, String>,
    /// Language (BCP 47) of the texts around the message.
    locale: Option<String>,
    /// IANA time zone in which the date is formatted.
    time_zone: String,
}

impl From<ZoneChange> for ExportedZoneChange {
    fn from(change: ZoneChange) -> Self {
        let ZoneChange { zone: time_zone, email, changed_at, .. } = change;
        Self { time_zone, email, changed_at }
    }
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
            email: kept.user_email.filter(|_| kept.channel == contract::Channel::Email.as_str()),
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

/// Export the caller's data
///
/// Devices, preferences and deliveries, streamed while they are read. If reading fails midway, the
/// connection is closed before the JSON is complete.
#[utoipa::path(
    get,
    path = "/me/export",
    operation_id = "exportMine",
    tag = "export",
    responses(
        (status = 200, description = "The data of the caller", body = Export),
        (
            status = 429,
            description = "`RATE_LIMITED`: another export of the caller, or the largest number \
                of concurrent exports, is in progress",
            body = ErrorBody
        ),
    ),
)]
pub(super) async fn export(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let permit = state.exports.acquire(&identity.user_id)?;
    let devices = export::devices(&state.pool, &identity.user_id).await?;
    let devices: Vec<ExportedDevice> = devices.into_iter().map(Into::into).collect();
    let preferences =
        PreferencesBody::from(&preferences::of_user(&state.pool, &identity.user_id).await?);
    let zone_change = zone_changes::of_user(&state.pool, &identity.user_id).await?;
    let zone_change = serde_json::to_string(&zone_change.map(ExportedZoneChange::from))?;
    let (devices, preferences) =
        (serde_json::to_string(&devices)?, serde_json::to_string(&preferences)?);
    let head = format!(r#"{{"devices":{devices},"preferences":{preferences},"#)
        + &format!(r#""zoneChange":{zone_change},"notifications":["#);
    Ok(streamed_json(permit, async move |mut writer: BodyWriter| {
        writer.write(head).await?;
        let truncated = write_deliveries(&state.pool, &mut writer, &identity.user_id).await?;
        writer.write(format!(r#"],"truncated":{truncated}}}"#)).await?;
        Ok(writer.finish().await?)
    }))
}

/// Writes a user's deliveries, newest first. Returns `true` if there are more than an export may
/// contain.
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
