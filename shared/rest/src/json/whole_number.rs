//! Whole numbers as clients write them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// Whole number of a body, in any of JSON's forms: `10`, `10.0` and `1e1` are the same, as RFC 8259
/// does not tell integers from other numbers. A number beyond the range of the type becomes the
/// nearest one within, so that the rule of its field refuses it with the range that it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeNumber(i64);

impl WholeNumber {
    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Returns the number, or the nearest one that 32 bits hold.
    #[must_use]
    pub fn saturating_i32(self) -> i32 {
        let nearest = if self.0 < 0 { i32::MIN } else { i32::MAX };
        i32::try_from(self.0).unwrap_or(nearest)
    }
}

impl From<i32> for WholeNumber {
    fn from(number: i32) -> Self {
        Self(number.into())
    }
}

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = WholeNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<WholeNumber, E> {
        if number.fract() == 0.0 {
            // A float beyond the range becomes its nearest end.
            Ok(WholeNumber(number as i64))
        } else {
            Err(E::invalid_type(Unexpected::Float(number), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_a_whole_number() {
        for (text, number, short) in [
            ("10", 10, 10),
            ("10.0", 10, 10),
            ("1e1", 10, 10),
            ("-0.0", 0, 0),
            ("3000000000", 3_000_000_000, i32::MAX),
            ("-3000000000", -3_000_000_000, i32::MIN),
            ("99999999999999999999", i64::MAX, i32::MAX),
            ("-1e300", i64::MIN, i32::MIN),
        ] {
            let read: WholeNumber = serde_json::from_str(text).expect(text);
            assert_eq!((read.get(), read.saturating_i32()), (number, short), "{text}");
        }
    }

    #[test]
    fn refuses_other_values() {
        for text in ["1.5", "1e-1", "\"10\"", "true", "null", "[1]", "{}"] {
            assert!(serde_json::from_str::<WholeNumber>(text).is_err(), "{text}");
        }
    }
}
