//! One property of a component: its name, parameters and value.

use icalendar::parser;

use super::{lines::Line, x_properties};

/// The properties that are read; all others are passed over, however they look.
const READ: [&str; 21] = [
    "ACTION",
    "COMPLETED",
    "DESCRIPTION",
    "DTEND",
    "DTSTART",
    "DUE",
    "DURATION",
    "EXDATE",
    "EXRULE",
    "METHOD",
    "RDATE",
    "RECURRENCE-ID",
    "REPEAT",
    "RRULE",
    "STATUS",
    "SUMMARY",
    "TRIGGER",
    "TZID",
    "UID",
    "URL",
    "X-LIC-LOCATION",
];
const CALENDAR_ZONE: &str = "X-WR-TIMEZONE";

/// A property.
#[derive(Debug)]
pub(super) struct Property {
    /// The line on which it begins.
    pub(super) line: usize,
    /// Its name, in capitals.
    pub(super) name: String,
    /// Its value, without the escapes of a text.
    pub(super) value: String,
    parameters: Vec<(String, String)>,
}

/// The name of a line's property in capitals, and what follows it; none for a line that is no
/// property.
pub(super) fn named(text: &str) -> Option<(String, &str)> {
    let end = text.find([';', ':'])?;
    let (name, rest) = text.split_at(end);
    let is_name = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    (!name.is_empty() && name.bytes().all(is_name)).then(|| (name.to_ascii_uppercase(), rest))
}

/// Whether a property of this name is read at all.
pub(super) fn is_read(name: &str) -> bool {
    READ.contains(&name) || name == CALENDAR_ZONE || name.starts_with(x_properties::PREFIX)
}

impl Property {
    /// Reads a line whose name and rest were found already; none when what lies between the name
    /// and the value is no list of parameters.
    pub(super) fn parse(line: &Line, name: String, rest: &str) -> Option<Self> {
        let text = format!("{name}{rest}");
        let parsed = parser::Property::try_from(text.as_str()).ok()?;
        // The library reads as much of a line as it understands, and calls the name alone a
        // property.
        if parsed.val.as_str().is_empty() && !rest.ends_with(':') {
            return None;
        }
        let parameters = parsed.params.iter().map(|it| {
            let value = it.val.as_ref().map(|value| value.as_str().to_owned()).unwrap_or_default();
            (it.key.as_str().to_ascii_uppercase(), value)
        });
        let mut property = Self {
            line: line.number,
            name,
            value: parsed.val.as_str().to_owned(),
            parameters: parameters.collect(),
        };
        property.mend_zone();
        Some(property)
    }

    /// The value of a parameter; none when it is empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether its value is declared to be of a type.
    pub(super) fn is_of_type(&self, value_type: &str) -> bool {
        self.parameter("VALUE").is_some_and(|it| it.eq_ignore_ascii_case(value_type))
    }

    /// A zone's display name has a colon in it (`(UTC+01:00) Amsterdam, …`), and some products
    /// write it without the quotes that it needs. A time has no colon, so the last one is where the
    /// value begins.
    fn mend_zone(&mut self) {
        let is_time =
            ["DTSTART", "DTEND", "DUE", "EXDATE", "RECURRENCE-ID"].contains(&self.name.as_str());
        let zone = self.parameters.iter_mut().find(|(key, _)| key == "TZID");
        if let (true, Some((_, zone)), Some((rest, value))) =
            (is_time, zone, self.value.rsplit_once(':'))
        {
            *zone = format!("{zone}:{rest}");
            self.value = value.to_owned();
        }
    }
}
