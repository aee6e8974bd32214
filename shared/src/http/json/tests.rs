use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    Green,
    Blue,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Inner {
    rule: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Wish {
    text: Option<String>,
    minutes: Option<i32>,
    small: Option<u8>,
    is_on: Option<bool>,
    list: Option<Vec<u8>>,
    colour: Option<Colour>,
    #[serde(deserialize_with = "object_or_null")]
    inner: Option<Inner>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Needy {
    #[expect(dead_code, reason = "only its absence matters")]
    text: String,
    #[serde(default)]
    #[expect(dead_code, reason = "only its faults matter")]
    number: u8,
}

fn faults_of(text: &str) -> Vec<String> {
    let error = object::<Wish>(text.as_bytes()).expect_err("faults");
    error.details.into_iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect()
}

#[test]
fn names_field_and_rule_in_plain_words() {
    for (text, expected) in [
        (r#"{"minutes":1.5}"#, "minutes: must be a whole number, not a number with a fraction"),
        (r#"{"minutes":"5"}"#, "minutes: must be a whole number, not text"),
        (
            r#"{"minutes":99999999999}"#,
            "minutes: must be a whole number between -2147483648 and 2147483647",
        ),
        (r#"{"small":-1}"#, "small: must be a whole number between 0 and 255"),
        (r#"{"isOn":"yes"}"#, "isOn: must be true or false, not text"),
        (r#"{"list":{}}"#, "list: must be a list, not an object"),
        (r#"{"list":[1,"x"]}"#, "list[1]: must be a whole number, not text"),
        (r#"{"text":["a, expected b"]}"#, "text: must be text, not a list"),
        (r#"{"colour":"black"}"#, "colour: must be one of red, green, blue"),
        (r#"{"inner":{}}"#, "inner.rule: is required"),
        (r#"{"inner":{"rule":"x","y":1}}"#, "inner.y: unknown field"),
        (r#"{"inner":["x"]}"#, "inner: must be an object, not a list"),
        (r#"{"mesage":"x"}"#, "mesage: unknown field"),
        (r#"{"a.b":"x"}"#, "a.b: unknown field"),
        (r#"{"text":"x","text":"y"}"#, "text: is given twice"),
    ] {
        assert_eq!(faults_of(text), [expected], "{text}");
    }
}

#[test]
fn names_every_faulty_field() {
    let expected = [
        "colour: must be one of red, green, blue",
        "mesage: unknown field",
        "small: must be a whole number, not text",
    ];
    let mut faults = faults_of(r#"{"mesage":1,"small":"x","colour":"black","minutes":5}"#);
    faults.sort();
    assert_eq!(faults, expected);
}

#[test]
fn keeps_fields_without_faults() {
    let read = lenient::<Wish>(br#"{"minutes":5,"small":"x"}"#).expect("a wish");
    assert_eq!(read.value, Wish { minutes: Some(5), ..Wish::default() });
    assert_eq!(read.faults, [FieldFault::new("small", "must be a whole number, not text")]);
}

#[test]
fn names_faults_beside_a_missing_field() {
    let error = object::<Needy>(br#"{"number":"x","other":1}"#).expect_err("faults");
    let mut fields: Vec<_> = error.details.iter().map(|fault| fault.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["number", "other", "text"]);
}

#[test]
fn refuses_other_shapes_than_an_object() {
    for text in ["[]", "null", "\"x\"", "7", "true", "[{}]"] {
        assert_eq!(
            object::<Wish>(text.as_bytes()).expect_err("no object").message,
            "the body must be a JSON object"
        );
    }
    for text in ["", "nul", "{", r#"{"text":"#, "{} x", "{,}", "\u{feff}{}"] {
        let message = object::<Wish>(text.as_bytes()).expect_err("no JSON").message;
        assert!(message.starts_with("the body is not valid JSON"), "{text}: {message}");
    }
}

#[test]
fn refuses_deep_and_crowded_bodies_unparsed() {
    let deep = format!(r#"{{"text":{}"#, "[".repeat(1_000_000));
    assert!(
        object::<Wish>(deep.as_bytes())
            .expect_err("deep")
            .message
            .contains("nested deeper than 32")
    );
    let crowded = format!(r#"{{"list":[{}1]}}"#, "1,".repeat(20_000));
    assert!(
        object::<Wish>(crowded.as_bytes())
            .expect_err("crowded")
            .message
            .contains("more than 10000 values")
    );
    let in_text = format!(r#"{{"text":"{}\"{}"}}"#, "[".repeat(100), ",".repeat(20_000));
    assert!(object::<Wish>(in_text.as_bytes()).is_ok());
}

#[test]
fn takes_entries_as_they_are_written() {
    let texts = |text: &'static str| {
        let entries = entries(text.as_bytes(), "reminders", 2).map_err(|error| error.message)?;
        Ok::<_, String>(entries.into_iter().map(|entry| entry.get()).collect::<Vec<_>>())
    };
    assert_eq!(texts(r#"{"reminders":[{"a":1},[2]]}"#), Ok(vec![r#"{"a":1}"#, "[2]"]));
    assert_eq!(texts(" [7, null]"), Ok(vec!["7", "null"]));
    for (text, expected) in [
        ("[1,2,3]", "reminders: must be a list of 1 to 2"),
        ("[]", "reminders: must be a list of 1 to 2"),
        (r#"{"reminders":[1,2,3]}"#, "reminders: must be a list of 1 to 2"),
        (r#"{"reminders":{}}"#, "reminders: must be a list of 1 to 2"),
        (r#"{"reminders":null}"#, "reminders: must be a list of 1 to 2"),
        (r#"{"reminders":[1],"other":2}"#, "other: unknown field"),
        (r#"{"reminders":[1],"reminders":[2]}"#, "reminders: is given twice"),
        ("{}", "reminders: is required"),
        ("null", "the body must be a JSON object with the list reminders"),
        ("\"x\"", "the body must be a JSON object with the list reminders"),
        ("[1,2", "the body is not valid JSON: it ends too early"),
        ("[1]x", "the body is not valid JSON: something follows its end"),
    ] {
        assert_eq!(texts(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn speaks_of_queries_in_the_same_words() {
    for (problem, field, message) in [
        ("limit: invalid digit found in string", "limit", "must be a whole number"),
        ("unknown field `other: x`, expected `limit`", "other: x", "unknown field"),
        ("missing field `limit`", "limit", "is required"),
        ("status: unknown variant `lost`, expected `a` or `b`", "status", "must be a or b"),
    ] {
        assert_eq!(of_query(problem), FieldFault::new(field, message));
    }
}
