//! The deliveries that a reminder's data asks for.

use recurrence::{Fold, Gap, Refusal, Rule, Series, Timetable, Zone};

use super::content::{FoldPolicy, GapPolicy, Recurrence, ReminderData};
use chrono::{DateTime, Utc};

/// Why there is no timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTimetable {
    /// The zone is unknown to this machine.
    #[error("timeZone: expected the name of a zone that this machine knows")]
    Zone,
    /// The rule cannot be followed.
    #[error("recurrence: the rule cannot be followed")]
    Rule(#[from] Refusal),
}

impl ReminderData {
    /// When it is delivered.
    ///
    /// # Errors
    /// When its rule cannot be followed, or its zone is unknown.
    pub fn timetable(&self) -> Result<Timetable, NoTimetable> {
        timetable(
            self.date,
            self.notify_offsets.clone(),
            self.recurrence.as_ref(),
            &self.content.time_zone,
        )
    }
}

/// The deliveries at `date`, or by a rule that starts there, less each of the offsets (minutes).
///
/// # Errors
/// When the rule cannot be followed, or the zone is unknown.
pub fn timetable(
    date: DateTime<Utc>,
    offsets: Vec<i32>,
    recurrence: Option<&Recurrence>,
    time_zone: &str,
) -> Result<Timetable, NoTimetable> {
    follow(date, offsets, recurrence, time_zone, Series::new)
}

/// As [`timetable`], of a rule that was accepted before it was stored: it is not tried out again.
///
/// # Errors
/// When the rule cannot be followed by this version, or the zone is unknown.
pub fn stored_timetable(
    date: DateTime<Utc>,
    offsets: Vec<i32>,
    recurrence: Option<&Recurrence>,
    time_zone: &str,
) -> Result<Timetable, NoTimetable> {
    follow(date, offsets, recurrence, time_zone, Series::stored)
}

fn follow(
    date: DateTime<Utc>,
    offsets: Vec<i32>,
    recurrence: Option<&Recurrence>,
    time_zone: &str,
    read: impl FnOnce(DateTime<Utc>, Zone, Rule<'_>) -> Result<Series, Refusal>,
) -> Result<Timetable, NoTimetable> {
    let Some(recurrence) = recurrence else { return Ok(Timetable::once(date, offsets)) };
    let zone = Zone::parse(time_zone).map_err(|_| NoTimetable::Zone)?;
    let gap = match recurrence.gap {
        GapPolicy::Shift => Gap::Shift,
        GapPolicy::Skip => Gap::Skip,
    };
    let fold = match recurrence.fold {
        FoldPolicy::First => Fold::First,
        FoldPolicy::Second => Fold::Second,
        FoldPolicy::Both => Fold::Both,
    };
    let rule = Rule { rrule: &recurrence.rrule, exdates: &recurrence.exdates, gap, fold };
    Ok(Timetable::recurring(read(date, zone, rule)?, offsets))
}
