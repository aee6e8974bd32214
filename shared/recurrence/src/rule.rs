//! Reads a rule, and refuses what no reminder can mean.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};

use crate::{
    calendar::{DAY, FIRST_DAY, seconds_of},
    expansion::END,
    listed_date::Canonical,
    parts::{Frequency, Parts},
    zone::{Fold, Gap},
};

/// The most exclusions, and the most extra dates.
const MOST_DATES: usize = 1_000;

/// A rule as a client writes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rule<'a> {
    /// An RRULE value, such as `FREQ=DAILY;COUNT=3`.
    pub rrule: &'a str,
    /// Occurrences left out: local date-times (`2026-05-01T10:00:00`), instants (with `Z` or an
    /// offset), or whole local days (`2026-05-01`).
    pub exdates: &'a [String],
    /// Extra occurrences beside those of the rule, in the same forms: local date-times, which `gap`
    /// and `fold` apply to as well, instants, or local days (at the time of day of the start).
    /// Neither `COUNT` nor `UNTIL` applies to them; `exdates` do.
    pub rdates: &'a [String],
    /// For local times that do not exist.
    pub gap: Gap,
    /// For local times that exist twice.
    pub fold: Fold,
}

impl Rule<'_> {
    /// Checks the syntax of the rule and of its exclusions, but no instances.
    ///
    /// # Errors
    /// [`Refusal`] if one of them is malformed or not supported.
    pub fn check_syntax(self) -> Result<(), Refusal> {
        Parsed::read(self).map(drop)
    }
}

/// Reason that a rule is refused. The text names the part and is written for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is not a recurrence rule.
    #[error("rrule: {0}")]
    Malformed(String),
    /// The rule is too long, or has a part that is not supported.
    #[error("rrule: {0}")]
    Unsupported(&'static str),
    /// An exclusion is neither a date nor a time.
    #[error(
        "exdates[{0}]: must be a date, a local date-time such as 2026-05-01T10:00:00, or a time \
         with an offset"
    )]
    Exclusion(usize),
    /// There are too many exclusions.
    #[error("exdates: must have at most {MOST_DATES} entries")]
    TooManyExclusions,
    /// An extra date is neither a date nor a time.
    #[error(
        "rdates[{0}]: must be a date, a local date-time such as 2026-05-01T10:00:00, or a time \
         with an offset"
    )]
    ExtraDate(usize),
    /// There are too many extra dates.
    #[error("rdates: must have at most {MOST_DATES} entries")]
    TooManyExtraDates,
    /// The rule has no occurrence.
    #[error("rrule: must yield at least one occurrence")]
    NeverFires,
    /// The rule has more than one occurrence a minute.
    #[error("rrule: must yield at most one occurrence a minute")]
    TooOften,
    /// The rule has occurrences so rarely, if ever, that a search finds none within its steps.
    #[error("rrule: must yield occurrences that are frequent enough to be found")]
    TooRare,
}

/// Occurrences that are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exclusions {
    /// Floating local times, in seconds.
    times: HashSet<i64>,
    /// Days, by their number.
    days: HashSet<i64>,
    pub(crate) instants: HashSet<DateTime<Utc>>,
}

/// A date of a list, in one of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListedDate {
    Instant(DateTime<Utc>),
    /// A floating local time, in seconds.
    Time(i64),
    /// A whole day, by its number.
    Day(i64),
}

impl ListedDate {
    fn parse(text: &str) -> Option<Self> {
        match Canonical::read(text) {
            Some(Canonical::Instant(at)) => return Some(Self::Instant(at.and_utc())),
            Some(Canonical::Local(local)) => return Some(Self::Time(seconds_of(local))),
            Some(Canonical::Day(day)) => return Some(Self::day(day)),
            None => {}
        }
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Some(Self::Instant(whole_second(at.to_utc())));
        }
        if let Some(local) = local_time(text) {
            return Some(Self::Time(seconds_of(local)));
        }
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(Self::day)
    }

    fn day(day: NaiveDate) -> Self {
        Self::Day(seconds_of(day.and_time(NaiveTime::MIN)).div_euclid(DAY))
    }

    /// Returns whether the date is in the years 1 to 9999.
    fn is_in_range(self) -> bool {
        let seconds = match self {
            Self::Instant(at) => at.timestamp(),
            Self::Time(local) => local,
            Self::Day(day) => day * DAY,
        };
        (FIRST_DAY * DAY..END).contains(&seconds)
    }
}

/// Reads the extra dates of a rule.
fn extra_dates(texts: &[String]) -> Result<Vec<ListedDate>, Refusal> {
    if texts.len() > MOST_DATES {
        return Err(Refusal::TooManyExtraDates);
    }
    let dates = texts.iter().enumerate().map(|(position, text)| {
        ListedDate::parse(text)
            .filter(|date| date.is_in_range())
            .ok_or(Refusal::ExtraDate(position))
    });
    dates.collect()
}

impl Exclusions {
    fn parse(texts: &[String]) -> Result<Self, Refusal> {
        if texts.len() > MOST_DATES {
            return Err(Refusal::TooManyExclusions);
        }
        let mut exclusions = Self::default();
        for (position, text) in texts.iter().enumerate() {
            match ListedDate::parse(text).ok_or(Refusal::Exclusion(position))? {
                ListedDate::Instant(at) => exclusions.instants.insert(at),
                ListedDate::Time(local) => exclusions.times.insert(local),
                ListedDate::Day(day) => exclusions.days.insert(day),
            };
        }
        Ok(exclusions)
    }

    /// Counts the exclusions.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.times.len() + self.days.len() + self.instants.len()).unwrap_or(u32::MAX)
    }

    /// Returns whether the whole day of a floating local time is left out.
    pub(crate) fn has_day_of(&self, local: i64) -> bool {
        !self.days.is_empty() && self.days.contains(&local.div_euclid(DAY))
    }

    /// Returns whether a floating local time is left out by itself.
    pub(crate) fn has_time(&self, local: i64) -> bool {
        !self.times.is_empty() && self.times.contains(&local)
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

/// A rule that was read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) parts: Parts,
    pub(crate) exclusions: Exclusions,
    pub(crate) extra_dates: Vec<ListedDate>,
}

impl Parsed {
    pub(crate) fn read(rule: Rule<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            parts: Parts::read(rule.rrule)?,
            exclusions: Exclusions::parse(rule.exdates)?,
            extra_dates: extra_dates(rule.rdates)?,
        })
    }

    /// Returns whether two instances may be less than a minute apart.
    pub(crate) fn may_crowd(&self) -> bool {
        if self.parts.frequency == Frequency::Secondly {
            return self.parts.interval < 60;
        }
        self.parts.seconds.is_some_and(|seconds| seconds.count_ones() > 1)
    }
}

/// A client's text in a message: short and on one line.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(80).collect()
}
