//! Validation of a value by a schema: the part of JSON Schema that the OpenAPI documents use.

use serde_json::Value;

/// Checks a value against a schema. References are resolved in the OpenAPI document.
///
/// # Errors
/// If the value violates the schema: the first violation.
pub(crate) fn fits(openapi: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'))
    {
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
        if parts("enum").any(|allowed| allowed == value) {
            Ok(())
        } else {
            Err(format!("{value} is not an allowed value"))
        }
    })?;
    if !has_type(&schema["type"], value) {
        return Err(format!("{value} is not of type {}", schema["type"]));
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
    let others = schema.get("additionalProperties").filter(|schema| schema.is_object());
    for (name, value) in fields {
        match schema["properties"].get(name).or(others) {
            Some(schema) => {
                fits(openapi, schema, value).map_err(|violation| format!("{name}: {violation}"))?
            }
            None if schema["properties"].is_object() => return Err(format!("{name} is unknown")),
            None => {}
        }
    }
    Ok(())
}

/// Returns `true` if a value has one of the named types, or if none is named.
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
    fn refuses_missing_unknown_and_wrong_fields() {
        let openapi = json!({"components": {"schemas": {"Id": {"type": "string"}}}});
        let schema = json!({
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"$ref": "#/components/schemas/Id"},
                "kind": {"oneOf": [{"type": "null"}, {"type": "string", "enum": ["a"]}]},
            },
        });
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
