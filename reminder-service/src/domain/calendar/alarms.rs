//! The alarms of an entry as minutes before its date.

use chrono::{DateTime, TimeDelta, Utc};
use contract::Channel;

use super::{
    component::Component,
    property::Property,
    recurring::Clock,
    shown,
    times::{Moment, Stamp, duration},
    zones::EntryZones,
};

const MAX_OFFSETS: usize = 5;
const MAX_OFFSET_MINUTES: i64 = 40_320;
const DAY_MINUTES: i64 = 24 * 60;
/// Minutes after midnight at which an all-day entry without alarms is due.
const MORNING_MINUTES: i64 = 9 * 60;
/// Repetitions of an alarm that are read: as many as a reminder can have offsets.
const MAX_REPETITIONS: u64 = 5;

/// Times to which the triggers of alarms are relative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Time from which the minutes of the alarms are counted.
    pub(super) date: DateTime<Utc>,
    /// The start; midnight of an all-day entry.
    pub(super) start: DateTime<Utc>,
    /// The end, if it can be read.
    pub(super) end: Option<DateTime<Utc>>,
    /// Wall clock of the entry.
    pub(super) clock: Clock,
    /// `true` if the entry has a rule.
    pub(super) recurs: bool,
}

/// Delivery times of an entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Alarms {
    /// Minutes before the date: 1 to 5, ascending.
    pub(super) offsets: Vec<i32>,
    /// Minutes after midnight at which an all-day entry is due.
    pub(super) after_midnight: i64,
    /// `true` if an alarm is after the date.
    pub(super) has_later: bool,
    /// Channels, if an alarm that is kept is by e-mail.
    pub(super) channels: Option<Vec<Channel>>,
    /// Line of the first such alarm.
    pub(super) email_line: Option<usize>,
    /// Alarms that were left out or changed: the line and the reason.
    pub(super) left_out: Vec<(usize, String)>,
}

/// Reads the alarms of an event or a task.
pub(super) fn read(component: &Component, span: Span, zones: &EntryZones<'_>) -> Alarms {
    let mut alarms = Alarms::default();
    let mut found = Vec::new();
    for alarm in component.components.iter().filter(|child| child.name == "VALARM") {
        let action = alarm.one("ACTION").map(|action| action.value.trim());
        let is = |word: &str| action.is_some_and(|action| action.eq_ignore_ascii_case(word));
        // Apple writes this for an alarm that the user removed.
        if is("NONE") {
            continue;
        }
        let (line, is_email) = (alarm.line, is("EMAIL"));
        match minutes_before(alarm, span, zones, &mut alarms.left_out) {
            Ok(minutes) => {
                found.extend(minutes.into_iter().map(|before| Alarm { line, is_email, before }));
            }
            Err(problem) => alarms.left_out.push((line, problem)),
        }
    }
    if span.clock.is_all_day {
        alarms.after_midnight = after_midnight(&found);
    }
    alarms.has_later = found.iter().any(|alarm| alarm.before < 0);
    let mut kept = Vec::new();
    for alarm in found {
        match fitting(alarm.before + alarms.after_midnight, &alarms.offsets) {
            Ok(offset) => {
                alarms.offsets.extend((!alarms.offsets.contains(&offset)).then_some(offset));
                kept.push(alarm);
            }
            Err(problem) => alarms.left_out.push((alarm.line, problem.to_owned())),
        }
    }
    alarms.set_channels(&kept);
    if alarms.offsets.is_empty() {
        alarms.offsets.push(0);
        alarms.after_midnight = if span.clock.is_all_day { MORNING_MINUTES } else { 0 };
    }
    alarms.offsets.sort_unstable();
    alarms
}

/// An alarm that can be read, or a repetition of one.
struct Alarm {
    line: usize,
    is_email: bool,
    /// Minutes before the date.
    before: i64,
}

impl Alarms {
    /// Sets the channels by the actions of the alarms that are kept.
    fn set_channels(&mut self, kept: &[Alarm]) {
        let Some(email) = kept.iter().find(|alarm| alarm.is_email) else { return };
        self.email_line = Some(email.line);
        let is_mixed = kept.iter().any(|alarm| !alarm.is_email);
        self.channels = Some(if is_mixed {
            let text = "some alarms are by e-mail: each is delivered by e-mail and by push, as all \
                        of a reminder have the same channels";
            self.left_out.push((email.line, text.to_owned()));
            vec![Channel::Email, Channel::Push]
        } else {
            vec![Channel::Email]
        });
    }
}

/// Minutes after midnight of the latest alarm within the day.
fn after_midnight(found: &[Alarm]) -> i64 {
    let after = found.iter().map(|alarm| -alarm.before);
    after.filter(|after| (0..DAY_MINUTES).contains(after)).max().unwrap_or(0)
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

/// The minutes before the date at which an alarm goes off, and its repetitions.
fn minutes_before(
    alarm: &Component,
    span: Span,
    zones: &EntryZones<'_>,
    notes: &mut Vec<(usize, String)>,
) -> Result<Vec<i64>, String> {
    let trigger = alarm.one("TRIGGER").ok_or("an alarm without a TRIGGER was left out")?;
    let unreadable =
        || format!("an alarm was left out, its TRIGGER cannot be read: {}", shown(&trigger.value));
    let Trigger { before, is_absolute } =
        Trigger::read(trigger, span, zones).ok_or_else(unreadable)?;
    if is_absolute && span.recurs {
        let text = "an alarm at a fixed time is repeated, as long before each instance";
        notes.push((trigger.line, text.to_owned()));
    }
    if before.num_seconds() % 60 != 0 {
        let text = "an alarm was moved to the whole minute before it";
        notes.push((trigger.line, text.to_owned()));
    }
    let mut minutes = vec![rounded_up(before)];
    let Some(repeat) = alarm.one("REPEAT") else { return Ok(minutes) };
    let Some((times, every)) = repetition(alarm, repeat) else {
        let text = "the repetitions of an alarm were left out: they need a REPEAT that is a number \
                    and a DURATION";
        notes.push((repeat.line, text.to_owned()));
        return Ok(minutes);
    };
    let earliest = if span.clock.is_all_day { -DAY_MINUTES + 1 } else { 0 };
    let repeated = (1..=times.min(MAX_REPETITIONS)).filter_map(|time| {
        let before = before.checked_sub(&every.checked_mul(i32::try_from(time).ok()?)?)?;
        Some(rounded_up(before)).filter(|before| *before >= earliest)
    });
    minutes.extend(repeated);
    let left_out = times.saturating_add(1).saturating_sub(minutes.len() as u64);
    if left_out > 0 {
        let text = format!(
            "{left_out} repetitions of an alarm were left out: those after the start, and those \
             beyond {MAX_REPETITIONS}"
        );
        notes.push((repeat.line, text));
    }
    Ok(minutes)
}

/// Time of an alarm.
struct Trigger {
    /// Difference to the date, positive before the date.
    before: TimeDelta,
    /// `true` if the file names a fixed time.
    is_absolute: bool,
}

impl Trigger {
    fn read(trigger: &Property, span: Span, zones: &EntryZones<'_>) -> Option<Self> {
        // Some products write parameters behind the colon: `TRIGGER:VALUE=DATE-TIME:20960507T…`.
        let (misplaced, value) = trigger.value.rsplit_once(':').unwrap_or(("", &trigger.value));
        let mut parameters = Vec::new();
        for parameter in misplaced.split([';', ':']).filter(|text| !text.trim().is_empty()) {
            if ["DATE-TIME", "DURATION"].contains(&parameter.trim().to_ascii_uppercase().as_str()) {
                continue;
            }
            let (name, value) = parameter.split_once('=')?;
            let name = name.trim().to_ascii_uppercase();
            if !["VALUE", "RELATED", "TZID"].contains(&name.as_str()) {
                return None;
            }
            parameters.push((name, value.trim()));
        }
        let parameter = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
            trigger.parameter(name).or(found)
        };
        if Stamp::parse(value).is_some() {
            let moment = Moment::in_zone(value, parameter("TZID"), trigger, zones).ok()?;
            let at = moment.instant(span.clock.zone)?;
            return Some(Self { before: span.date - at, is_absolute: true });
        }
        let after = duration(value)?;
        let is_of_end = parameter("RELATED").is_some_and(|end| end.eq_ignore_ascii_case("END"));
        let from = if is_of_end { span.end? } else { span.start };
        let before = (span.date - from).checked_sub(&after)?;
        Some(Self { before, is_absolute: false })
    }
}

fn repetition(alarm: &Component, repeat: &Property) -> Option<(u64, TimeDelta)> {
    let times = repeat.value.trim().parse::<u64>().ok()?;
    let every = alarm.one("DURATION").map(|every| duration(&every.value));
    if times == 0 { Some((0, TimeDelta::zero())) } else { Some((times, every??)) }
}

fn rounded_up(before: TimeDelta) -> i64 {
    let seconds = before.num_seconds();
    seconds.div_euclid(60) + i64::from(seconds.rem_euclid(60) > 0)
}
