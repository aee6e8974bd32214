//! Time in the context of a template, formatted only if the template uses it, which templates of a
//! push seldom do.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use icu_locale_core::Locale;
use minijinja::{Value, value::Object};
use time_zone::Zone;

use crate::channels::translations::{self, WrittenTime};

#[derive(Debug)]
struct Times {
    at: DateTime<Utc>,
    zone: Zone,
    locale: Locale,
    written: OnceLock<WrittenTime>,
}

/// Returns `date`, `time` and `when` for the context of a template.
pub(super) fn lazy_time(at: DateTime<Utc>, zone: Zone, locale: Locale) -> Value {
    Value::from_object(Times { at, zone, locale, written: OnceLock::new() })
}

impl Object for Times {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let write = || translations::write(self.at, self.zone, &self.locale);
        let written = || self.written.get_or_init(write);
        match key.as_str()? {
            "date" => Some(Value::from(&*written().date)),
            "time" => Some(Value::from(&*written().time)),
            "when" => Some(Value::from(&*written().phrase)),
            _ => None,
        }
    }
}
