//! Whether a value is one of a schema: as much of JSON Schema as the descriptions use.

use serde_json::Value;

/// How a value differs from a schema; references are looked up in the description that it is of.
///
/// # Errors
/// The first place that is not as the schema says.
pub(crate) fn fits(openapi: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')) {
        let referred = openapi.pointer(pointer).ok_or_else(|| format!("{pointer} is not there"))?;
        return fits(openapi, referred, value);
    }
    let parts = |name: &str| schema[name].as_array().into_iter().flatten();
    if let Some(first) = parts("oneOf").next() {
        let any = parts("oneOf").any(|part| fits(openapi, part, value).is_ok());
        let why = || fits(openapi, first, value).err().unwrap_or_default();
        return if any {
            Ok(())
        } else {
            Err(format!("{value} is none of the alternatives; of the first: {}", why()))
        };
    }
    parts("enum").next().map_or(Ok(()), |_| {
        if parts("enum").any(|it| it == value) {
            Ok(())
        } else {
            Err(format!("{value} is no value of it"))
        }
    })?;
    if !has_type(&schema["type"], value) {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    match value {
        Value::Object(fields) => object(openapi, schema, fields),
        Value::Array(entries) => {
            entries.iter().try_for_each(|entry| fits(openapi, &schema["items"], entry))
        }
        _ => Ok(()),
    }
}

fn object(
    openapi: &Value,
    schema: &Value,
    fields: &serde_json::Map<String, Value>,
) -> Result<(), String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !fields.contains_key(*name)) {
        return Err(format!("{missing} is missing"));
    }
    let others = schema.get("additionalProperties").filter(|it| it.is_object());
    for (name, value) in fields {
        match schema["properties"].get(name).or(others) {
            Some(schema) => fits(openapi, schema, value).map_err(|how| format!("{name}: {how}"))?,
            None if schema["properties"].is_object() => return Err(format!("{name} is unknown")),
            None => {}
        }
    }
    Ok(())
}

/// Whether a value is of a type, or of one of several; anything is when none is named.
fn has_type(named: &Value, value: &Value) -> bool {
    let is_one = |name: &Value| match name.as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    match named {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is_one),
        name => is_one(name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_missing_unknown_or_of_another_type_does_not_fit() {
        let openapi = json!({"components": {"schemas": {"Id": {"type": "string"}}}});
        let schema = json!({"type": "object", "required": ["id"], "properties": {
            "id": {"$ref": "#/components/schemas/Id"}, "kind": {"oneOf": [{"type": "null"}, {"type": "string", "enum": ["a"]}]}}});
        let fit = |value| fits(&openapi, &schema, &value).is_ok();
        assert!(
            fit(json!({"id": "1"}))
                && fit(json!({"id": "1", "kind": null}))
                && fit(json!({"id": "1", "kind": "a"}))
        );
        assert!(!fit(json!({})) && !fit(json!({"id": 1})) && !fit(json!({"id": "1", "kind": "b"})));
        assert!(!fit(json!({"id": "1", "other": 1})));
    }
}
