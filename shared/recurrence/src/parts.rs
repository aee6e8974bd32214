//! Parser of rules, part by part (RFC 5545 §3.3.10). Anything that the RFC forbids is refused with
//! the name of the part; no rule is given another meaning.

use crate::{
    bits::Signed,
    rule::{Refusal, shown},
    until::Until,
};

/// Longest text of a rule, in bytes.
const MAX_LENGTH: usize = 1_000;
/// Highest `COUNT`.
const MAX_COUNT: u64 = 10_000;
/// Highest `INTERVAL`; for a secondly rule, 31 years.
const MAX_INTERVAL: u64 = 1_000_000_000;

/// `FREQ`, from the shortest to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Frequency {
    Secondly,
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// Weekdays as a rule names them; 0 is Monday.
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// `BYDAY`: weekdays of every week, and weekdays of a month or a year that are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Weekdays {
    /// A bit for each; 0 is Monday.
    pub(crate) every: u8,
    /// `2MO`, `-1FR`: for each weekday, which ones.
    pub(crate) counted: Option<Box<[Signed; 7]>>,
}

/// A rule's parts. A part that is not there is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) frequency: Frequency,
    pub(crate) interval: i64,
    pub(crate) count: Option<u32>,
    pub(crate) until: Option<Until>,
    /// A bit for each month; 0 is January.
    pub(crate) months: Option<u64>,
    pub(crate) week_numbers: Option<Signed>,
    pub(crate) year_days: Option<Signed>,
    pub(crate) month_days: Option<Signed>,
    pub(crate) weekdays: Option<Weekdays>,
    pub(crate) hours: Option<u64>,
    pub(crate) minutes: Option<u64>,
    pub(crate) seconds: Option<u64>,
    pub(crate) positions: Option<Signed>,
    /// `WKST`; 0 is Monday.
    pub(crate) week_start: i64,
}

impl Parts {
    /// Reads a rule.
    ///
    /// # Errors
    /// [`Refusal`] if the rule is malformed, or has a combination of parts that RFC 5545 forbids.
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        let text = text.strip_prefix("RRULE:").unwrap_or(text);
        if text.len() > MAX_LENGTH {
            return Err(Refusal::Unsupported("at most 1000 characters"));
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.to_ascii_uppercase(), value.to_ascii_uppercase());
            if value.is_empty() {
                return Err(Refusal::Malformed(format!("{} has no value", shown(&name))));
            }
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::Malformed(format!("{} comes twice", shown(&name))));
            }
            fields.push((name, value));
        }
        let frequency =
            fields.iter().find(|(name, _)| name == "FREQ").map(|(_, value)| frequency(value));
        let frequency =
            frequency.ok_or_else(|| Refusal::Malformed("FREQ is missing".to_owned()))??;
        let mut parts = Self::every(frequency);
        for (name, value) in &fields {
            parts.add(name, value)?;
        }
        parts.refuse_forbidden()?;
        Ok(parts)
    }

    fn every(frequency: Frequency) -> Self {
        Self {
            frequency,
            interval: 1,
            count: None,
            until: None,
            months: None,
            week_numbers: None,
            year_days: None,
            month_days: None,
            weekdays: None,
            hours: None,
            minutes: None,
            seconds: None,
            positions: None,
            week_start: 0,
        }
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        match name {
            "FREQ" => {}
            "INTERVAL" => {
                let problem = "INTERVAL must be between 1 and 1000000000";
                self.interval = number(name, value, MAX_INTERVAL, problem)?.cast_signed();
            }
            "COUNT" => {
                let count = number(name, value, MAX_COUNT, "COUNT must be between 1 and 10000")?;
                self.count = u32::try_from(count).ok();
            }
            "UNTIL" => {
                let problem = "UNTIL must be a date (20261231), a local time (20261231T120000) or \
                               an instant (20261231T120000Z)";
                self.until = Some(Until::parse(value).ok_or(Refusal::Unsupported(problem))?);
            }
            "BYSECOND" => {
                // RFC 5545 §3.3.12: without leap seconds, the second 60 is the second 59.
                let set = unsigned(name, value, 0, 60)?;
                self.seconds =
                    Some(if set >> 60 & 1 == 1 { set & !(1 << 60) | 1 << 59 } else { set });
            }
            "BYMINUTE" => self.minutes = Some(unsigned(name, value, 0, 59)?),
            "BYHOUR" => self.hours = Some(unsigned(name, value, 0, 23)?),
            "BYDAY" => self.weekdays = Some(weekdays(value)?),
            "BYMONTHDAY" => self.month_days = Some(signed(name, value, 31)?),
            "BYYEARDAY" => self.year_days = Some(signed(name, value, 366)?),
            "BYWEEKNO" => self.week_numbers = Some(signed(name, value, 53)?),
            "BYMONTH" => self.months = Some(unsigned(name, value, 1, 12)? >> 1),
            "BYSETPOS" => self.positions = Some(signed(name, value, 366)?),
            "WKST" => {
                let malformed = || {
                    Refusal::Malformed("WKST must be one of MO, TU, WE, TH, FR, SA, SU".to_owned())
                };
                self.week_start = weekday(value).ok_or_else(malformed)?;
            }
            _ => return Err(Refusal::Malformed(format!("{} is no part of a rule", shown(name)))),
        }
        Ok(())
    }

    /// Refuses combinations that RFC 5545 §3.3.10 forbids.
    fn refuse_forbidden(&self) -> Result<(), Refusal> {
        use Frequency::{Daily, Monthly, Weekly, Yearly};
        let counts_weekdays =
            self.weekdays.as_ref().is_some_and(|weekdays| weekdays.counted.is_some());
        let has_other_part =
            [self.months, self.hours, self.minutes, self.seconds].iter().any(Option::is_some)
                || [&self.week_numbers, &self.year_days, &self.month_days]
                    .iter()
                    .any(|part| part.is_some())
                || self.weekdays.is_some();
        let forbidden = [
            (
                self.until.is_some() && self.count.is_some(),
                "COUNT and UNTIL cannot be given together",
            ),
            (
                counts_weekdays && !matches!(self.frequency, Monthly | Yearly),
                "BYDAY can have numbers, such as 2MO, only with FREQ=MONTHLY or FREQ=YEARLY",
            ),
            (
                counts_weekdays && self.week_numbers.is_some(),
                "BYDAY cannot have numbers, such as 2MO, together with BYWEEKNO",
            ),
            (
                self.week_numbers.is_some() && self.frequency != Yearly,
                "BYWEEKNO can be given only with FREQ=YEARLY",
            ),
            (
                self.year_days.is_some() && matches!(self.frequency, Daily | Weekly | Monthly),
                "BYYEARDAY cannot be given with FREQ=DAILY, WEEKLY or MONTHLY",
            ),
            (
                self.month_days.is_some() && self.frequency == Weekly,
                "BYMONTHDAY cannot be given with FREQ=WEEKLY",
            ),
            (
                self.positions.is_some() && !has_other_part,
                "BYSETPOS can be given only together with another part that begins with BY",
            ),
        ];
        match forbidden.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, problem)) => Err(Refusal::Unsupported(problem)),
            None => Ok(()),
        }
    }
}

fn frequency(text: &str) -> Result<Frequency, Refusal> {
    Ok(match text {
        "SECONDLY" => Frequency::Secondly,
        "MINUTELY" => Frequency::Minutely,
        "HOURLY" => Frequency::Hourly,
        "DAILY" => Frequency::Daily,
        "WEEKLY" => Frequency::Weekly,
        "MONTHLY" => Frequency::Monthly,
        "YEARLY" => Frequency::Yearly,
        other => return Err(Refusal::Malformed(format!("FREQ cannot be {}", shown(other)))),
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a number from 1 to `most`; a number with too many digits is too high as well.
fn number(name: &str, text: &str, most: u64, problem: &'static str) -> Result<u64, Refusal> {
    if !is_number(text) {
        return Err(Refusal::Malformed(format!("{name} must be a whole number")));
    }
    text.parse()
        .ok()
        .filter(|number| (1..=most).contains(number))
        .ok_or(Refusal::Unsupported(problem))
}

fn unsigned(name: &str, text: &str, least: u32, most: u32) -> Result<u64, Refusal> {
    let problem =
        || Refusal::Malformed(format!("{name} must be a list of numbers from {least} to {most}"));
    text.split(',').try_fold(0, |set, entry| {
        let entry = Some(entry)
            .filter(|entry| is_number(entry))
            .and_then(|entry| entry.parse::<u32>().ok());
        let number = entry.filter(|number| (least..=most).contains(number)).ok_or_else(problem)?;
        Ok(set | 1 << number)
    })
}

/// Reads a number with or without a sign, whose absolute value is from 1 to `most`.
fn ordinal(text: &str, most: i64) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let amount = Some(digits).filter(|digits| is_number(digits))?.parse::<i64>().ok()?;
    (1..=most).contains(&amount).then_some(sign * amount)
}

fn signed(name: &str, text: &str, most: i64) -> Result<Signed, Refusal> {
    let problem = || {
        Refusal::Malformed(format!(
            "{name} must be a list of numbers from 1 to {most} or -{most} to -1"
        ))
    };
    let mut set = Signed::default();
    for entry in text.split(',') {
        set.insert(ordinal(entry, most).ok_or_else(problem)?);
    }
    Ok(set)
}

fn weekday(text: &str) -> Option<i64> {
    WEEKDAYS.iter().position(|name| *name == text).and_then(|position| i64::try_from(position).ok())
}

fn weekdays(text: &str) -> Result<Weekdays, Refusal> {
    let problem = || {
        Refusal::Malformed(
            "BYDAY must be a list of weekdays, such as MO,FR or 1MO,-1FR (1 to 53)".to_owned(),
        )
    };
    let mut set = Weekdays::default();
    for entry in text.split(',') {
        let split = entry
            .len()
            .checked_sub(2)
            .filter(|split| entry.is_char_boundary(*split))
            .ok_or_else(problem)?;
        let (count, name) = entry.split_at(split);
        let day = weekday(name).and_then(|day| usize::try_from(day).ok()).ok_or_else(problem)?;
        if count.is_empty() {
            set.every |= 1 << day;
        } else {
            let count = ordinal(count, 53).ok_or_else(problem)?;
            let counted = set.counted.get_or_insert_default();
            counted.iter_mut().skip(day).take(1).for_each(|days| days.insert(count));
        }
    }
    Ok(set)
}
