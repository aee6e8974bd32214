//! Names of time zones that are offsets, such as `GMT+05:00`, `UTC-3` and `+0530`.

use super::definition;

/// Seconds of an offset. The sign is that of ISO 8601: `GMT+5` is east of Greenwich, in contrast to
/// `Etc/GMT+5`.
pub(super) fn offset(name: &str) -> Option<i64> {
    let name = name.trim().to_ascii_uppercase();
    let rest = ["GMT", "UTC", "Z"].into_iter().find_map(|prefix| name.strip_prefix(prefix));
    let rest = rest.unwrap_or(&name).trim();
    let sign = rest.get(..1).filter(|sign| ["+", "-"].contains(sign))?;
    let digits = rest.get(1..).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))?;
    definition::offset(&format!("{sign}{digits}"))
}
