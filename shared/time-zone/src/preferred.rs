//! Zone that the preferences of a user name.

use crate::Zone;

/// Returns the zone of a user: the one that the preferences name, or else that of the quiet hours,
/// unless it is UTC, the default of quiet hours.
#[must_use]
pub fn preferred<'a>(named: Option<&'a str>, of_quiet_hours: Option<&'a str>) -> Option<&'a str> {
    named.or(of_quiet_hours.filter(|zone| *zone != Zone::UTC.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_named_zone_over_that_of_quiet_hours() {
        let (berlin, tokyo) = (Some("Europe/Berlin"), Some("Asia/Tokyo"));
        assert_eq!(preferred(berlin, tokyo), berlin);
        assert_eq!(preferred(None, tokyo), tokyo);
        assert_eq!(preferred(Some("UTC"), tokyo), Some("UTC"));
        assert_eq!(preferred(None, Some("UTC")), None);
        assert_eq!(preferred(None, None), None);
    }
}
