//! JSON shape of a message, with the field names of FCM's REST reference.

use super::Push;
use crate::channels::templates::PushText;
use crate::device::DeviceType;
use contract::{ITEM_REMINDER, Priority};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

#[derive(Serialize)]
pub(super) struct Request<'a, 'b> {
    pub(super) message: &'b Message<'a>,
}

/// Input of a message.
pub(super) struct MessageParts<'a> {
    pub(super) token: &'a str,
    pub(super) text: &'a PushText,
    pub(super) occurrence: &'a str,
    pub(super) ttl_seconds: i64,
    pub(super) expires_at: i64,
    pub(super) link: Option<&'a str>,
    pub(super) push: &'a Push<'a>,
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    token: &'a str,
    notification: Notification<'a>,
    data: Data<'a>,
    #[serde(flatten)]
    platform: Platform<'a>,
}

#[derive(Serialize)]
struct Notification<'a> {
    title: Cow<'a, str>,
    body: Cow<'a, str>,
}

/// Block of the device's platform.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Platform<'a> {
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

/// Our ids, the link, and the client's pairs whose keys are free.
struct Data<'a> {
    occurrence: &'a str,
    push: &'a Push<'a>,
    with_pairs: bool,
    with_url: bool,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("itemId", self.push.item_id)?;
        map.serialize_entry("occurrenceId", self.occurrence)?;
        if self.push.source == ITEM_REMINDER {
            map.serialize_entry("reminderId", self.push.item_id)?;
        }
        if let Some(url) = self.push.url.filter(|_| self.with_url) {
            map.serialize_entry("url", url)?;
        }
        let pairs =
            self.push.data.iter().filter(|(key, _)| self.with_pairs && !is_reserved_key(key));
        for (key, value) in pairs {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Returns `true` if a key of `data` is ours, or one that FCM refuses.
fn is_reserved_key(key: &str) -> bool {
    let ours = matches!(key, "itemId" | "occurrenceId" | "reminderId" | "url");
    ours || matches!(key, "" | "from" | "message_type")
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
    /// Key-value pairs of the client.
    Pairs,
    /// Link.
    Url,
}

impl DroppedPart {
    /// Order in which parts are dropped. Each step keeps the earlier ones.
    pub(super) const STEPS: [Self; 4] = [Self::Nothing, Self::WebLink, Self::Pairs, Self::Url];
}

impl<'a> Message<'a> {
    pub(super) fn of(device: DeviceType, parts: &MessageParts<'a>) -> Self {
        let platform = match device {
            DeviceType::Android => Platform::Android(Android::of(parts)),
            DeviceType::Ios => Platform::Apns(Apns::of(parts)),
            DeviceType::Web => Platform::Webpush(Webpush::of(parts)),
        };
        Message {
            token: parts.token,
            notification: Notification {
                title: Cow::Borrowed(&parts.text.title),
                body: Cow::Borrowed(&parts.text.body),
            },
            data: Data {
                occurrence: parts.occurrence,
                push: parts.push,
                with_pairs: true,
                with_url: true,
            },
            platform,
        }
    }

    pub(super) fn drop_part(&mut self, part: DroppedPart) {
        match (part, &mut self.platform) {
            (DroppedPart::WebLink, Platform::Webpush(web)) => web.fcm_options = None,
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
    /// Always uses the high delivery priority, because Doze would delay a reminder with a lower
    /// one. The priority of the notification decides how much it may disturb.
    fn of(parts: &MessageParts<'a>) -> Self {
        let notification_priority = match parts.push.priority {
            Priority::Normal => "PRIORITY_DEFAULT",
            Priority::High => "PRIORITY_HIGH",
        };
        Android {
            priority: "HIGH",
            ttl: format!("{}s", parts.ttl_seconds),
            collapse_key: parts.occurrence,
            notification: AndroidNotification { tag: parts.occurrence, notification_priority },
        }
    }
}

impl<'a> Apns<'a> {
    fn of(parts: &MessageParts<'a>) -> Self {
        let interruption_level =
            (parts.push.priority == Priority::High).then_some("time-sensitive");
        Apns {
            headers: ApnsHeaders {
                apns_collapse_id: parts.occurrence,
                apns_expiration: parts.expires_at.to_string(),
                apns_priority: "10",
                apns_push_type: "alert",
            },
            payload: ApnsPayload { aps: Aps { sound: "default", interruption_level } },
        }
    }
}

impl<'a> Webpush<'a> {
    /// The 32 hexadecimal characters of the occurrence's id fit into a `Topic` (RFC 8030, section
    /// 5.4).
    fn of(parts: &MessageParts<'a>) -> Self {
        let urgency = match parts.push.priority {
            Priority::Normal => "normal",
            Priority::High => "high",
        };
        Webpush {
            headers: WebpushHeaders {
                ttl: parts.ttl_seconds.to_string(),
                urgency,
                topic: parts.occurrence,
            },
            notification: WebpushNotification { tag: parts.occurrence },
            fcm_options: parts.link.map(|link| WebpushOptions { link }),
        }
    }
}
