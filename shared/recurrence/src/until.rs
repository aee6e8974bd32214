//! End of a rule: `UNTIL` in its three forms.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// The end of a rule; what lies on it still belongs to the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// `19971224T000000Z`: an instant.
    Instant(DateTime<Utc>),
    /// `19971224T000000`, or `19971224` for the whole of that day: a wall-clock time.
    Local(NaiveDateTime),
}

impl Until {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(text) = text.strip_suffix(['Z', 'z']) {
            return date_time(text).map(|at| Self::Instant(at.and_utc()));
        }
        if let Some(local) = date_time(text) {
            return Some(Self::Local(local));
        }
        let date = NaiveDate::parse_from_str(text, "%Y%m%d").ok().filter(|_| text.len() == 8)?;
        Some(Self::Local(date.and_time(NaiveTime::from_hms_opt(23, 59, 59)?)))
    }
}

fn date_time(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok().filter(|_| text.len() == 15)
}
