//! Names of time zones.

use std::cmp::Ordering;

/// Placeholder of systems on which no zone was chosen.
const NO_ZONE: &str = "Factory";

/// Returns `true` for the name of a zone. Folders of the database also contain lists
/// (`tzdata.zi`), the zone of the machine (`localtime`, `posixrules`), copies of all zones
/// (`posix/`, `right/`) and folders of the operating system (`..data`), whose names do not begin
/// with a capital letter.
pub(crate) fn is_zone(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_uppercase())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+".contains(&byte))
    };
    name != NO_ZONE && name.split('/').all(is_part)
}

/// Orders names without regard to the case of their letters.
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    one.bytes().map(lower).cmp(other.bytes().map(lower))
}
