//! Rules of FCM for the content of a message, and its presentation on a device.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{error::Refusal, shape};
use crate::capture::Push;

/// Largest size of a message's notification and data, in bytes.
const MAX_PAYLOAD_BYTES: usize = 4_096;
/// 28 days.
const MAX_TTL_SECONDS: f64 = 2_419_200.0;
/// RFC 8030, section 5.4.
const MAX_TOPIC_CHARS: usize = 32;
const MAX_APNS_COLLAPSE_BYTES: usize = 64;

/// Reads and checks a request's body: the message, its names in snake_case, and `validate_only`.
pub(super) fn read(body: &[u8]) -> Result<(Value, bool), Refusal> {
    let request =
        serde_json::from_slice(body).map_err(|error| Refusal::malformed("", &error.to_string()))?;
    let mut request = shape::checked(request)?;
    let validate_only = request.get("validate_only").and_then(Value::as_bool).unwrap_or(false);
    let message = request.remove("message").unwrap_or(Value::Null);
    if message.as_object().is_none_or(Map::is_empty) {
        return Err(Refusal::invalid("message", "The message is not set."));
    }
    check_target(&message)?;
    check_data(&message)?;
    check_android(&message["android"])?;
    check_webpush(&message["webpush"])?;
    check_apns(&message["apns"])?;
    check_size(&message)?;
    Ok((message, validate_only))
}

fn check_target(message: &Value) -> Result<(), Refusal> {
    let targets: Vec<_> = ["token", "topic", "condition"]
        .into_iter()
        .filter_map(|name| message[name].as_str())
        .collect();
    match targets.as_slice() {
        [""] | [] => Err(Refusal::invalid("message", "Recipient of the message is not set.")),
        [token]
            if message["token"].is_string()
                && token.chars().any(|c| c.is_whitespace() || c.is_control()) =>
        {
            Err(Refusal::invalid_token())
        }
        [_] => Ok(()),
        _ => Err(Refusal::malformed(
            "message",
            "Invalid value at 'message' (oneof), oneof field 'target' is already set.",
        )),
    }
}

fn check_data(message: &Value) -> Result<(), Refusal> {
    let reserved = |key: &str| {
        matches!(key, "from" | "message_type")
            || key.starts_with("google.")
            || key.starts_with("gcm.")
    };
    for (path, data) in
        [("message.data", &message["data"]), ("message.android.data", &message["android"]["data"])]
    {
        let bad = data.as_object().and_then(|pairs| pairs.keys().find(|key| reserved(key)));
        if let Some(key) = bad {
            return Err(Refusal::invalid(path, &format!("Invalid data payload key: {key}")));
        }
    }
    Ok(())
}

fn check_android(android: &Value) -> Result<(), Refusal> {
    if let Some(ttl) = android["ttl"].as_str()
        && !is_ttl(ttl)
    {
        return Err(Refusal::invalid(
            "message.android.ttl",
            "Invalid ttl: seconds from 0 to 2419200, such as 3.5s",
        ));
    }
    match android["priority"].as_str() {
        None | Some("NORMAL" | "HIGH" | "normal" | "high") => Ok(()),
        Some(_) => Err(Refusal::invalid(
            "message.android.priority",
            "Invalid value (AndroidMessagePriority)",
        )),
    }
}

fn is_ttl(ttl: &str) -> bool {
    let seconds = ttl
        .strip_suffix('s')
        .filter(|number| number.chars().all(|c| c.is_ascii_digit() || c == '.'));
    let seconds = seconds.and_then(|number| number.parse::<f64>().ok());
    seconds.is_some_and(|seconds| (0.0..=MAX_TTL_SECONDS).contains(&seconds))
}

fn check_webpush(webpush: &Value) -> Result<(), Refusal> {
    if let Some(link) = webpush["fcm_options"]["link"].as_str()
        && !link.starts_with("https://")
    {
        return Err(Refusal::invalid(
            "message.webpush.fcm_options.link",
            "The link must be an HTTPS URL",
        ));
    }
    let url_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    for (name, value) in headers(webpush) {
        let good = match name.to_ascii_lowercase().as_str() {
            "topic" => {
                !value.is_empty() && value.len() <= MAX_TOPIC_CHARS && value.chars().all(url_safe)
            }
            "ttl" => value.parse::<u64>().is_ok(),
            "urgency" => matches!(value, "very-low" | "low" | "normal" | "high"),
            _ => true,
        };
        if !good {
            return Err(Refusal::invalid(
                "message.webpush.headers",
                &format!("Invalid header {name}"),
            ));
        }
    }
    Ok(())
}

fn check_apns(apns: &Value) -> Result<(), Refusal> {
    for (name, value) in headers(apns) {
        let good = match name.to_ascii_lowercase().as_str() {
            "apns-collapse-id" => !value.is_empty() && value.len() <= MAX_APNS_COLLAPSE_BYTES,
            "apns-priority" => matches!(value, "1" | "5" | "10"),
            "apns-expiration" => value.parse::<u64>().is_ok(),
            _ => true,
        };
        if !good {
            return Err(Refusal::invalid(
                "message.apns.headers",
                &format!("Invalid header {name}"),
            ));
        }
    }
    let aps = &apns["payload"]["aps"];
    if aps.is_null() || aps.is_object() {
        return Ok(());
    }
    Err(Refusal::invalid("message.apns.payload.aps", "The aps must be an object"))
}

fn headers(block: &Value) -> impl Iterator<Item = (&str, &str)> {
    let headers = block["headers"].as_object().into_iter().flatten();
    headers.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// Each platform gets the common parts and its own; each such message has its limit.
fn check_size(message: &Value) -> Result<(), Refusal> {
    let common = size(&message["notification"]) + size(&message["data"]);
    let (android, webpush) = (&message["android"], &message["webpush"]);
    let sizes = [
        ("Android", common + size(&android["notification"]) + size(&android["data"])),
        ("APNS", common + size(&message["apns"]["payload"])),
        ("Webpush", common + size(&webpush["notification"]) + size(&webpush["data"])),
    ];
    match sizes.into_iter().find(|(_, bytes)| *bytes > MAX_PAYLOAD_BYTES) {
        Some((platform, _)) => Err(Refusal::too_big(platform)),
        None => Ok(()),
    }
}

/// Keys and values, without JSON's punctuation.
fn size(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + size(value)).sum(),
        other => other.to_string().len(),
    }
}

/// The message as a device would show it.
pub(super) fn as_shown(project: String, message: &Value) -> Push {
    let (android, apns, webpush) = (&message["android"], &message["apns"], &message["webpush"]);
    let alert = &apns["payload"]["aps"]["alert"];
    let shown = |name: &str| {
        text(&message["notification"][name])
            .or_else(|| text(&android["notification"][name]))
            .or_else(|| text(&webpush["notification"][name]))
            .or_else(|| text(&alert[name]))
    };
    let data = message["data"].as_object().into_iter().flatten();
    let topic = headers(webpush).find(|(name, _)| name.eq_ignore_ascii_case("topic"));
    let collapse_id = headers(apns).find(|(name, _)| name.eq_ignore_ascii_case("apns-collapse-id"));
    Push {
        project,
        token: text(&message["token"]).unwrap_or_default(),
        title: shown("title"),
        body: shown("body").or_else(|| text(alert)),
        link: text(&webpush["fcm_options"]["link"])
            .or_else(|| text(&message["data"]["url"]))
            .or_else(|| text(&message["data"]["link"])),
        data: data
            .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
            .collect::<BTreeMap<_, _>>(),
        collapse_key: text(&android["collapse_key"])
            .or_else(|| collapse_id.map(|(_, value)| value.to_owned()))
            .or_else(|| topic.map(|(_, value)| value.to_owned()))
            .or_else(|| text(&android["notification"]["tag"])),
        android: block(android),
        apns: block(apns),
        webpush: block(webpush),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn block(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}
