//! Split of a series at an instance from which on it was changed (`RANGE=THISANDFUTURE`, RFC 5545
//! §3.2.13): the first part ends before the instance, and the change goes on with the rule.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use contract::Recurrence;

use super::{
    Entry,
    entry::Rejection,
    read::Found,
    recurring::{Clock, listed_date},
    rule::{self, RuleText},
    times::{Moment, Shift, Stamp},
};

/// Instances of a rule with `COUNT` that are counted: the highest count of a rule.
const MAX_COUNTED: usize = 10_000;
const NO_RULE: &str =
    "it changes all later instances of a series (RANGE) in a way that no rule can express";

/// Ends a part of a series before an instance, and gives its rule to the change that follows.
/// `shift` is the difference of the part to the whole series; that of the change is returned.
///
/// # Errors
/// The reason for which the change is refused; the series is unchanged then.
pub(super) fn split(
    part: &mut Found,
    change: &mut Found,
    shift: Shift,
) -> Result<Shift, &'static str> {
    let (Some(moment), Ok((entry, clock))) =
        (change.candidate.replaces, &mut part.candidate.outcome)
    else {
        return Ok(shift);
    };
    let cut = Cut::at(moment, shift, entry, *clock).ok_or(NO_RULE)?;
    let first = cut.first().ok_or(NO_RULE)?;
    let mut total = shift;
    if let Ok((later, later_clock)) = &mut change.candidate.outcome {
        let moved_by = cut.moved_by(later_clock.zone.wall_clock(later.date));
        total = Shift { time: shift.time + moved_by.time, days: shift.days + moved_by.days };
        if later.recurrence.is_none() {
            later.recurrence = Some(cut.rest(moved_by).ok_or(NO_RULE)?);
        }
    }
    part.replaced.add(&cut.recurrence, change.candidate.outcome.is_ok());
    entry.recurrence = Some(first);
    let instance = listed_date(moment, *clock);
    match &mut change.candidate.outcome {
        Ok((entry, _)) => entry.instance = instance,
        outcome => *outcome = Err(Rejection::Excluded),
    }
    Ok(total)
}

/// A series and the instance at which it is split, in local times of its reminder.
struct Cut {
    recurrence: Recurrence,
    rule: RuleText,
    start: NaiveDateTime,
    instance: NaiveDateTime,
    clock: Clock,
}

impl Cut {
    fn at(moment: Moment, shift: Shift, series: &Entry, clock: Clock) -> Option<Self> {
        let recurrence = series.recurrence.clone()?;
        let rule = RuleText::read(&recurrence.rrule, Clock { shift: Shift::default(), ..clock });
        let start = clock.zone.wall_clock(series.date);
        let instance = due(moment, start.time(), clock)?.checked_add_signed(shift.time)?;
        Some(Self { recurrence, rule: rule.ok()?, start, instance, clock })
    }

    /// Difference between the instance and its change.
    fn moved_by(&self, begins: NaiveDateTime) -> Shift {
        let days = begins.date().signed_duration_since(self.instance.date()).num_days();
        Shift { time: begins.signed_duration_since(self.instance), days }
    }

    /// Recurrence of the part before the instance.
    fn first(&self) -> Option<Recurrence> {
        let last = self.instance.checked_sub_signed(TimeDelta::seconds(1))?;
        let ends_earlier = self.until().is_some_and(|until| until < last);
        let until = if self.clock.is_all_day {
            self.instance.date().pred_opt()?.format("%Y%m%d").to_string()
        } else {
            self.clock.zone.instant(last)?.format("%Y%m%dT%H%M%SZ").to_string()
        };
        let rule = self.rule.clone();
        let rule = if ends_earlier { rule } else { rule.without(&["COUNT"]).with("UNTIL", until) };
        Some(Recurrence {
            rrule: rule.text(),
            rdates: self.rdates(|local| local < self.instance),
            ..self.recurrence.clone()
        })
    }

    /// The dates beside the rule that are before the instance, or those from it on.
    fn rdates(&self, is_in_part: impl Fn(NaiveDateTime) -> bool) -> Vec<String> {
        let local = |date: &str| {
            let day = date.parse::<NaiveDate>().map(|day| day.and_time(self.start.time()));
            day.or_else(|_| date.parse()).ok().or_else(|| {
                let at = DateTime::parse_from_rfc3339(date).ok()?;
                Some(self.clock.zone.wall_clock(at.to_utc()))
            })
        };
        let is_in_part = |date: &&String| local(date).is_some_and(&is_in_part);
        self.recurrence.rdates.iter().filter(is_in_part).cloned().collect()
    }

    fn until(&self) -> Option<NaiveDateTime> {
        Some(match Stamp::parse(self.rule.part("UNTIL")?)? {
            Stamp::Day(day) => day.and_time(NaiveTime::from_hms_opt(23, 59, 59)?),
            Stamp::Local(local) => local,
            Stamp::Utc(at) => self.clock.zone.wall_clock(at),
        })
    }

    /// Recurrence of the part from the instance on, whose times are later.
    fn rest(&self, moved_by: Shift) -> Option<Recurrence> {
        let mut rest = self.rule.later(moved_by)?;
        if let Some(count) = self.rule.part("COUNT") {
            let before = self.rule.instances(
                self.start,
                self.clock.zone,
                Some(self.instance),
                MAX_COUNTED,
            )?;
            let left = count.parse::<usize>().ok()?.checked_sub(before.len());
            rest = rest.with("COUNT", left.filter(|left| *left > 0)?.to_string());
        }
        if let Some(until) = self.rule.part("UNTIL") {
            rest = rest.with("UNTIL", rule::later(until, moved_by)?);
        }
        let moved = |date: &String| moved(date, moved_by);
        let exdates = self.recurrence.exdates.iter().map(moved).collect::<Option<_>>()?;
        let rdates = self.rdates(|local| local >= self.instance);
        let rdates = rdates.iter().map(moved).collect::<Option<_>>()?;
        Some(Recurrence { rrule: rest.text(), exdates, rdates, ..self.recurrence.clone() })
    }
}

/// Local time at which the reminder of an instance is due.
fn due(instance: Moment, time: NaiveTime, clock: Clock) -> Option<NaiveDateTime> {
    let moment = instance.on_day(clock).later(clock.shift)?;
    Some(match moment.stamp {
        stamp if clock.is_all_day => stamp.day_in(clock.zone).and_time(time),
        Stamp::Day(day) => day.and_time(time),
        Stamp::Local(local) if moment.zone.is_none_or(|zone| zone == clock.zone) => local,
        _ => clock.zone.wall_clock(moment.instant(clock.zone)?),
    })
}

/// A date of a recurrence, in one of its forms, that is later.
fn moved(date: &str, shift: Shift) -> Option<String> {
    if let Ok(day) = date.parse::<NaiveDate>() {
        return Some(day.checked_add_signed(TimeDelta::days(shift.days))?.to_string());
    }
    if let Ok(local) = date.parse::<NaiveDateTime>() {
        let later = local.checked_add_signed(shift.time)?;
        return Some(later.format("%Y-%m-%dT%H:%M:%S").to_string());
    }
    let at = DateTime::parse_from_rfc3339(date).ok()?.checked_add_signed(shift.time)?;
    Some(at.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
