use super::*;
use crate::channels::templates::Templates;
use proptest::prelude::*;
use serde_json::Value;
use std::sync::LazyLock;

fn now() -> DateTime<Utc> {
    "2026-03-01T09:00:00Z".parse().unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn push(data: &BTreeMap<String, String>) -> Push<'_> {
    Push {
        occurrence_id: Uuid::from_u128(0x0198_7654_3210_5abc_8def_0123_4567_89ab),
        source: "reminder",
        item_id: "01979a3c7e2f7c41b1d1e0a5d2c3f4a5",
        title: Some("Water the plants"),
        message: "The ficus too.",
        url: Some("https://example.com/plants?id=7"),
        data,
        priority: Priority::Normal,
        date: "2026-03-02T08:00:00Z".parse().unwrap(),
        time_zone: chrono_tz::UTC,
        expires_at: "2026-03-02T09:00:00Z".parse().unwrap(),
        locale: Some("en"),
    }
}

/// Serializes a push with the built-in templates.
fn sent(token: &str, device: DeviceType, push: &Push<'_>) -> Bytes {
    static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| Templates::built_in().unwrap());
    send(token, device, push, &TEMPLATES.texts(&push.notice(), None).push(push.message), now())
}

fn json(device: DeviceType, push: &Push<'_>) -> Value {
    serde_json::from_slice(&sent("a-device-token", device, push)).unwrap()
}

macro_rules! golden {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../../tests/golden/fcm/", $name)))
            .unwrap()
    };
}

#[test]
fn writes_block_of_platform() {
    let data = pairs(&[("room", "kitchen")]);
    assert_eq!(json(DeviceType::Android, &push(&data)), golden!("android.json"));
    assert_eq!(json(DeviceType::Ios, &push(&data)), golden!("ios.json"));
    assert_eq!(json(DeviceType::Web, &push(&data)), golden!("web.json"));
}

#[test]
fn marks_high_priority_on_every_platform() {
    let data = BTreeMap::new();
    let urgent = Push { priority: Priority::High, ..push(&data) };
    let android = json(DeviceType::Android, &urgent);
    assert_eq!(
        android["message"]["android"]["notification"]["notification_priority"],
        "PRIORITY_HIGH"
    );
    let ios = json(DeviceType::Ios, &urgent);
    assert_eq!(ios["message"]["apns"]["payload"]["aps"]["interruption-level"], "time-sensitive");
    assert_eq!(json(DeviceType::Web, &urgent)["message"]["webpush"]["headers"]["Urgency"], "high");
}

#[test]
fn writes_push_without_optional_parts() {
    let data = BTreeMap::new();
    let bare = Push { title: None, url: None, source: "notification", ..push(&data) };
    assert_eq!(json(DeviceType::Web, &bare), golden!("web-bare.json"));
}

#[test]
fn links_web_push_only_when_url_is_https() {
    let data = BTreeMap::new();
    let plain = Push { url: Some("http://example.com/"), ..push(&data) };
    let message = &json(DeviceType::Web, &plain)["message"];
    assert_eq!(message["webpush"]["fcm_options"], Value::Null);
    assert_eq!(message["data"]["url"], "http://example.com/");
}

#[test]
fn ends_time_to_live_with_reminder() {
    let data = BTreeMap::new();
    for (expires_at, ttl) in [
        ("2026-03-01T08:00:00Z", "0s"),
        ("2026-03-01T09:01:30Z", "90s"),
        ("2027-01-01T00:00:00Z", "2419200s"),
    ] {
        let push = Push { expires_at: expires_at.parse().unwrap(), ..push(&data) };
        assert_eq!(json(DeviceType::Android, &push)["message"]["android"]["ttl"], ttl);
    }
}

#[test]
fn drops_pairs_with_reserved_keys() {
    let data = pairs(&[
        ("itemId", "x"),
        ("url", "y"),
        ("from", "z"),
        ("google.x", "1"),
        ("gcm.n", "2"),
        ("fine", "3"),
    ]);
    let sent = json(DeviceType::Android, &push(&data));
    let keys: Vec<_> =
        sent["message"]["data"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["fine", "itemId", "occurrenceId", "reminderId", "url"]);
    assert_eq!(sent["message"]["data"]["itemId"], "01979a3c7e2f7c41b1d1e0a5d2c3f4a5");
}

#[test]
fn truncates_long_text_with_ellipsis() {
    let data = BTreeMap::new();
    let text = "世界".repeat(1_000);
    let sent = json(DeviceType::Ios, &Push { message: &text, ..push(&data) });
    let body = sent["message"]["notification"]["body"].as_str().unwrap();
    assert!(body.ends_with('…') && text.starts_with(body.trim_end_matches('…')));
    assert!(body.len() > 3_000);
}

#[test]
fn drops_pairs_before_link() {
    let url = format!("https://example.com/{}", "u".repeat(2_000));
    let data = pairs(&[("key", &"v".repeat(2_000))]);
    let text = "t".repeat(500);
    let large = Push { url: Some(&url), message: &text, ..push(&data) };
    for device in [DeviceType::Android, DeviceType::Ios, DeviceType::Web] {
        let sent = json(device, &large);
        assert_eq!(sent["message"]["data"]["key"], Value::Null);
        assert_eq!(sent["message"]["data"]["url"], url);
        assert_eq!(sent["message"]["notification"]["body"], text);
    }
}

#[test]
fn drops_link_before_text_is_truncated() {
    let url = format!("https://example.com/{}", "ü".repeat(2_028));
    let data = pairs(&[("key", &"v".repeat(2_045))]);
    let text = "t".repeat(2_000);
    let sent = json(DeviceType::Web, &Push { url: Some(&url), message: &text, ..push(&data) });
    assert_eq!(sent["message"]["notification"]["body"], text);
    let keys: Vec<_> =
        sent["message"]["data"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["itemId", "occurrenceId", "reminderId"]);
}

#[test]
fn keeps_link_when_text_is_truncated_anyway() {
    let (data, text) = (pairs(&[("room", "kitchen")]), "😀".repeat(2_000));
    let sent = json(DeviceType::Web, &Push { message: &text, ..push(&data) });
    assert_eq!(sent["message"]["data"]["url"], "https://example.com/plants?id=7");
    assert_eq!(sent["message"]["data"]["room"], "kitchen");
    assert!(sent["message"]["notification"]["body"].as_str().unwrap().len() >= MIN_TEXT_BYTES - 8);
}

#[test]
fn truncates_heading_when_it_is_too_long() {
    let (data, title) = (BTreeMap::new(), "€".repeat(80_000));
    let sent = json(DeviceType::Ios, &Push { title: Some(&title), message: &title, ..push(&data) });
    let shown = |field: &str| sent["message"]["notification"][field].as_str().unwrap().len();
    assert!((TITLE_BYTES - 3..=TITLE_BYTES).contains(&shown("title")));
    assert!(shown("body") > 2_000);
}

#[test]
fn drops_second_link_of_web_push_first() {
    let url = format!("https://example.com/{}", "u".repeat(2_000));
    let data = BTreeMap::new();
    let sent = json(DeviceType::Web, &Push { url: Some(&url), ..push(&data) });
    assert_eq!(sent["message"]["webpush"]["fcm_options"], Value::Null);
    assert_eq!(sent["message"]["data"]["url"], url);
}

#[test]
fn validates_with_token_only() {
    assert_eq!(validate("t\"1"), r#"{"message":{"token":"t\"1"},"validate_only":true}"#);
}

#[test]
fn keeps_path_prefix_of_endpoint() {
    let path = |url: &str| path(&url::Url::parse(url).unwrap(), "demo");
    assert_eq!(path("https://fcm.googleapis.com").unwrap(), "/v1/projects/demo/messages:send");
    assert_eq!(path("http://localhost:1/fcm/").unwrap(), "/fcm/v1/projects/demo/messages:send");
    assert!(path("http://localhost/?x=1").is_err());
}

fn any_device() -> impl Strategy<Value = DeviceType> {
    prop_oneof![Just(DeviceType::Android), Just(DeviceType::Ios), Just(DeviceType::Web)]
}

proptest! {
    #[test]
    fn writes_json_within_limit(
        device in any_device(),
        token in "[!-~]{1,300}",
        title in prop::option::of("\\PC{0,200}"),
        message in "[\\x00-\\x7fäß€世😀]{1,2000}",
        url in prop::option::of("https://example\\.com/[a-zü世😀]{0,2000}"),
        data in prop::collection::btree_map("[a-z.]{1,20}", "[\\x00-\\x7f€]{0,150}", 0..20),
    ) {
        let push = Push {
            title: title.as_deref(),
            message: &message,
            url: url.as_deref(),
            ..push(&data)
        };
        let sent: Value = serde_json::from_slice(&sent(&token, device, &push)).unwrap();
        prop_assert_eq!(&sent["message"]["token"], &Value::String(token));
        let mut without_token = sent["message"].clone();
        without_token.as_object_mut().unwrap().remove("token");
        prop_assert!(without_token.to_string().len() <= LIMIT_BYTES);
        let body = sent["message"]["notification"]["body"].as_str().unwrap();
        prop_assert!(!body.is_empty());
        prop_assert!(!body.ends_with('…') || truncate::escaped_bytes(body) > 2_000);
        prop_assert_eq!(&sent["message"]["data"]["itemId"], push.item_id);
        prop_assert!(sent["message"]["data"]["occurrenceId"].is_string());
    }
}
