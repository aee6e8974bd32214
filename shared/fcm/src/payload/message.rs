//! JSON shape of a message, with the field names of FCM's REST reference.

use super::{LONGEST_TTL_SECONDS, Message, Platform, Priority};
use chrono::{DateTime, Utc};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

#[derive(Serialize)]
pub(super) struct Request<'a, 'b> {
    pub(super) message: &'b JsonMessage<'a>,
}

/// Time to live of a message, and its end in seconds since 1970.
#[derive(Clone, Copy)]
struct Lifetime {
    seconds: i64,
    ends_at: i64,
}

#[derive(Serialize)]
pub(super) struct JsonMessage<'a> {
    token: &'a str,
    notification: Notification<'a>,
    data: Data<'a>,
    #[serde(flatten)]
    platform: PlatformBlock<'a>,
}

#[derive(Serialize)]
struct Notification<'a> {
    title: Cow<'a, str>,
    body: Cow<'a, str>,
}

/// Block of the device's platform.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum PlatformBlock<'a> {
    Android(Android<'a>),
    Apns(Apns<'a>),
    Webpush(Webpush<'a>),
}

#[derive(Serialize)]
struct Android<'a> {
    priority: &'static str,
    ttl: String,
    collapse_key: &'a str,
    notification: AndroidNotification<'a>,
}

#[derive(Serialize)]
struct AndroidNotification<'a> {
    tag: &'a str,
    notification_priority: &'static str,
}

#[derive(Serialize)]
struct Apns<'a> {
    headers: ApnsHeaders<'a>,
    payload: ApnsPayload,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ApnsHeaders<'a> {
    apns_collapse_id: &'a str,
    apns_expiration: String,
    apns_priority: &'static str,
    apns_push_type: &'static str,
}

#[derive(Serialize)]
struct ApnsPayload {
    aps: Aps,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Aps {
    sound: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interruption_level: Option<&'static str>,
}

#[derive(Serialize)]
struct Webpush<'a> {
    headers: WebpushHeaders<'a>,
    notification: WebpushNotification<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fcm_options: Option<WebpushOptions<'a>>,
}

#[derive(Serialize)]
struct WebpushHeaders<'a> {
    #[serde(rename = "TTL")]
    ttl: String,
    #[serde(rename = "Urgency")]
    urgency: &'static str,
    #[serde(rename = "Topic")]
    topic: &'a str,
}

#[derive(Serialize)]
struct WebpushNotification<'a> {
    tag: &'a str,
}

#[derive(Serialize)]
struct WebpushOptions<'a> {
    link: &'a str,
}

/// The ids, the link, and the further pairs whose keys are free.
struct Data<'a> {
    message: &'a Message<'a>,
    with_pairs: bool,
    with_url: bool,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Message { ids, url, data, .. } = self.message;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in *ids {
            map.serialize_entry(key, value)?;
        }
        if let Some(url) = url.filter(|_| self.with_url) {
            map.serialize_entry("url", url)?;
        }
        let is_free = |key: &str| !is_reserved_key(key) && ids.iter().all(|(id, _)| *id != key);
        for (key, value) in data.iter().filter(|(key, _)| self.with_pairs && is_free(key)) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Returns `true` if a key of `data` is that of the link, or one that FCM refuses.
fn is_reserved_key(key: &str) -> bool {
    matches!(key, "url" | "" | "from" | "message_type")
        || key.starts_with("google.")
        || key.starts_with("gcm.")
}

/// Part that is dropped to make space for the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DroppedPart {
    /// No part.
    Nothing,
    /// Second copy of the link, for the web.
    WebLink,
    /// Further pairs.
    Pairs,
    /// Link.
    Url,
}

impl DroppedPart {
    /// Order in which parts are dropped. Each step keeps the earlier ones.
    pub(super) const STEPS: [Self; 4] = [Self::Nothing, Self::WebLink, Self::Pairs, Self::Url];
}

impl<'a> JsonMessage<'a> {
    pub(super) fn of(message: &'a Message<'a>, now: DateTime<Utc>) -> Self {
        let seconds = (message.expires_at - now).num_seconds().clamp(0, LONGEST_TTL_SECONDS);
        let lifetime = Lifetime { seconds, ends_at: now.timestamp() + seconds };
        let platform = match message.platform {
            Platform::Android => PlatformBlock::Android(Android::of(message, lifetime)),
            Platform::Ios => PlatformBlock::Apns(Apns::of(message, lifetime)),
            Platform::Web => PlatformBlock::Webpush(Webpush::of(message, lifetime)),
        };
        JsonMessage {
            token: message.token,
            notification: Notification {
                title: Cow::Borrowed(message.title),
                body: Cow::Borrowed(message.body),
            },
            data: Data { message, with_pairs: true, with_url: true },
            platform,
        }
    }

    pub(super) fn drop_part(&mut self, part: DroppedPart) {
        match (part, &mut self.platform) {
            (DroppedPart::WebLink, PlatformBlock::Webpush(web)) => web.fcm_options = None,
            (DroppedPart::Nothing | DroppedPart::WebLink, _) => {}
            (DroppedPart::Pairs, _) => self.data.with_pairs = false,
            (DroppedPart::Url, _) => self.data.with_url = false,
        }
    }

    pub(super) fn set_title(&mut self, title: String) {
        self.notification.title = Cow::Owned(title);
    }

    pub(super) fn set_text(&mut self, text: String) {
        self.notification.body = Cow::Owned(text);
    }
}

impl<'a> Android<'a> {
    /// Always uses the high delivery priority, because Doze would delay a message with a lower one.
    /// The priority of the notification decides how much it may disturb.
    fn of(message: &Message<'a>, lifetime: Lifetime) -> Self {
        let notification_priority = match message.priority {
            Priority::Normal => "PRIORITY_DEFAULT",
            Priority::High => "PRIORITY_HIGH",
        };
        Android {
            priority: "HIGH",
            ttl: format!("{}s", lifetime.seconds),
            collapse_key: message.collapse_key,
            notification: AndroidNotification { tag: message.collapse_key, notification_priority },
        }
    }
}

impl<'a> Apns<'a> {
    fn of(message: &Message<'a>, lifetime: Lifetime) -> Self {
        let interruption_level = (message.priority == Priority::High).then_some("time-sensitive");
        Apns {
            headers: ApnsHeaders {
                apns_collapse_id: message.collapse_key,
                apns_expiration: lifetime.ends_at.to_string(),
                apns_priority: "10",
                apns_push_type: "alert",
            },
            payload: ApnsPayload { aps: Aps { sound: "default", interruption_level } },
        }
    }
}

impl<'a> Webpush<'a> {
    fn of(message: &Message<'a>, lifetime: Lifetime) -> Self {
        let urgency = match message.priority {
            Priority::Normal => "normal",
            Priority::High => "high",
        };
        Webpush {
            headers: WebpushHeaders {
                ttl: lifetime.seconds.to_string(),
                urgency,
                topic: message.collapse_key,
            },
            notification: WebpushNotification { tag: message.collapse_key },
            fcm_options: message
                .url
                .filter(|url| url.starts_with("https://"))
                .map(|link| WebpushOptions { link }),
        }
    }
}
