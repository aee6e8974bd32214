use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn now() -> DateTime<Utc> {
    "2026-03-01T09:00:00Z".parse().unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const ITEM: &str = "01979a3c7e2f7c41b1d1e0a5d2c3f4a5";
const OCCURRENCE: &str = "0198765432105abc8def0123456789ab";
const IDS: [(&str, &str); 3] =
    [("itemId", ITEM), ("occurrenceId", OCCURRENCE), ("reminderId", ITEM)];

fn message(data: &BTreeMap<String, String>) -> Message<'_> {
    Message {
        token: "a-device-token",
        platform: Platform::Android,
        title: "Water the plants",
        body: "The ficus too.",
        ids: &IDS,
        url: Some("https://example.com/plants?id=7"),
        data,
        collapse_key: OCCURRENCE,
        priority: Priority::Normal,
        expires_at: "2026-03-02T09:00:00Z".parse().unwrap(),
    }
}

fn json(platform: Platform, message: &Message<'_>) -> Value {
    serde_json::from_slice(&send(&Message { platform, ..*message }, now())).unwrap()
}

macro_rules! golden {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../tests/golden/", $name))).unwrap()
    };
}

#[test]
fn writes_block_of_platform() {
    let data = pairs(&[("room", "kitchen")]);
    assert_eq!(json(Platform::Android, &message(&data)), golden!("android.json"));
    assert_eq!(json(Platform::Ios, &message(&data)), golden!("ios.json"));
    assert_eq!(json(Platform::Web, &message(&data)), golden!("web.json"));
}

#[test]
fn marks_high_priority_on_every_platform() {
    let data = BTreeMap::new();
    let urgent = Message { priority: Priority::High, ..message(&data) };
    let android = json(Platform::Android, &urgent);
    assert_eq!(
        android["message"]["android"]["notification"]["notification_priority"],
        "PRIORITY_HIGH"
    );
    let ios = json(Platform::Ios, &urgent);
    assert_eq!(ios["message"]["apns"]["payload"]["aps"]["interruption-level"], "time-sensitive");
    assert_eq!(json(Platform::Web, &urgent)["message"]["webpush"]["headers"]["Urgency"], "high");
}

#[test]
fn writes_message_without_optional_parts() {
    let data = BTreeMap::new();
    let bare = Message { title: "Reminder", url: None, ids: &IDS[..2], ..message(&data) };
    assert_eq!(json(Platform::Web, &bare), golden!("web-bare.json"));
}

#[test]
fn links_web_push_only_when_url_is_https() {
    let data = BTreeMap::new();
    let plain = Message { url: Some("http://example.com/"), ..message(&data) };
    let message = &json(Platform::Web, &plain)["message"];
    assert_eq!(message["webpush"]["fcm_options"], Value::Null);
    assert_eq!(message["data"]["url"], "http://example.com/");
}

/// Case F2.
#[test]
fn keeps_url_of_any_scheme_in_data_f2() {
    let data = BTreeMap::new();
    for url in ["http://example.com/a", "HTTPS://EXAMPLE.com/b"] {
        let message =
            &json(Platform::Web, &Message { url: Some(url), ..message(&data) })["message"];
        assert_eq!(message["data"]["url"], url);
        // FCM refuses a message whose link is not https.
        let link = message["webpush"]["fcm_options"]["link"].as_str();
        assert!(link.is_none_or(|link| link.starts_with("https://")), "{link:?}");
    }
}

#[test]
fn ends_time_to_live_with_reminder() {
    let data = BTreeMap::new();
    for (expires_at, ttl) in [
        ("2026-03-01T08:00:00Z", "0s"),
        ("2026-03-01T09:01:30Z", "90s"),
        ("2027-01-01T00:00:00Z", "2419200s"),
    ] {
        let message = Message { expires_at: expires_at.parse().unwrap(), ..message(&data) };
        assert_eq!(json(Platform::Android, &message)["message"]["android"]["ttl"], ttl);
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
    let sent = json(Platform::Android, &message(&data));
    let keys: Vec<_> =
        sent["message"]["data"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["fine", "itemId", "occurrenceId", "reminderId", "url"]);
    assert_eq!(sent["message"]["data"]["itemId"], "01979a3c7e2f7c41b1d1e0a5d2c3f4a5");
}

#[test]
fn truncates_long_text_with_ellipsis() {
    let data = BTreeMap::new();
    let text = "世界".repeat(1_000);
    let sent = json(Platform::Ios, &Message { body: &text, ..message(&data) });
    let body = sent["message"]["notification"]["body"].as_str().unwrap();
    assert!(body.ends_with('…') && text.starts_with(body.trim_end_matches('…')));
    assert!(body.len() > 3_000);
}

#[test]
fn drops_pairs_before_link() {
    let url = format!("https://example.com/{}", "u".repeat(2_000));
    let data = pairs(&[("key", &"v".repeat(2_000))]);
    let text = "t".repeat(500);
    let large = Message { url: Some(&url), body: &text, ..message(&data) };
    for device in [Platform::Android, Platform::Ios, Platform::Web] {
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
    let sent = json(Platform::Web, &Message { url: Some(&url), body: &text, ..message(&data) });
    assert_eq!(sent["message"]["notification"]["body"], text);
    let keys: Vec<_> =
        sent["message"]["data"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["itemId", "occurrenceId", "reminderId"]);
}

#[test]
fn keeps_link_when_text_is_truncated_anyway() {
    let (data, text) = (pairs(&[("room", "kitchen")]), "😀".repeat(2_000));
    let sent = json(Platform::Web, &Message { body: &text, ..message(&data) });
    assert_eq!(sent["message"]["data"]["url"], "https://example.com/plants?id=7");
    assert_eq!(sent["message"]["data"]["room"], "kitchen");
    assert!(sent["message"]["notification"]["body"].as_str().unwrap().len() >= MIN_TEXT_BYTES - 8);
}

/// Case F4.
#[test]
fn ends_text_at_whole_emoji_on_every_platform() {
    let (flag, family) = ("🇩🇪", "👨‍👩‍👧‍👦");
    let (title, body) = (flag.repeat(100), family.repeat(285));
    let data = pairs(&[("a", &"v".repeat(1_999))]);
    for platform in [Platform::Android, Platform::Ios, Platform::Web] {
        let sent = json(platform, &Message { title: &title, body: &body, ..message(&data) });
        let [shown, heading] =
            ["body", "title"].map(|field| &sent["message"]["notification"][field]);
        let (shown, heading) = (shown.as_str().unwrap(), heading.as_str().unwrap());
        let kept = shown.strip_suffix('…').unwrap();
        assert_eq!(kept, family.repeat(kept.len() / family.len()));
        assert_eq!(heading, title);
        let counted = ["notification", "data"].map(|part| sent["message"][part].to_string().len());
        assert!(counted.iter().sum::<usize>() <= LIMIT_BYTES, "{counted:?}");
        assert!(shown.len() > 2_000);
    }
}

#[test]
fn truncates_heading_when_it_is_too_long() {
    let (data, title) = (BTreeMap::new(), "€".repeat(80_000));
    let sent = json(Platform::Ios, &Message { title: &title, body: &title, ..message(&data) });
    let shown = |field: &str| sent["message"]["notification"][field].as_str().unwrap().len();
    assert!((TITLE_BYTES - 3..=TITLE_BYTES).contains(&shown("title")));
    assert!(shown("body") > 2_000);
}

#[test]
fn drops_second_link_of_web_push_first() {
    let url = format!("https://example.com/{}", "u".repeat(2_000));
    let data = BTreeMap::new();
    let sent = json(Platform::Web, &Message { url: Some(&url), ..message(&data) });
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

fn any_platform() -> impl Strategy<Value = Platform> {
    prop_oneof![Just(Platform::Android), Just(Platform::Ios), Just(Platform::Web)]
}

proptest! {
    #[test]
    fn writes_json_within_limit(
        platform in any_platform(),
        token in "[!-~]{1,300}",
        title in "\\PC{1,200}",
        body in "[\\x00-\\x7fäß€世😀]{1,2000}",
        url in prop::option::of("https://example\\.com/[a-zü世😀]{0,2000}"),
        data in prop::collection::btree_map("[a-z.]{1,20}", "[\\x00-\\x7f€]{0,150}", 0..20),
    ) {
        let message = Message {
            token: &token,
            title: &title,
            body: &body,
            url: url.as_deref(),
            ..message(&data)
        };
        let sent = json(platform, &message);
        prop_assert_eq!(&sent["message"]["token"], &Value::String(token.clone()));
        let mut without_token = sent["message"].clone();
        without_token.as_object_mut().unwrap().remove("token");
        prop_assert!(without_token.to_string().len() <= LIMIT_BYTES);
        let shown = sent["message"]["notification"]["body"].as_str().unwrap();
        prop_assert!(!shown.is_empty());
        prop_assert!(!shown.ends_with('…') || truncate::escaped_bytes(shown) > 2_000);
        prop_assert_eq!(&sent["message"]["data"]["itemId"], ITEM);
        prop_assert!(sent["message"]["data"]["occurrenceId"].is_string());
    }
}
