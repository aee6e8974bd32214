//! Reads a rule, and refuses what no reminder can mean.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Timelike, Utc};
use rrule::{Frequency, RRule, Unvalidated};

use crate::{
    until::Until,
    zone::{Fold, Gap},
};

/// The longest text of a rule.
const LONGEST: usize = 1_000;
/// The most exclusions.
const MOST_EXCLUSIONS: usize = 1_000;
/// The highest `COUNT`: a counted rule is expanded from its start each time.
const HIGHEST_COUNT: u32 = 10_000;

/// A rule as a client writes it.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// An RRULE value, such as `FREQ=DAILY;COUNT=3`.
    pub rrule: &'a str,
    /// Occurrences left out: local date-times (`2026-05-01T10:00:00`), instants (with `Z` or an offset), or whole local
    /// days (`2026-05-01`).
    pub exdates: &'a [String],
    /// For local times that do not exist.
    pub gap: Gap,
    /// For local times that exist twice.
    pub fold: Fold,
}

/// Why a rule is refused. The text names the part and is written for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no rule.
    #[error("rrule: {0}")]
    Malformed(String),
    /// It has a part that no reminder can have.
    #[error("rrule: {0}")]
    Unsupported(&'static str),
    /// An exclusion is no time.
    #[error(
        "exdates: {0} is neither a local date-time, such as 2026-05-01T10:00:00, nor a date, nor a time with its offset"
    )]
    Exclusion(usize),
    /// There are too many exclusions.
    #[error("exdates: at most {MOST_EXCLUSIONS} entries")]
    TooManyExclusions,
    /// It never fires.
    #[error("rrule: it never fires")]
    NeverFires,
    /// It fires too often.
    #[error("rrule: it fires more often than once a minute")]
    TooOften,
}

/// What is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exclusions {
    pub(crate) times: HashSet<NaiveDateTime>,
    pub(crate) days: HashSet<NaiveDate>,
    pub(crate) instants: HashSet<DateTime<Utc>>,
}

impl Exclusions {
    fn parse(texts: &[String]) -> Result<Self, Refusal> {
        if texts.len() > MOST_EXCLUSIONS {
            return Err(Refusal::TooManyExclusions);
        }
        let mut exclusions = Self::default();
        for (position, text) in texts.iter().enumerate() {
            if let Ok(at) = DateTime::parse_from_rfc3339(text) {
                exclusions.instants.insert(whole_second(at.to_utc()));
            } else if let Some(local) = local_time(text) {
                exclusions.times.insert(local);
            } else if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
                exclusions.days.insert(day);
            } else {
                return Err(Refusal::Exclusion(position));
            }
        }
        Ok(exclusions)
    }

    pub(crate) fn has(&self, local: NaiveDateTime) -> bool {
        self.times.contains(&local) || self.days.contains(&local.date())
    }
}

fn local_time(text: &str) -> Option<NaiveDateTime> {
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let local = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    local.with_nanosecond(0)
}

fn whole_second(at: DateTime<Utc>) -> DateTime<Utc> {
    at.with_nanosecond(0).unwrap_or(at)
}

/// A rule that was read: the library's, without its end, which is ours.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) rule: RRule<Unvalidated>,
    pub(crate) until: Option<Until>,
    pub(crate) exclusions: Exclusions,
}

impl Parsed {
    pub(crate) fn read(rule: Rule<'_>) -> Result<Self, Refusal> {
        let (text, until) = without_until(rule.rrule)?;
        let parsed: RRule<Unvalidated> = text.parse().map_err(|error| malformed(&error))?;
        if until.is_some() && parsed.get_count().is_some() {
            return Err(Refusal::Unsupported("COUNT and UNTIL cannot be given together"));
        }
        if parsed.get_count().is_some_and(|count| count > HIGHEST_COUNT) {
            return Err(Refusal::Unsupported("COUNT must be at most 10000"));
        }
        if parsed.get_interval() == 0 || parsed.get_count() == Some(0) {
            return Err(Refusal::Unsupported("INTERVAL and COUNT must be at least 1"));
        }
        Ok(Self { rule: parsed, until, exclusions: Exclusions::parse(rule.exdates)? })
    }

    /// Whether two instances may lie less than a minute apart.
    pub(crate) fn may_crowd(&self) -> bool {
        self.rule.get_freq() == Frequency::Secondly || self.rule.get_by_second().len() > 1
    }
}

/// A wall-clock time as the library takes it: whole seconds.
pub(crate) fn floating(local: NaiveDateTime) -> NaiveDateTime {
    local.with_nanosecond(0).unwrap_or(local)
}

/// The rule without its `UNTIL`, which the library would compare with floating times, and the `UNTIL`.
fn without_until(text: &str) -> Result<(String, Option<Until>), Refusal> {
    let text = text.trim();
    let text = text.strip_prefix("RRULE:").unwrap_or(text);
    if text.len() > LONGEST {
        return Err(Refusal::Unsupported("at most 1000 characters"));
    }
    let (mut rest, mut until, mut names) = (Vec::new(), None, HashSet::new());
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let name = part.split('=').next().unwrap_or_default().to_ascii_uppercase();
        if part.contains(['\n', '\r']) || !names.insert(name.clone()) {
            return Err(Refusal::Malformed(format!("{} comes twice or has a line break", shown(&name))));
        }
        if name == "UNTIL" {
            let value = part.split_once('=').map(|(_, value)| value).unwrap_or_default();
            let problem =
                "UNTIL must be a date (20261231), a local time (20261231T120000) or an instant (20261231T120000Z)";
            until = Some(Until::parse(value).ok_or(Refusal::Unsupported(problem))?);
        } else {
            rest.push(part);
        }
    }
    Ok((rest.join(";"), until))
}

/// What the library says, short and on one line.
pub(crate) fn malformed(error: &rrule::RRuleError) -> Refusal {
    Refusal::Malformed(shown(&error.to_string()))
}

fn shown(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(200).collect()
}
