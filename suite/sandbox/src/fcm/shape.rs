//! Shape of FCM's messages: the fields and their types.
//!
//! Google's JSON mapping accepts the snake_case and the lowerCamelCase name of a field, and refuses
//! unknown fields.

use serde_json::{Map, Value};

use super::error::Refusal;

/// Type of a field.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Flag,
    Number,
    /// A map from text to text.
    Pairs,
    /// Any JSON object.
    Struct,
    List,
    Message(&'static [(&'static str, Type)]),
}

use Type::{Flag, List, Message, Number, Pairs, Struct, Text};

const REQUEST: &[(&str, Type)] = &[("message", Message(MESSAGE)), ("validate_only", Flag)];

const MESSAGE: &[(&str, Type)] = &[
    ("name", Text),
    ("data", Pairs),
    ("notification", Message(&[("title", Text), ("body", Text), ("image", Text)])),
    ("android", Message(ANDROID)),
    ("webpush", Message(WEBPUSH)),
    ("apns", Message(APNS)),
    ("fcm_options", Message(&[("analytics_label", Text)])),
    ("token", Text),
    ("topic", Text),
    ("condition", Text),
];

const ANDROID: &[(&str, Type)] = &[
    ("collapse_key", Text),
    ("priority", Text),
    ("ttl", Text),
    ("restricted_package_name", Text),
    ("data", Pairs),
    ("notification", Message(ANDROID_NOTIFICATION)),
    ("fcm_options", Message(&[("analytics_label", Text)])),
    ("direct_boot_ok", Flag),
    ("bandwidth_constrained_ok", Flag),
    ("restricted_satellite_ok", Flag),
];

const ANDROID_NOTIFICATION: &[(&str, Type)] = &[
    ("title", Text),
    ("body", Text),
    ("icon", Text),
    ("color", Text),
    ("sound", Text),
    ("tag", Text),
    ("click_action", Text),
    ("body_loc_key", Text),
    ("body_loc_args", List),
    ("title_loc_key", Text),
    ("title_loc_args", List),
    ("channel_id", Text),
    ("ticker", Text),
    ("sticky", Flag),
    ("event_time", Text),
    ("local_only", Flag),
    ("notification_priority", Text),
    ("default_sound", Flag),
    ("default_vibrate_timings", Flag),
    ("default_light_settings", Flag),
    ("vibrate_timings", List),
    ("visibility", Text),
    ("notification_count", Number),
    ("light_settings", Struct),
    ("image", Text),
    ("bypass_proxy_notification", Flag),
    ("proxy", Text),
];

const WEBPUSH: &[(&str, Type)] = &[
    ("headers", Pairs),
    ("data", Pairs),
    ("notification", Struct),
    ("fcm_options", Message(&[("link", Text), ("analytics_label", Text)])),
];

const APNS: &[(&str, Type)] = &[
    ("headers", Pairs),
    ("payload", Struct),
    ("fcm_options", Message(&[("analytics_label", Text), ("image", Text)])),
    ("live_activity_token", Text),
];

/// Returns the request with all field names in snake_case, if it has the right shape.
pub(super) fn checked(request: Value) -> Result<Map<String, Value>, Refusal> {
    match request {
        Value::Object(fields) => message(fields, REQUEST, ""),
        _ => Err(Refusal::malformed("", "Root element must be a message.")),
    }
}

fn message(
    fields: Map<String, Value>,
    shape: &[(&'static str, Type)],
    path: &str,
) -> Result<Map<String, Value>, Refusal> {
    let mut checked = Map::new();
    for (name, value) in fields {
        let known = shape.iter().find(|(field, _)| *field == name || is_camel_of(&name, field));
        let Some((field, kind)) = known else {
            let at = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
            let description = format!("Unknown name \"{name}\"{at}: Cannot find field.");
            return Err(Refusal::malformed(path, &description));
        };
        // null stands for a missing field.
        if !value.is_null() {
            let path =
                if path.is_empty() { (*field).to_owned() } else { format!("{path}.{field}") };
            checked.insert((*field).to_owned(), value_of(value, *kind, &path)?);
        }
    }
    Ok(checked)
}

fn value_of(value: Value, kind: Type, path: &str) -> Result<Value, Refusal> {
    let wrong = |kind: &str, value: &Value| {
        Err(Refusal::malformed(path, &format!("Invalid value at '{path}' ({kind}), {value}")))
    };
    match (kind, value) {
        (Message(shape), Value::Object(fields)) => message(fields, shape, path).map(Value::Object),
        (Pairs, Value::Object(fields)) => {
            let odd = fields.iter().position(|(_, value)| !value.is_string());
            match odd {
                Some(index) => {
                    let path = format!("{path}[{index}].value");
                    let value = fields.values().nth(index).cloned().unwrap_or_default();
                    let description = format!("Invalid value at '{path}' (TYPE_STRING), {value}");
                    Err(Refusal::malformed(&path, &description))
                }
                None => Ok(Value::Object(fields)),
            }
        }
        (Text, value @ Value::String(_))
        | (Flag, value @ Value::Bool(_))
        | (Number, value @ Value::Number(_))
        | (Struct, value @ Value::Object(_))
        | (List, value @ Value::Array(_)) => Ok(value),
        (Text, value) => wrong("TYPE_STRING", &value),
        (Flag, value) => wrong("TYPE_BOOL", &value),
        (Number, value) => wrong("TYPE_INT32", &value),
        (Pairs | Struct | List | Message(_), value) => wrong("TYPE_MESSAGE", &value),
    }
}

/// Returns `true` if `name` is the lowerCamelCase form of `field`.
fn is_camel_of(name: &str, field: &str) -> bool {
    let mut camel = String::with_capacity(field.len());
    let mut upper = false;
    for c in field.chars() {
        if c == '_' {
            upper = true;
        } else if upper {
            camel.push(c.to_ascii_uppercase());
            upper = false;
        } else {
            camel.push(c);
        }
    }
    camel == name
}
