//! The time in a template: written when a template asks for it, which those of a push seldom do.

use std::sync::{Arc, OnceLock};

use chrono::DateTime;
use chrono_tz::Tz;
use icu_locale_core::Locale;
use minijinja::{Value, value::Object};

use crate::channels::translations::{self, WrittenTime};

#[derive(Debug)]
struct Times {
    at: DateTime<Tz>,
    locale: Locale,
    written: OnceLock<WrittenTime>,
}

/// `date`, `time` and `when` for a template's context.
pub(super) fn unwritten(at: DateTime<Tz>, locale: Locale) -> Value {
    Value::from_object(Times { at, locale, written: OnceLock::new() })
}

impl Object for Times {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let written = || self.written.get_or_init(|| translations::write(&self.at, &self.locale));
        match key.as_str()? {
            "date" => Some(Value::from(&*written().date)),
            "time" => Some(Value::from(&*written().time)),
            "when" => Some(Value::from(&*written().phrase)),
            _ => None,
        }
    }
}
