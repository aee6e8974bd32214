//! Start of a series at a local time that the clock skips.
//!
//! A reminder gets the time of day of its occurrences from its date, which is an instant. If that
//! were the shifted instant of a skipped time, all occurrences would be late by the length of the
//! gap. So the rule starts at its second instance, and the first one becomes a single date.

use chrono::{DateTime, NaiveDateTime, Utc};
use contract::Recurrence;
use recurrence::{Fold, Gap, Rule, Series};
use time_zone::{Instants, Zone};

/// Largest number of dates beside a rule.
const MAX_DATES: usize = 1_000;

/// Moves the start of a rule out of a gap. Returns the new start, whose rule has the same
/// occurrences; `None` if the start stays, as it is in no gap, or the rule has no other instance.
pub(super) fn leave_gap(
    start: NaiveDateTime,
    zone: Zone,
    recurrence: &mut Recurrence,
) -> Option<DateTime<Utc>> {
    let is_in_gap = |local| matches!(zone.instants(local), Some(Instants::Gap { .. }));
    // The occurrences of more frequent rules are not at one time of day.
    let is_rare = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
        .iter()
        .any(|frequency| has_part(&recurrence.rrule, "FREQ", frequency));
    if !is_in_gap(start) || !is_rare || recurrence.rdates.len() >= MAX_DATES {
        return None;
    }
    let rule = Rule {
        rrule: &recurrence.rrule,
        exdates: &[],
        rdates: &[],
        gap: Gap::default(),
        fold: Fold::default(),
    };
    // Every local time exists in UTC.
    let series = Series::new(start.and_utc(), Zone::UTC, rule).ok()?;
    let next = series.after(start.and_utc()).next()?.naive_utc();
    if is_in_gap(next) {
        return None;
    }
    if series.contains(start.and_utc()) {
        recurrence.rrule = counted_down(&recurrence.rrule);
        recurrence.rdates.push(start.format("%Y-%m-%dT%H:%M:%S").to_string());
    }
    zone.instant(next)
}

fn has_part(rrule: &str, name: &str, value: &str) -> bool {
    rrule.split(';').filter_map(|part| part.split_once('=')).any(|part| part == (name, value))
}

/// The rule without its first instance.
fn counted_down(rrule: &str) -> String {
    let part = |part: &str| {
        let count = part.strip_prefix("COUNT=").and_then(|count| count.parse::<u32>().ok());
        count.map_or_else(|| part.to_owned(), |count| format!("COUNT={}", count.saturating_sub(1)))
    };
    rrule.split(';').map(part).collect::<Vec<_>>().join(";")
}
