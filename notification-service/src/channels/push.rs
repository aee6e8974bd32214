//! Push notifications over FCM: the message of an occurrence, and the outcome of an attempt to send
//! it.

mod reason_codes;
mod token_check_permits;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use contract::{ITEM_REMINDER, Priority};
use fcm::Message;
pub use fcm::payload::LIMIT_BYTES;
use time_zone::Zone;
use uuid::Uuid;

use super::{
    outcome::Outcome,
    templates::{Notice, PushText, Templates},
};
use crate::domain::device::DeviceType;
pub use token_check_permits::TokenCheckPermit;
use token_check_permits::TokenCheckPermits;

/// Keys of `data` that are ours: the client's pairs with these keys are left out.
const OUR_KEYS: [&str; 4] = ["itemId", "occurrenceId", "reminderId", "url"];

/// Push to one device.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// Id of the occurrence. On the device, a later message of the same occurrence replaces the
    /// earlier one.
    pub occurrence_id: Uuid,
    /// Origin of the occurrence: `reminder`, or the name of another source.
    pub source: &'a str,
    /// Id of the item that the occurrence belongs to.
    pub item_id: &'a str,
    /// Heading. `None`: the word for a reminder in the user's language.
    pub title: Option<&'a str>,
    /// Text.
    pub message: &'a str,
    /// URL that a tap opens.
    pub url: Option<&'a str>,
    /// Key-value pairs of the client, passed on in `data`.
    pub data: &'a BTreeMap<String, String>,
    /// Priority.
    pub priority: Priority,
    /// Date of the reminder, which may be long after the delivery.
    pub date: DateTime<Utc>,
    /// Time zone in which the date is formatted.
    pub time_zone: Zone,
    /// Expiry after which FCM drops the message undelivered.
    pub expires_at: DateTime<Utc>,
    /// BCP 47 locale of the texts around the message and of the date.
    pub locale: Option<&'a str>,
}

impl<'a> Push<'a> {
    fn notice(&self) -> Notice<'a> {
        Notice {
            title: self.title,
            message: self.message,
            url: self.url,
            date: self.date,
            time_zone: self.time_zone,
            locale: self.locale,
        }
    }

    fn ids<'m>(&'m self, parts: &'m Parts<'_>) -> Vec<(&'m str, &'m str)> {
        let mut ids = vec![("itemId", self.item_id), ("occurrenceId", &*parts.occurrence)];
        if self.source == ITEM_REMINDER {
            ids.push(("reminderId", self.item_id));
        }
        ids
    }

    fn message<'m>(
        &self,
        token: &'m str,
        device: DeviceType,
        parts: &'m Parts<'_>,
        ids: &'m [(&'m str, &'m str)],
    ) -> Message<'m>
    where
        'a: 'm,
    {
        Message {
            token,
            platform: platform(device),
            title: &parts.text.title,
            body: &parts.text.body,
            ids,
            url: self.url,
            data: &parts.data,
            collapse_key: &parts.occurrence,
            priority: match self.priority {
                Priority::Normal => fcm::Priority::Normal,
                Priority::High => fcm::Priority::High,
            },
            expires_at: self.expires_at,
        }
    }
}

/// Parts of a message that a push does not have.
struct Parts<'a> {
    text: PushText,
    /// Id of the occurrence: 32 hexadecimal characters.
    occurrence: String,
    /// Pairs of the client.
    data: Cow<'a, BTreeMap<String, String>>,
}

impl<'a> Parts<'a> {
    fn of(push: &Push<'a>, text: PushText) -> Self {
        let occurrence = push.occurrence_id.simple().to_string();
        let data = if OUR_KEYS.iter().any(|key| push.data.contains_key(*key)) {
            let mut data = push.data.clone();
            data.retain(|key, _| !OUR_KEYS.contains(&key.as_str()));
            Cow::Owned(data)
        } else {
            Cow::Borrowed(push.data)
        };
        Self { text, occurrence, data }
    }
}

fn platform(device: DeviceType) -> fcm::Platform {
    match device {
        DeviceType::Android => fcm::Platform::Android,
        DeviceType::Ios => fcm::Platform::Ios,
        DeviceType::Web => fcm::Platform::Web,
    }
}

/// Returns the body of the request that sends a push with a text to a device.
#[must_use]
pub fn request_body(
    token: &str,
    device: DeviceType,
    push: &Push<'_>,
    text: PushText,
    now: DateTime<Utc>,
) -> Bytes {
    let parts = Parts::of(push, text);
    let ids = push.ids(&parts);
    fcm::payload::send(&push.message(token, device, &parts, &ids), now)
}

/// Channel of pushes: sends them, and validates tokens.
pub struct PushChannel {
    client: fcm::Client,
    templates: Arc<Templates>,
    checks: Arc<TokenCheckPermits>,
}

impl PushChannel {
    /// Creates the channel with at most `max_checks` token checks in flight, in addition to the
    /// pushes. Connects to nothing yet: FCM may be down.
    ///
    /// # Errors
    /// If FCM's client rejects its settings.
    pub fn new(
        mut settings: fcm::Settings,
        templates: Arc<Templates>,
        max_checks: usize,
    ) -> Result<Self, fcm::SetupError> {
        settings.max_in_flight = settings.max_in_flight.saturating_add(max_checks);
        let client = fcm::Client::new(settings)?;
        Ok(Self { client, templates, checks: TokenCheckPermits::new(max_checks) })
    }

    /// Makes one attempt to push to the device with this token. The attempt ends before `deadline`:
    /// a message that cannot be sent early enough for that (no access token in time) is not sent at
    /// all. `now` is the database's time, from which the time to live is counted.
    pub async fn send(
        &self,
        token: &str,
        device: DeviceType,
        push: &Push<'_>,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> Outcome {
        let text = self.templates.texts(&push.notice(), None).push(push.message);
        let parts = Parts::of(push, text);
        let ids = push.ids(&parts);
        let message = push.message(token, device, &parts, &ids);
        self.client.send(&message, now, deadline).await.into()
    }

    /// Takes a permit to validate one token of a user. Returns `None` immediately if too many
    /// validations are in flight.
    #[must_use]
    pub fn token_check_permit(&self, user_id: &str) -> Option<TokenCheckPermit> {
        self.checks.permit(user_id)
    }

    /// Asks FCM, without sending anything, if it would deliver to this token. `Sent`: it would.
    /// `Gone` or `Rejected`: the token is invalid or of another project. Anything else: FCM could
    /// not answer.
    pub async fn validate(&self, token: &str, _permit: &TokenCheckPermit) -> Outcome {
        self.client.validate(token).await.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const ITEM: &str = "01979a3c7e2f7c41b1d1e0a5d2c3f4a5";

    fn push(data: &BTreeMap<String, String>) -> Push<'_> {
        Push {
            occurrence_id: Uuid::from_u128(0x0198_7654_3210_5abc_8def_0123_4567_89ab),
            source: "reminder",
            item_id: ITEM,
            title: None,
            message: "The ficus too.",
            url: None,
            data,
            priority: Priority::Normal,
            date: DateTime::UNIX_EPOCH,
            time_zone: Zone::UTC,
            expires_at: DateTime::UNIX_EPOCH,
            locale: Some("de"),
        }
    }

    fn message(push: &Push<'_>) -> Value {
        let templates = Templates::built_in().expect("templates");
        let text = templates.texts(&push.notice(), None).push(push.message);
        let body = request_body("token", DeviceType::Android, push, text, DateTime::UNIX_EPOCH);
        let request: Value = serde_json::from_slice(&body).expect("JSON");
        request["message"].clone()
    }

    #[test]
    fn names_reminder_only_when_it_is_one() {
        let data = BTreeMap::new();
        let occurrence = "0198765432105abc8def0123456789ab";
        let of_reminder = message(&push(&data));
        assert_eq!(
            of_reminder["data"],
            serde_json::json!({"itemId": ITEM, "occurrenceId": occurrence, "reminderId": ITEM})
        );
        assert_eq!(of_reminder["android"]["collapse_key"], occurrence);
        let of_command = message(&Push { source: "notification", ..push(&data) });
        assert_eq!(
            of_command["data"],
            serde_json::json!({"itemId": ITEM, "occurrenceId": occurrence})
        );
    }

    #[test]
    fn leaves_out_pairs_with_our_keys() {
        let pair = |key: &str| (key.to_owned(), "x".to_owned());
        let data = BTreeMap::from([pair("reminderId"), pair("url"), pair("itemId"), pair("fine")]);
        let sent = message(&Push { source: "notification", ..push(&data) });
        let sent = sent["data"].as_object().expect("pairs");
        let keys: Vec<_> = sent.keys().map(String::as_str).collect();
        assert_eq!(keys, ["fine", "itemId", "occurrenceId"]);
        assert_eq!(sent["itemId"], ITEM);
    }

    #[test]
    fn uses_word_of_language_when_untitled() {
        let data = BTreeMap::new();
        assert_eq!(message(&push(&data))["notification"]["title"], "Erinnerung");
    }
}
