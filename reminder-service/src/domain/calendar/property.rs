//! One property of a component: its name, parameters and value.

use icalendar::parser;

use super::{lines::Line, x_properties};

/// Properties that are read; all others are ignored, even malformed ones.
const READ: [&str; 25] = [
    "ACTION",
    "COMPLETED",
    "DESCRIPTION",
    "DTEND",
    "DTSTAMP",
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
    "SEQUENCE",
    "STATUS",
    "SUMMARY",
    "TRIGGER",
    "TZID",
    "TZOFFSETFROM",
    "TZOFFSETTO",
    "UID",
    "URL",
    "X-LIC-LOCATION",
];
/// Properties that people write and that a reminder has no field for; their loss is noted.
const FOR_PEOPLE: [&str; 9] = [
    "ATTACH",
    "CATEGORIES",
    "COMMENT",
    "CONFERENCE",
    "CONTACT",
    "GEO",
    "IMAGE",
    "LOCATION",
    "RESOURCES",
];
/// Properties of which only the first of an entry is read.
const ONCE: [&str; 10] = [
    "DESCRIPTION",
    "DTEND",
    "DTSTART",
    "DUE",
    "DURATION",
    "RECURRENCE-ID",
    "STATUS",
    "SUMMARY",
    "UID",
    "URL",
];
const CALENDAR_ZONE: &str = "X-WR-TIMEZONE";

/// A property.
#[derive(Debug)]
pub(super) struct Property {
    /// The line on which it begins.
    pub(super) line: usize,
    /// Name, in upper case.
    pub(super) name: String,
    /// Value without escapes.
    pub(super) value: String,
    parameters: Vec<(String, String)>,
}

/// Splits a line into the name of its property, in upper case, and the rest; `None` if the line is
/// not a property.
pub(super) fn named(text: &str) -> Option<(String, &str)> {
    let end = text.find([';', ':'])?;
    let (name, rest) = text.split_at(end);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_name)).then(|| (name.to_ascii_uppercase(), rest))
}

/// Returns `true` if properties of this name are read.
pub(super) fn is_read(name: &str) -> bool {
    READ.contains(&name) || name == CALENDAR_ZONE || name.starts_with(x_properties::PREFIX)
}

/// Returns `true` if properties of this name are not read, but noted.
pub(super) fn is_for_people(name: &str) -> bool {
    FOR_PEOPLE.contains(&name)
}

/// Returns `true` if only the first property of this name in an entry is read.
pub(super) fn occurs_once(name: &str) -> bool {
    ONCE.contains(&name)
}

impl Property {
    /// Parses a line that [`named`] has split; `None` if its parameters are malformed.
    pub(super) fn parse(line: &Line, name: String, rest: &str) -> Option<Self> {
        let text = format!("{name}{rest}");
        let parsed = parser::Property::try_from(text.as_str()).ok()?;
        // The library reads as much of a line as it understands, and accepts a name alone as a
        // property.
        if parsed.val.as_str().is_empty() && !rest.ends_with(':') {
            return None;
        }
        let parameters = parsed.params.iter().map(|parameter| {
            let value = parameter.val.as_ref().map(|value| value.as_str().to_owned());
            (parameter.key.as_str().to_ascii_uppercase(), value.unwrap_or_default())
        });
        let mut property = Self {
            line: line.number,
            name,
            value: parsed.val.as_str().to_owned(),
            parameters: parameters.collect(),
        };
        property.repair_zone();
        Some(property)
    }

    /// The value of a parameter; `None` if it is empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns `true` if the property declares this type of value.
    pub(super) fn is_of_type(&self, value_type: &str) -> bool {
        self.parameter("VALUE").is_some_and(|value| value.eq_ignore_ascii_case(value_type))
    }

    /// Repairs an unquoted `TZID`. The display name of a zone contains a colon
    /// (`(UTC+01:00) Amsterdam, …`), and some products write it without the required quotes. A time
    /// contains no colon, so the value begins after the last one.
    fn repair_zone(&mut self) {
        let is_time = ["DTSTART", "DTEND", "DUE", "EXDATE", "RDATE", "RECURRENCE-ID", "TRIGGER"]
            .contains(&self.name.as_str());
        let zone = self.parameters.iter_mut().find(|(key, _)| key == "TZID");
        if let (true, Some((_, zone)), Some((rest, value))) =
            (is_time, zone, self.value.rsplit_once(':'))
        {
            *zone = format!("{zone}:{rest}");
            self.value = value.to_owned();
        }
    }
}
