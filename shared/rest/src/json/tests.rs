use std::collections::BTreeMap;

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
    inner: Option<Inner>,
    data: Option<BTreeMap<String, String>>,
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
        (r#"{"colour":5}"#, "colour: must be text, not a whole number"),
        (r#"{"colour":true}"#, "colour: must be text, not true or false"),
        (r#"{"colour":["red"]}"#, "colour: must be text, not a list"),
        (r#"{"colour":{"red":null}}"#, "colour: must be text, not an object"),
        (r#"{"colour":{}}"#, "colour: must be text, not an object"),
        (r#"{"inner":{}}"#, "inner.rule: is required"),
        (r#"{"inner":{"rule":"x","y":1}}"#, "inner.y: unknown field"),
        (r#"{"inner":{"rule":"x","inner":1}}"#, "inner.inner: unknown field"),
        (r#"{"inner":["x"]}"#, "inner: must be an object, not a list"),
        (r#"{"mesage":"x"}"#, "mesage: unknown field"),
        (r#"{"a.b":"x"}"#, "a.b: unknown field"),
        (r#"{"text":"x","text":"y"}"#, "text: is given twice"),
        (r#"{"data":{"a":"x","b":"","a":"x"}}"#, "data.a: is given twice"),
        (r#"{"data":{"a":"x","\u0061":"y"}}"#, "data.a: is given twice"),
        (r#"{"data":{"a":1}}"#, "data.a: must be text, not a whole number"),
        (r#"{"data":[]}"#, "data: must be an object, not a list"),
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
fn names_every_fault_of_nested_fields() {
    for (text, expected) in [
        (
            r#"{"list":[1,"x",300,2,null]}"#,
            &[
                "list[1]: must be a whole number, not text",
                "list[2]: must be a whole number between 0 and 255",
                "list[4]: must be a whole number, not null",
            ][..],
        ),
        (
            r#"{"colour":1,"text":2}"#,
            &["colour: must be text, not a whole number", "text: must be text, not a whole number"],
        ),
        (
            r#"{"inner":{"rule":5,"a":1,"b":{"c":2}},"text":1}"#,
            &[
                "inner.a: unknown field",
                "inner.b: unknown field",
                "inner.rule: must be text, not a whole number",
                "text: must be text, not a whole number",
            ],
        ),
        (
            r#"{"inner":{"a":1},"list":[[]]}"#,
            &[
                "inner.a: unknown field",
                "inner.rule: is required",
                "list[0]: must be a whole number, not a list",
            ],
        ),
        (
            r#"{"text":"x","small":-1,"text":"y","inner":7,"inner":8}"#,
            &[
                "inner: must be an object, not a whole number",
                "small: must be a whole number between 0 and 255",
                "text: is given twice",
            ],
        ),
        (
            r#"{"inner":{"rule":"x","rule":"y"},"small":"z"}"#,
            &["inner.rule: is given twice", "small: must be a whole number, not text"],
        ),
        (
            r#"{"colour":{"red":1},"list":["x",{}],"data":{"a":"x","a":"y"}}"#,
            &[
                "colour: must be text, not an object",
                "data.a: is given twice",
                "list[0]: must be a whole number, not text",
                "list[1]: must be a whole number, not an object",
            ],
        ),
        (
            r#"{"other":{"a":1,"a":2},"data":{"b":"x","b":"y"},"data":{"b":"z"}}"#,
            &["data.b: is given twice", "data: is given twice", "other: unknown field"],
        ),
    ] {
        let mut faults = faults_of(text);
        faults.sort();
        assert_eq!(faults, expected, "{text}");
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    #[expect(dead_code, reason = "only its absence matters")]
    first: String,
    #[expect(dead_code, reason = "only its absence matters")]
    second: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[test]
fn names_every_missing_field() {
    let error = object::<Pair>(b"{}").expect_err("faults");
    let fields: Vec<_> = error.details.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["first", "second"]);
    let error = object::<Pair>(br#"{"first":null}"#).expect_err("faults");
    assert_eq!(error.details.len(), 2, "{error:?}");
}

#[test]
fn names_field_of_body_without_fields() {
    let error = object::<Empty>(br#"{"a`b":1,"c":2}"#).expect_err("faults");
    let fields: Vec<_> = error.details.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["a`b", "c"]);
}

#[test]
fn names_bounded_number_of_faults() {
    let fields: Vec<_> = (0..5_000).map(|number| format!(r#""f{number}":{{}}"#)).collect();
    let error = object::<Wish>(format!("{{{}}}", fields.join(",")).as_bytes()).expect_err("faults");
    assert_eq!(error.details.len(), MAX_FAULTS);
    let long = format!(r#"{{"{}":1,"inner":{{"{}":2}}}}"#, "a".repeat(5_000), "b".repeat(5_000));
    for fault in object::<Wish>(long.as_bytes()).expect_err("faults").details {
        assert!(fault.field.chars().count() <= 128, "{}", fault.field);
    }
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
            "body: must be a JSON object"
        );
    }
    for text in ["", "nul", "{", r#"{"text":"#, "{} x", "{,}"] {
        let message = object::<Wish>(text.as_bytes()).expect_err("no JSON").message;
        assert!(message.starts_with("body: is not valid JSON"), "{text}: {message}");
    }
    for text in [r#"{"minutes":1e400}"#, r#"{"other":1e400}"#] {
        let message = object::<Wish>(text.as_bytes()).expect_err("no number").message;
        assert_eq!(message, "body: has a number that is out of range", "{text}");
    }
}

#[test]
fn refuses_byte_order_mark() {
    let expected = "body: must be UTF-8 without a byte order mark";
    let text = "\u{feff}{\"minutes\":5}".as_bytes();
    assert_eq!(object::<Wish>(text).expect_err("a fault").message, expected);
    let text = "\u{feff}[{}]".as_bytes();
    assert_eq!(entries(text, "reminders", 2).expect_err("a fault").message, expected);
}

#[test]
fn refuses_deep_and_crowded_bodies_unparsed() {
    let deep = format!(r#"{{"text":{}"#, "[".repeat(1_000_000));
    assert!(
        object::<Wish>(deep.as_bytes())
            .expect_err("deep")
            .message
            .contains("nested at most 32 levels")
    );
    let crowded = format!(r#"{{"list":[{}1]}}"#, "1,".repeat(20_000));
    assert!(
        object::<Wish>(crowded.as_bytes())
            .expect_err("crowded")
            .message
            .contains("at most 10000 values")
    );
    let in_text = format!(r#"{{"text":"{}\"{}"}}"#, "[".repeat(100), ",".repeat(20_000));
    assert!(object::<Wish>(in_text.as_bytes()).is_ok());
}

#[test]
fn returns_entries_as_unparsed_text() {
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
        ("null", "body: must be a JSON object with the list reminders"),
        ("\"x\"", "body: must be a JSON object with the list reminders"),
        ("[1,2", "body: is not valid JSON: it ends too early"),
        ("[1]x", "body: is not valid JSON: it has text after its end"),
    ] {
        assert_eq!(texts(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn names_unknown_field_beside_entries() {
    let error = entries(br#"{"an odd: name":1}"#, "reminders", 2).expect_err("a fault");
    assert_eq!(error.details, [FieldFault::new("an odd: name", "unknown field")]);
}

#[test]
fn names_faults_of_queries_in_plain_words() {
    for (problem, field, message) in [
        ("limit: invalid digit found in string", "limit", "must be a whole number"),
        ("unknown field `other: x`, expected `limit`", "other: x", "unknown field"),
        (
            "from: premature end of input",
            "from",
            "must be an RFC 3339 time, such as 2026-05-01T08:00:00Z",
        ),
        ("missing field `limit`", "limit", "is required"),
        ("status: unknown variant `lost`, expected `a` or `b`", "status", "must be a or b"),
    ] {
        assert_eq!(of_query(problem), FieldFault::new(field, message));
    }
}
