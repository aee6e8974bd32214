//! Schedule of a reminder's data.

use chrono::{DateTime, Utc};
use recurrence::{DeliverySchedule, Fold, Gap, Refusal, Rule, Series, Zone};

use super::content::{FoldPolicy, GapPolicy, Recurrence, ReminderData};

/// Reason that there is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDeliverySchedule {
    /// This machine does not know the zone.
    #[error("timeZone: expected the name of a zone that this machine knows")]
    Zone,
    /// The rule is refused.
    #[error("recurrence: the rule cannot be followed")]
    Rule(#[from] Refusal),
}

impl ReminderData {
    /// Builds the schedule of the reminder.
    ///
    /// # Errors
    /// If the rule is refused, or the zone is unknown.
    pub fn schedule(&self) -> Result<DeliverySchedule, NoDeliverySchedule> {
        schedule(
            self.date,
            self.notify_offsets.clone(),
            self.recurrence.as_ref(),
            &self.content.time_zone,
        )
    }
}

/// Builds the schedule of `date`, or of a rule that starts there, with offsets in minutes.
///
/// # Errors
/// If the rule is refused, or the zone is unknown.
pub fn schedule(
    date: DateTime<Utc>,
    offsets: Vec<i32>,
    recurrence: Option<&Recurrence>,
    time_zone: &str,
) -> Result<DeliverySchedule, NoDeliverySchedule> {
    follow(date, offsets, recurrence, time_zone, Series::new)
}

/// Builds the schedule of a stored rule, which was checked before it was stored and is not checked
/// again.
///
/// # Errors
/// If this version refuses the rule, or the zone is unknown.
pub fn stored_schedule(
    date: DateTime<Utc>,
    offsets: Vec<i32>,
    recurrence: Option<&Recurrence>,
    time_zone: &str,
) -> Result<DeliverySchedule, NoDeliverySchedule> {
    follow(date, offsets, recurrence, time_zone, Series::stored)
}

fn follow(
    date: DateTime<Utc>,
    offsets: Vec<i32>,
    recurrence: Option<&Recurrence>,
    time_zone: &str,
    read: impl FnOnce(DateTime<Utc>, Zone, Rule<'_>) -> Result<Series, Refusal>,
) -> Result<DeliverySchedule, NoDeliverySchedule> {
    let Some(recurrence) = recurrence else { return Ok(DeliverySchedule::once(date, offsets)) };
    let zone = Zone::parse(time_zone).map_err(|_| NoDeliverySchedule::Zone)?;
    let gap = match recurrence.gap {
        GapPolicy::Shift => Gap::Shift,
        GapPolicy::Skip => Gap::Skip,
    };
    let fold = match recurrence.fold {
        FoldPolicy::First => Fold::First,
        FoldPolicy::Second => Fold::Second,
        FoldPolicy::Both => Fold::Both,
    };
    let Recurrence { rrule, exdates, rdates, .. } = recurrence;
    let rule = Rule { rrule, exdates, rdates, gap, fold };
    Ok(DeliverySchedule::recurring(read(date, zone, rule)?, offsets))
}
