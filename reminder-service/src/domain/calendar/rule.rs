//! Text of a recurrence rule in its parts, and what several rules of one entry mean together.

use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday};
use recurrence::{Rule, Series};
use time_zone::Zone;

use super::{
    recurring::Clock,
    shown,
    times::{Moment, Shift, Stamp},
};

const MAX_RULE: usize = 1_000;
const FREQUENCIES: [&str; 7] =
    ["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
/// Parts whose values can be joined if all others are equal.
const LISTS: [&str; 8] =
    ["BYDAY", "BYMONTHDAY", "BYMONTH", "BYYEARDAY", "BYWEEKNO", "BYHOUR", "BYMINUTE", "BYSECOND"];

/// A rule in normal form: the names and values of its parts, in upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleText(Vec<(String, String)>);

impl RuleText {
    /// Reads a rule.
    ///
    /// # Errors
    /// If the syntax is malformed.
    pub(super) fn read(text: &str, clock: Clock) -> Result<Self, String> {
        let text = text.trim().trim_end_matches(';');
        if text.len() > MAX_RULE {
            return Err("its rule (RRULE) has more than 1,000 characters".to_owned());
        }
        let malformed = || format!("its rule (RRULE) cannot be read: {}", shown(text));
        let mut rule = Self(Vec::new());
        for part in text.split(';') {
            let (name, value) = part.split_once('=').ok_or_else(malformed)?;
            let (name, value) =
                (name.trim().to_ascii_uppercase(), value.trim().to_ascii_uppercase());
            let fits = match name.as_str() {
                "" => false,
                "FREQ" => FREQUENCIES.contains(&value.as_str()),
                _ => !value.is_empty() && !value.contains('='),
            };
            if !fits || rule.part(&name).is_some() {
                return Err(malformed());
            }
            let value = if name == "UNTIL" && clock.is_all_day {
                last_day(&value, clock).ok_or_else(malformed)?
            } else if name == "UNTIL" && clock.shift != Shift::default() {
                later(&value, clock.shift).ok_or_else(malformed)?
            } else {
                value
            };
            rule.0.push((name, value));
        }
        if rule.part("FREQ").is_some() { Ok(rule) } else { Err(malformed()) }
    }

    /// The text of the rule.
    pub(super) fn text(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        parts.join(";")
    }

    /// The value of a part.
    pub(super) fn part(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The rule with another value of a part, which it may lack.
    pub(super) fn with(mut self, name: &str, value: String) -> Self {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
        self
    }

    /// The rule without some parts.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    /// Returns `true` if the rule ends.
    pub(super) fn ends(&self) -> bool {
        self.part("COUNT").is_some() || self.part("UNTIL").is_some()
    }

    /// Returns `true` if an instance may be at midnight, from a start at a local time.
    pub(super) fn may_yield_midnight(&self, start: NaiveTime) -> bool {
        let times = ["BYHOUR", "BYMINUTE", "BYSECOND"];
        let is_by_day = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
            .contains(&self.part("FREQ").unwrap_or_default());
        start == NaiveTime::MIN || !is_by_day || times.iter().any(|name| self.part(name).is_some())
    }

    /// Returns `true` for a rule with this frequency and without an interval of more than one.
    fn is_each(&self, frequency: &str) -> bool {
        self.part("FREQ") == Some(frequency) && self.part("INTERVAL").is_none_or(|one| one == "1")
    }

    /// The parts in order, with the default of the interval, and for a weekly rule the weekday of
    /// its start.
    fn complete(&self, start: NaiveDateTime) -> Self {
        let mut rule = self.clone();
        if rule.part("INTERVAL").is_none() {
            rule = rule.with("INTERVAL", "1".to_owned());
        }
        if rule.part("FREQ") == Some("WEEKLY") && rule.part("BYDAY").is_none() {
            rule = rule.with("BYDAY", weekday(start.weekday()).to_owned());
        }
        rule.0.sort();
        rule
    }

    /// The rule that yields the instances of two rules from one start; `None` if no rule is known
    /// to.
    pub(super) fn union(&self, other: &Self, start: NaiveDateTime) -> Option<Self> {
        let (one, two) = (self.complete(start), other.complete(start));
        if one == two {
            return Some(self.clone());
        }
        let is_counted =
            |rule: &Self| ["COUNT", "BYSETPOS"].iter().any(|name| rule.part(name).is_some());
        let names = |rule: &Self| rule.0.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if is_counted(&one) || is_counted(&two) || names(&one) != names(&two) {
            return None;
        }
        let mut different = one.0.iter().zip(&two.0).filter(|(one, two)| one != two);
        let ((name, first), (_, second)) = different.next()?;
        if different.next().is_some() || !LISTS.contains(&name.as_str()) {
            return None;
        }
        let mut values: Vec<&str> = first.split(',').collect();
        values.extend(second.split(',').filter(|value| !first.split(',').any(|one| one == *value)));
        Some(self.clone().with(name, values.join(",")))
    }

    /// The rule without the instances of another one from the same start; `None` if no rule is
    /// known to yield them. It must be used only if some instance is left.
    pub(super) fn difference(&self, other: &Self, start: NaiveDateTime) -> Option<Self> {
        let is_plain = |rule: &Self| {
            let allowed = ["FREQ", "INTERVAL", "BYDAY", "WKST", "UNTIL"];
            (rule.is_each("DAILY") || rule.is_each("WEEKLY"))
                && rule.0.iter().all(|(name, _)| allowed.contains(&name.as_str()))
        };
        let lasts = other.part("UNTIL").is_none() || other.part("UNTIL") == self.part("UNTIL");
        if !is_plain(self) || !is_plain(other) || !lasts {
            return None;
        }
        let (days, excluded) = (self.weekdays(start), other.weekdays(start));
        let left: Vec<_> = days.into_iter().filter(|day| !excluded.contains(day)).collect();
        (!left.is_empty()).then(|| self.clone().with("BYDAY", left.join(",")))
    }

    /// The weekdays of a daily or weekly rule.
    fn weekdays(&self, start: NaiveDateTime) -> Vec<String> {
        match (self.part("BYDAY"), self.is_each("DAILY")) {
            (Some(days), _) => days.split(',').map(|day| day.trim().to_owned()).collect(),
            (None, true) => WEEKDAYS.map(str::to_owned).to_vec(),
            (None, false) => vec![weekday(start.weekday()).to_owned()],
        }
    }

    /// Instances from a start on, in local time without a zone: those before `end`, at most
    /// `most`. `None` if there are more, or the rule is not accepted.
    pub(super) fn instances(
        &self,
        start: NaiveDateTime,
        zone: Zone,
        end: Option<NaiveDateTime>,
        most: usize,
    ) -> Option<Vec<NaiveDateTime>> {
        let until = self.part("UNTIL").and_then(Stamp::parse);
        let floating = match until {
            Some(Stamp::Utc(at)) => {
                let until = zone.wall_clock(at).format("%Y%m%dT%H%M%S").to_string();
                self.clone().with("UNTIL", until)
            }
            _ => self.clone(),
        };
        let rrule = floating.text();
        let rule = Rule { rrule: &rrule, ..Rule::default() };
        let series = Series::new(start.and_utc(), Zone::UTC, rule).ok()?;
        let instances = series.after(DateTime::<Utc>::MIN_UTC).map(|at| at.naive_utc());
        let instances = instances.take_while(|at| end.is_none_or(|end| *at < end));
        let instances: Vec<_> = instances.take(most + 1).collect();
        (instances.len() <= most).then_some(instances)
    }

    /// The rule whose instances are later by `shift`, from a start that is later by it; `None` if
    /// no rule is known to yield them. The end stays.
    pub(super) fn later(&self, shift: Shift) -> Option<Self> {
        let has = |names: &[&str]| self.0.iter().any(|(name, _)| names.contains(&name.as_str()));
        let frequency = self.part("FREQ")?;
        if shift.days == 0 {
            let is_movable = shift.time == TimeDelta::zero()
                || (["DAILY", "WEEKLY", "MONTHLY", "YEARLY"].contains(&frequency)
                    && !has(&["BYHOUR", "BYMINUTE", "BYSECOND"]));
            return is_movable.then(|| self.clone());
        }
        if self.0.iter().all(|(name, _)| !name.starts_with("BY")) {
            return ["DAILY", "WEEKLY"].contains(&frequency).then(|| self.clone());
        }
        let is_of_weekdays = self.is_each("WEEKLY")
            && self.0.iter().all(|(name, _)| !name.starts_with("BY") || name == "BYDAY");
        let place = |day: &str| WEEKDAYS.iter().position(|known| *known == day.trim());
        let days = self.part("BYDAY").filter(|_| is_of_weekdays)?.split(',').map(place);
        let shift = usize::try_from(shift.days.rem_euclid(7)).ok()?;
        let later = days.map(|day| Some(*WEEKDAYS.get((day? + shift) % 7)?));
        let later: Option<Vec<_>> = later.collect();
        Some(self.clone().with("BYDAY", later?.join(",")))
    }
}

fn weekday(day: Weekday) -> &'static str {
    let place = usize::try_from(day.num_days_from_monday()).unwrap_or_default();
    WEEKDAYS.get(place).copied().unwrap_or("MO")
}

/// `UNTIL` of a series of whole days: a day (RFC 5545 §3.3.10). Some products write an instant.
fn last_day(until: &str, clock: Clock) -> Option<String> {
    Stamp::parse(until).map(|stamp| stamp.day_in(clock.zone).format("%Y%m%d").to_string())
}

/// `UNTIL` of a series whose reminder is due later than its start.
pub(super) fn later(until: &str, shift: Shift) -> Option<String> {
    let until = Moment::floating(Stamp::parse(until)?);
    Some(match until.later(shift)?.stamp {
        Stamp::Day(day) => day.format("%Y%m%d").to_string(),
        Stamp::Local(local) => local.format("%Y%m%dT%H%M%S").to_string(),
        Stamp::Utc(at) => at.format("%Y%m%dT%H%M%SZ").to_string(),
    })
}
