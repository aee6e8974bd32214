//! `GET /preferences` and `PUT /preferences`.

use axum::{Json, extract::State};
use rest::{
    Faults, Identity, LenientBody,
    json::{object_only, object_or_null},
};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, FieldFault, Reason};
use time_zone::Zone;
use utoipa::ToSchema;

use super::AppState;
use crate::{
    domain::preferences::{InvalidField, Locale, Preferences, QuietHours, TimeOfDay, parse_zone},
    store::preferences,
    usecases::change_preferences::ChangePreferences,
};

/// Preferences of the caller.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Preferences, example = json!({
    "channels": {"push": true, "email": true},
    "quietHours": {"start": "22:00", "end": "07:00", "timeZone": "Europe/Berlin"},
    "timeZone": "Europe/Berlin",
    "locale": "de"
}))]
pub(super) struct PreferencesBody {
    /// Channels that are switched on. Deliveries on others end as `suppressed` with the reason
    /// `OPTED_OUT`.
    #[serde(default, deserialize_with = "object_only")]
    channels: Channels,
    /// Hours of each day in which deliveries are `deferred` until the hours end. Reminders of
    /// priority `high` are sent immediately.
    #[serde(default, deserialize_with = "object_or_null")]
    quiet_hours: Option<QuietHoursBody>,
    /// IANA time zone of the caller: reminders with a local `date` and no `timeZone` have it. Left
    /// out of an answer if none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// Language (BCP 47) of the texts around a message that names none.
    #[serde(default)]
    #[schema(max_length = 35, pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    locale: Option<String>,
}

/// Switches of the channels. The default is on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Channels {
    /// Push notifications to the caller's devices.
    #[serde(default = "wanted")]
    #[schema(default = true)]
    push: bool,
    /// E-mails to the caller's address.
    #[serde(default = "wanted")]
    #[schema(default = true)]
    email: bool,
}

const fn wanted() -> bool {
    true
}

impl Default for Channels {
    fn default() -> Self {
        Self { push: true, email: true }
    }
}

/// Hours of each day, over midnight if `end` is earlier than `start`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = QuietHours)]
pub(super) struct QuietHoursBody {
    /// Start, as HH:MM in local time of the time zone.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "22:00")]
    start: String,
    /// End, as HH:MM in local time of the time zone. Must differ from `start`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "07:00")]
    end: String,
    /// IANA time zone; by default the caller's `timeZone`, or UTC. Always there in answers.
    #[serde(default)]
    #[schema(value_type = String, required = false, example = "Europe/Berlin")]
    time_zone: Option<String>,
}

impl PreferencesBody {
    /// Checks the fields; `faults` are those of fields that could not be parsed.
    fn preferences(self, faults: Vec<FieldFault>) -> Result<Preferences, ApiError> {
        let mut faults = Faults::begin(faults);
        let Self { channels: Channels { push, email }, quiet_hours, time_zone, locale } = self;
        let zone = time_zone.as_deref().map(|name| parse_zone("timeZone", name)).transpose();
        let time_zone = faults.take(zone);
        let quiet_hours = match quiet_hours {
            Some(hours) => hours.parse(time_zone.flatten(), &mut faults).map(Some),
            None => Some(None),
        };
        let locale = faults.take(locale.map(Locale::parse).transpose());
        let parsed = quiet_hours.zip(time_zone).zip(locale);
        let preferences = parsed.map(|((quiet_hours, time_zone), locale)| Preferences {
            push,
            email,
            quiet_hours,
            time_zone,
            locale,
        });
        faults.or(preferences)
    }
}

impl QuietHoursBody {
    /// Checks the fields; `zone` is the zone of hours that name none.
    fn parse(&self, zone: Option<Zone>, faults: &mut Faults) -> Option<QuietHours> {
        let mut time =
            |field, text: &str| {
                let time = text.parse::<TimeOfDay>();
                faults.take(time.map_err(|error| {
                    ApiError::field(Reason::InvalidRequest, field, error.to_string())
                }))
            };
        let start = time("quietHours.start", &self.start);
        let end = time("quietHours.end", &self.end);
        // The time zone is checked even if a time is malformed.
        let (start_text, end_text) = match start.zip(end) {
            Some(_) => (self.start.as_str(), self.end.as_str()),
            None => ("00:00", "00:01"),
        };
        let zone = self.time_zone.as_deref().or(zone.map(Zone::name));
        let hours = QuietHours::parse(start_text, end_text, zone);
        faults.take(hours).filter(|_| start.is_some() && end.is_some())
    }
}

impl From<InvalidField> for ApiError {
    fn from(error: InvalidField) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<&Preferences> for PreferencesBody {
    fn from(preferences: &Preferences) -> Self {
        let Preferences { push, email, quiet_hours, time_zone, locale } = preferences;
        let hours = |hours: &QuietHours| QuietHoursBody {
            start: hours.start.to_string(),
            end: hours.end.to_string(),
            time_zone: Some(hours.time_zone.name().to_owned()),
        };
        Self {
            channels: Channels { push: *push, email: *email },
            quiet_hours: quiet_hours.as_ref().map(hours),
            time_zone: time_zone.map(|zone| zone.name().to_owned()),
            locale: locale.as_ref().map(|locale| locale.as_str().to_owned()),
        }
    }
}

/// Get preferences
#[utoipa::path(
    get,
    path = "/preferences",
    operation_id = "getPreferences",
    tag = "preferences",
    responses(
        (
            status = 200,
            description = "The stored preferences, or the defaults: every channel, at any time",
            body = PreferencesBody
        ),
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Json<PreferencesBody>, ApiError> {
    let preferences = preferences::of_user(&state.pool, &identity.user_id).await?;
    Ok(Json(PreferencesBody::from(&preferences)))
}

/// Replace preferences
///
/// Replaces all preferences; missing fields get their defaults. Applies to pending deliveries as
/// well: those on a channel that is switched off end as `suppressed`, and deferred ones wait for
/// the end of the new quiet hours or are sent immediately.
#[utoipa::path(
    put,
    path = "/preferences",
    operation_id = "putPreferences",
    tag = "preferences",
    request_body = PreferencesBody,
    responses(
        (status = 200, description = "The preferences are stored", body = PreferencesBody),
    ),
)]
pub(super) async fn put(
    State(state): State<AppState>,
    identity: Identity,
    body: LenientBody<PreferencesBody>,
) -> Result<Json<PreferencesBody>, ApiError> {
    let wanted = body.value.preferences(body.faults)?;
    let AppState { pool, relay_handle, takeover, .. } = &state;
    let preferences = ChangePreferences { pool, relay_handle, takeover: *takeover };
    let Identity { user_id, email, email_verified } = &identity;
    let email = email_verified.then_some(email.as_str());
    preferences.change(user_id, email, &wanted).await?;
    Ok(Json(PreferencesBody::from(&wanted)))
}
