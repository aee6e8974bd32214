//! Digest of the values of a JSON text, independent of the order of fields, of white space, of
//! escapes and of the form of numbers.
//!
//! Each value has a digest, and that of an object or a list is made of those in it: no copy of the
//! text is held in memory.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use sha2::{Digest as _, Sha256};

/// Largest number of values that are compared; a text with more counts by its bytes.
const MAX_VALUES: usize = 100_000;
/// Whole numbers up to here are the same in every form: 2^53, as RFC 8259 section 6 recommends.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

type Digest = [u8; 32];

/// Returns the digest of the values of a text; `None` if it is not JSON, gives a field twice, or
/// has more than 100,000 values.
pub(crate) fn of(text: &[u8]) -> Option<Digest> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut left = MAX_VALUES;
    let digest = json.deserialize_any(Reader { left: &mut left }).ok()?;
    json.end().ok()?;
    Some(digest)
}

/// Reader of a value and of those in it.
struct Reader<'a> {
    /// Number of further values.
    left: &'a mut usize,
}

impl Reader<'_> {
    fn again(&mut self) -> Reader<'_> {
        Reader { left: self.left }
    }

    fn digest<E: Error>(self, kind: u8, value: &[u8]) -> Result<Digest, E> {
        self.count()?;
        Ok(Sha256::new_with_prefix([kind]).chain_update(value).finalize().into())
    }

    fn count<E: Error>(&self) -> Result<(), E> {
        if *self.left == 0 { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Digest;

    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<Digest, D::Error> {
        *self.left = self.left.saturating_sub(1);
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Digest, E> {
        self.digest(b'n', b"")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Digest, E> {
        self.digest(b'b', &[u8::from(value)])
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Digest, E> {
        self.digest(b'i', &i128::from(number).to_be_bytes())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Digest, E> {
        self.digest(b'i', &i128::from(number).to_be_bytes())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Digest, E> {
        if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
            return self.digest(b'i', &(number as i128).to_be_bytes());
        }
        self.digest(b'f', &number.to_be_bytes())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Digest, E> {
        self.digest(b's', text.as_bytes())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<Digest, A::Error> {
        self.count()?;
        let mut list = Sha256::new_with_prefix(b"[");
        while let Some(entry) = entries.next_element_seed(self.again())? {
            list.update(entry);
        }
        Ok(list.finalize().into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Digest, A::Error> {
        self.count()?;
        let mut values = BTreeMap::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(self.again())?;
            if values.insert(name, value).is_some() {
                return Err(A::Error::custom("a field is given twice"));
            }
        }
        let mut object = Sha256::new_with_prefix(b"{");
        for (name, value) in values {
            object.update((name.len() as u64).to_be_bytes());
            object.update(name);
            object.update(value);
        }
        Ok(object.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn ignores_order_of_fields_and_white_space() {
        let first = of(br#"{"a":1,"b":{"c":[1,2],"d":null}}"#);
        assert!(first.is_some());
        assert_eq!(of(b"\t{\"b\" : {\"d\":null, \"c\":[ 1,\n2 ]},\r\n \"a\": 1 } "), first);
    }

    #[test]
    fn ignores_escapes_and_forms_of_numbers() {
        for (one, other) in [
            (r#"{"a":"\u0061\/\u00e9\ud83d\ude00"}"#, r#"{"\u0061":"a/é😀"}"#),
            ("[10,-0,1e2,0.5]", "[1.0e1,0,100.0,5e-1]"),
            ("[9007199254740992]", "[9007199254740992.0]"),
        ] {
            assert_eq!(of(one.as_bytes()), of(other.as_bytes()), "{one}");
            assert!(of(one.as_bytes()).is_some());
        }
    }

    #[test]
    fn tells_other_values_apart() {
        let texts = [
            "{}",
            "[]",
            "null",
            "false",
            "true",
            "0",
            "1",
            "0.1",
            r#""""#,
            r#""0""#,
            "[0]",
            "[[0]]",
            "[[]]",
            "[{}]",
            r#"["0"]"#,
            "[0,1]",
            "[1,0]",
            r#"{"0":0}"#,
            r#"{"0":null}"#,
            r#"{"a":"bc"}"#,
            r#"{"ab":"c"}"#,
            r#"{"a":{"b":0},"c":0}"#,
            r#"{"a":{"b":0,"c":0}}"#,
            r#"["é"]"#,
            r#"["e\u0301"]"#,
            "18446744073709551615",
            "18446744073709551614",
        ];
        let digests: std::collections::BTreeSet<_> =
            texts.iter().map(|text| of(text.as_bytes()).expect("JSON")).collect();
        assert_eq!(digests.len(), texts.len());
    }

    #[test]
    fn counts_by_bytes_when_fields_repeat_or_are_many() {
        for text in ["", "{", "{} x", r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#] {
            assert_eq!(of(text.as_bytes()), None, "{text}");
        }
        let list = |entries: usize| format!("[{}0]", "0,".repeat(entries - 1));
        assert!(of(list(MAX_VALUES - 1).as_bytes()).is_some());
        assert_eq!(of(list(MAX_VALUES + 1).as_bytes()), None);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"é]{0,2}", inner, 0..4)
                    .prop_map(|fields| json!(fields)),
            ]
        })
    }

    proptest! {
        #[test]
        fn has_one_digest_for_each_value(one in value(), other in value()) {
            let digest = |value: &Value| of(value.to_string().as_bytes());
            prop_assert_eq!(digest(&one) == digest(&other), one == other);
            let pretty = serde_json::to_string_pretty(&one).expect("JSON");
            prop_assert_eq!(of(pretty.as_bytes()), digest(&one));
        }
    }
}
