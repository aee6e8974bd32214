//! The alarms of an entry as minutes before its date.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    component::Component,
    property::Property,
    recurring::Clock,
    shown,
    times::{Moment, Stamp, duration},
};

const MAX_OFFSETS: usize = 5;
const MAX_OFFSET_MINUTES: i64 = 40_320;
const DAY_MINUTES: i64 = 24 * 60;
/// Minutes after midnight at which an all-day entry without alarms is due.
const MORNING_MINUTES: i64 = 9 * 60;
/// Repetitions of an alarm that are read: as many as a reminder can have offsets.
const MAX_REPETITIONS: i32 = 5;

/// Times to which the triggers of alarms are relative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// The start; midnight of an all-day entry.
    pub(super) start: DateTime<Utc>,
    /// The end, if it can be read.
    pub(super) end: Option<DateTime<Utc>>,
    /// Wall clock of the entry.
    pub(super) clock: Clock,
}

/// Delivery times of an entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Alarms {
    /// Minutes before the date: 1 to 5, ascending.
    pub(super) offsets: Vec<i32>,
    /// Minutes after midnight at which an all-day entry is due.
    pub(super) after_midnight: i64,
    /// Alarms that were left out: the line and the reason.
    pub(super) left_out: Vec<(usize, String)>,
}

/// Reads the alarms of an event or a task.
pub(super) fn read(component: &Component, span: Span) -> Alarms {
    let mut alarms = Alarms::default();
    let mut found = Vec::new();
    for alarm in component.components.iter().filter(|child| child.name == "VALARM") {
        // Apple writes this for an alarm that the user removed.
        let is_none = |action: &Property| action.value.trim().eq_ignore_ascii_case("NONE");
        if alarm.one("ACTION").is_some_and(is_none) {
            continue;
        }
        match minutes_before(alarm, span) {
            Ok(minutes) => found.extend(minutes.into_iter().map(|before| (alarm.line, before))),
            Err(problem) => alarms.left_out.push((alarm.line, problem)),
        }
    }
    if span.clock.is_all_day {
        alarms.after_midnight = after_midnight(&found);
    }
    for (line, minutes) in found {
        match fitting(minutes + alarms.after_midnight, &alarms.offsets) {
            Ok(offset) => {
                alarms.offsets.extend((!alarms.offsets.contains(&offset)).then_some(offset))
            }
            Err(problem) => alarms.left_out.push((line, problem.to_owned())),
        }
    }
    if alarms.offsets.is_empty() {
        alarms.offsets.push(0);
        alarms.after_midnight = if span.clock.is_all_day { MORNING_MINUTES } else { 0 };
    }
    alarms.offsets.sort_unstable();
    alarms
}

/// Minutes after midnight of the latest alarm within the day.
fn after_midnight(found: &[(usize, i64)]) -> i64 {
    let within =
        found.iter().map(|(_, before)| -before).filter(|after| (0..DAY_MINUTES).contains(after));
    within.max().unwrap_or(0)
}

fn fitting(minutes: i64, offsets: &[i32]) -> Result<i32, &'static str> {
    if minutes < 0 {
        return Err("an alarm after the start was left out");
    }
    let offset = i32::try_from(minutes).ok().filter(|_| minutes <= MAX_OFFSET_MINUTES);
    let offset = offset.ok_or("an alarm more than 40,320 minutes before the start was left out")?;
    if offsets.len() == MAX_OFFSETS && !offsets.contains(&offset) {
        return Err("an alarm was left out: there are 5 already");
    }
    Ok(offset)
}

/// The minutes before the start at which an alarm goes off, and its repetitions.
fn minutes_before(alarm: &Component, span: Span) -> Result<Vec<i64>, String> {
    let trigger = alarm.one("TRIGGER").ok_or("an alarm without a TRIGGER was left out")?;
    let unreadable =
        || format!("an alarm was left out, its TRIGGER cannot be read: {}", shown(&trigger.value));
    let before = before_start(trigger, span).ok_or_else(unreadable)?;
    let mut minutes = vec![rounded_up(before)];
    if let Some((times, every)) = repetition(alarm) {
        let repeated = (1..=times).filter_map(|time| before.checked_sub(&every.checked_mul(time)?));
        minutes.extend(repeated.map(rounded_up).filter(|before| *before >= 0));
    }
    Ok(minutes)
}

fn before_start(trigger: &Property, span: Span) -> Option<TimeDelta> {
    if let Some(stamp) = Stamp::parse(&trigger.value) {
        let at = Moment { stamp, zone: None }.instant(span.clock.zone)?;
        return Some(span.start - at);
    }
    let after = duration(&trigger.value)?;
    let related = trigger.parameter("RELATED");
    let is_relative_to_end = related.is_some_and(|value| value.eq_ignore_ascii_case("END"));
    let length = if is_relative_to_end { span.end? - span.start } else { TimeDelta::zero() };
    TimeDelta::zero().checked_sub(&length.checked_add(&after)?)
}

fn repetition(alarm: &Component) -> Option<(i32, TimeDelta)> {
    let times = alarm.one("REPEAT")?.value.trim().parse::<i32>().ok()?;
    let every = duration(&alarm.one("DURATION")?.value)?;
    Some((times.min(MAX_REPETITIONS), every))
}

fn rounded_up(before: TimeDelta) -> i64 {
    let seconds = before.num_seconds();
    seconds.div_euclid(60) + i64::from(seconds.rem_euclid(60) > 0)
}
