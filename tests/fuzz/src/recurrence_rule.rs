//! Recurrence rules: parsed, checked and followed.

use chrono::{DateTime, TimeDelta, Utc};
use recurrence::{DeliverySchedule, Refusal, Rule, Series};

use crate::schedule_text::ScheduleText;

/// Occurrences and deliveries that are compared.
const SHOWN: usize = 40;
/// Before all occurrences.
const BEGINNING: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;

/// Fuzz target of recurrence rules. A refusal names the field; the occurrences of an accepted rule
/// are in order, and the same from any instant on.
///
/// # Panics
/// If a property does not hold.
pub fn recurrence_rule(data: &[u8]) {
    let text = ScheduleText::read(data);
    let series = match text.series() {
        Ok(series) => series,
        Err(refusal) => return check_refusal(&text, &refusal),
    };
    assert_eq!(text.rule().check_syntax(), Ok(()));
    let all = first(&series, BEGINNING);
    check_order(&text, &series, &all);
    check_resumption(&series, &all);
    check_from(&series, text.from);
    check_end(&series, &all);
    check_spellings(&text, &all);
    check_deliveries(&text, series);
}

fn first(series: &Series, after: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    series.after(after).take(SHOWN).collect()
}

fn check_refusal(text: &ScheduleText, refusal: &Refusal) {
    let shown = refusal.to_string();
    let fields = ["rrule: ", "exdates", "rdates"];
    assert!(fields.iter().any(|field| shown.starts_with(field)), "{shown}");
    assert!(shown.len() <= 400 && !shown.chars().any(char::is_control), "{shown:?}");
    if let Err(malformed) = text.rule().check_syntax() {
        assert_eq!(malformed, *refusal);
        let stored = Series::stored(text.start, text.zone, text.rule());
        assert_eq!(stored.err(), Some(malformed));
    }
}

fn check_order(text: &ScheduleText, series: &Series, all: &[DateTime<Utc>]) {
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
    if text.rdates.is_empty() {
        assert!(all.iter().all(|at| *at >= text.start), "{all:?}");
    }
    let below_second = text.start.timestamp_subsec_nanos();
    assert!(all.iter().all(|at| at.timestamp_subsec_nanos() == below_second), "{all:?}");
    for (position, at) in all.iter().enumerate() {
        assert!(series.contains(*at), "{at}");
        assert!(!series.contains(*at + TimeDelta::milliseconds(1)), "{at}");
        assert_eq!(series.last_until(*at), Some(*at));
        let before = position.checked_sub(1).map(|before| all[before]);
        assert_eq!(series.last_until(*at - TimeDelta::milliseconds(1)), before);
    }
}

fn check_resumption(series: &Series, all: &[DateTime<Utc>]) {
    for position in [0, all.len() / 2, all.len().saturating_sub(2)] {
        let Some(at) = all.get(position) else { return };
        let rest = &all[position + 1..];
        let found: Vec<_> = series.after(*at).take(rest.len()).collect();
        assert_eq!(found, rest, "after {at}");
        let earlier = *at - TimeDelta::milliseconds(1);
        assert_eq!(series.after(earlier).next(), Some(*at));
    }
}

fn check_from(series: &Series, from: DateTime<Utc>) {
    let last = series.last_until(from);
    assert!(last.is_none_or(|last| last <= from && series.contains(last)), "{last:?} at {from}");
    let next = series.after(from).next();
    if let Some(next) = next {
        assert!(next > from && series.contains(next), "{next} after {from}");
        assert_eq!(series.last_until(next - TimeDelta::milliseconds(1)), last);
    }
    if let Some(last) = last {
        assert_eq!(series.after(last).next(), next, "after {last}");
    }
}

fn check_end(series: &Series, all: &[DateTime<Utc>]) {
    assert_eq!(series.fires(), !all.is_empty());
    let last = series.last();
    if !series.ends() {
        assert_eq!(last, None);
        return;
    }
    assert!(all.iter().all(|at| last.is_some_and(|last| *at <= last)), "{last:?}: {all:?}");
    if all.len() < SHOWN {
        assert_eq!(last, all.last().copied());
    }
    if let Some(last) = last {
        assert!(series.contains(last), "{last}");
        assert_eq!(series.after(last).next(), None, "after {last}");
    }
}

/// The rule means the same in lower case, behind the name of its property, and once it is stored.
fn check_spellings(text: &ScheduleText, all: &[DateTime<Utc>]) {
    let rrule = text.rrule.trim();
    let rrule = rrule.strip_prefix("RRULE:").unwrap_or(rrule);
    let spelled = format!(" RRULE:{} ", rrule.to_ascii_lowercase());
    let series = Series::new(text.start, text.zone, Rule { rrule: &spelled, ..text.rule() });
    assert_eq!(series.map(|series| first(&series, BEGINNING)), Ok(all.to_vec()), "{spelled}");
    let stored = Series::stored(text.start, text.zone, text.rule());
    assert_eq!(stored.map(|series| first(&series, BEGINNING)), Ok(all.to_vec()));
}

fn check_deliveries(text: &ScheduleText, series: Series) {
    let schedule = DeliverySchedule::recurring(series, text.offsets.clone());
    let all: Vec<_> = schedule.after(text.from).take(SHOWN).collect();
    assert!(all.windows(2).all(|pair| pair[0].at < pair[1].at), "{all:?}");
    for (position, delivery) in all.iter().enumerate() {
        assert!(delivery.at > text.from && schedule.has_occurrence(delivery.date));
        let minutes = (delivery.date - delivery.at).num_minutes();
        assert!(text.offsets.iter().any(|offset| i64::from(*offset) == minutes), "{delivery:?}");
        assert_eq!(schedule.delivery_at(delivery.at), Some(*delivery));
        assert_eq!(schedule.latest(delivery.at), Some(*delivery));
        if let Some(next) = all.get(position + 1) {
            assert_eq!(schedule.after(delivery.at).next(), Some(*next));
        }
    }
    if let (Some(last), Some(delivery)) = (schedule.last(), all.last()) {
        assert!(delivery.at <= last, "{delivery:?}, {last}");
        assert_eq!(schedule.after(last).next(), None);
    }
}
