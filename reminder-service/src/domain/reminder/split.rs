//! Split of a series: an occurrence and those after it become a reminder of their own, or end.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use recurrence::DeliverySchedule;
use time_zone::Zone;

use super::{
    ChangedOccurrence, Details, EditRefusal, InvalidRecurrence, OccurrenceEdit, Recurrence,
    Reminder, Schedule,
    listed_time::{is_before, is_day_of, shifted},
};

/// Occurrences that are compared before and after the split.
const COMPARED: usize = 60;
/// Most values of `COUNT` that are tried for the occurrences from the split on: it counts the two
/// instants of a repeated time once.
const MAX_COUNTS: u32 = 64;
/// Smallest difference between two instants.
const SMALLEST_STEP: TimeDelta = TimeDelta::milliseconds(1);

/// Reminder of the occurrences from the split on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// Fields of the reminder.
    pub details: Details,
    /// Occurrences whose texts differ from those of the others.
    pub changed_occurrences: Vec<ChangedOccurrence>,
}

/// A rule in parts.
struct Parts {
    /// The rule without its end.
    endless: String,
    count: Option<u32>,
    has_until: bool,
}

impl Parts {
    fn of(rrule: &str) -> Self {
        let rrule = rrule.strip_prefix("RRULE:").unwrap_or(rrule);
        let mut parts = Self { endless: String::new(), count: None, has_until: false };
        for part in rrule.split(';') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim().to_ascii_uppercase().as_str() {
                "COUNT" => parts.count = value.trim().parse().ok(),
                "UNTIL" => parts.has_until = true,
                _ if parts.endless.is_empty() => part.clone_into(&mut parts.endless),
                _ => {
                    parts.endless.push(';');
                    parts.endless.push_str(part);
                }
            }
        }
        parts
    }

    fn until(&self, at: DateTime<Utc>) -> String {
        format!("{};UNTIL={}", self.endless, at.format("%Y%m%dT%H%M%SZ"))
    }

    fn count(&self, count: u32) -> String {
        format!("{};COUNT={count}", self.endless)
    }
}

fn first_at_or_after(schedule: &DeliverySchedule, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    schedule.occurrences_after(at - SMALLEST_STEP).next()
}

impl Schedule {
    fn starting(&self, at: DateTime<Utc>, rule: Recurrence) -> Result<Self, InvalidRecurrence> {
        Self::new(at, self.time_zone, self.offsets.clone(), Some(rule))
    }

    /// The same rule without the lists.
    fn of_rule(&self, rule: &Recurrence) -> Result<Self, InvalidRecurrence> {
        let (exdates, rdates) = Default::default();
        self.starting(self.date, Recurrence { exdates, rdates, ..rule.clone() })
    }

    /// The occurrences before an instant.
    fn ended_before(&self, rule: &Recurrence, at: DateTime<Utc>) -> Result<Self, EditRefusal> {
        let (zone, start) = (Zone::from(self.time_zone), self.local_date());
        let is_kept = |entry: &String| is_before(entry, at, start, zone);
        let keep = |entries: &[String], is_kept: &dyn Fn(&String) -> bool| -> Vec<String> {
            entries.iter().filter(|entry| is_kept(entry)).cloned().collect()
        };
        let rule = Recurrence {
            rrule: Parts::of(&rule.rrule).until(at - TimeDelta::seconds(1)),
            exdates: keep(&rule.exdates, &|entry| is_kept(entry) || is_day_of(entry, at, zone)),
            rdates: keep(&rule.rdates, &is_kept),
            ..rule.clone()
        };
        let before = self.starting(self.date, rule)?;
        if first_at_or_after(before.schedule(), at).is_some() {
            return Err(EditRefusal::Unsplittable);
        }
        Ok(before)
    }

    /// The occurrences from an instant on, which is one of the rule.
    fn continued_from(&self, rule: &Recurrence, at: DateTime<Utc>) -> Result<Self, EditRefusal> {
        let (zone, start) = (Zone::from(self.time_zone), self.local_date());
        let is_kept = |entry: &&String| !is_before(entry, at, start, zone);
        let days = |entry: &&String| is_kept(entry) || is_day_of(entry, at, zone);
        let mut following = Recurrence {
            exdates: rule.exdates.iter().filter(days).cloned().collect(),
            rdates: rule.rdates.iter().filter(is_kept).cloned().collect(),
            ..rule.clone()
        };
        let parts = Parts::of(&rule.rrule);
        if let Some(count) = parts.count {
            following.rrule = parts.count(self.left_of(rule, &parts, count, at)?);
        }
        let mut rule = following;
        let mut following = self.starting(at, rule.clone())?;
        // A time that the clock repeats starts the rule at its first instant, also if the series
        // is split at the second.
        if let Some(earlier) =
            first_at_or_after(following.schedule(), DateTime::<Utc>::MIN_UTC + SMALLEST_STEP)
            && earlier < at
        {
            rule.exdates.push(earlier.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            following = self.starting(at, rule)?;
        }
        let of = |schedule: &Self| {
            schedule
                .schedule()
                .occurrences_after(at - SMALLEST_STEP)
                .take(COMPARED)
                .collect::<Vec<_>>()
        };
        // The start gives the rule its time of day, which is another one next to a clock change.
        let begin =
            first_at_or_after(following.schedule(), DateTime::<Utc>::MIN_UTC + SMALLEST_STEP);
        if of(self) != of(&following) || begin != Some(at) {
            return Err(EditRefusal::Unsplittable);
        }
        Ok(following)
    }

    /// `COUNT` of the occurrences from an instant on.
    fn left_of(
        &self,
        rule: &Recurrence,
        parts: &Parts,
        count: u32,
        at: DateTime<Utc>,
    ) -> Result<u32, EditRefusal> {
        let all = self.of_rule(rule)?;
        let before = all.schedule().occurrences_after(DateTime::<Utc>::MIN_UTC);
        let before = before.take_while(|occurrence| *occurrence < at).count();
        let least = count.saturating_sub(u32::try_from(before).unwrap_or(count)).max(1);
        let last = all.schedule().last();
        for left in least..=count.min(least.saturating_add(MAX_COUNTS)) {
            let rule = Recurrence { rrule: parts.count(left), ..rule.clone() };
            let rule = Recurrence { exdates: Vec::new(), rdates: Vec::new(), ..rule };
            if self.starting(at, rule)?.schedule().last() == last {
                return Ok(left);
            }
        }
        Err(EditRefusal::Unsplittable)
    }

    /// The same series with another start: the times of its lists and its end move with the wall
    /// clock.
    fn moved_start(&self, to: DateTime<Utc>) -> Result<Self, EditRefusal> {
        let zone = Zone::from(self.time_zone);
        let Some(rule) = &self.recurrence else { return Err(EditRefusal::Single) };
        let by = zone.wall_clock(to) - self.local_date();
        let shift = |entries: &[String]| -> Option<Vec<String>> {
            entries.iter().map(|entry| shifted(entry, by, zone)).collect()
        };
        let lists = shift(&rule.exdates).zip(shift(&rule.rdates));
        let (exdates, rdates) = lists.ok_or(EditRefusal::Unsplittable)?;
        let mut rule = Recurrence { exdates, rdates, ..rule.clone() };
        let parts = Parts::of(&rule.rrule);
        let last = self.of_rule(&rule)?;
        let least = TimeDelta::minutes(self.offsets.first().into());
        if let (true, Some(last)) = (parts.has_until, last.schedule().last()) {
            let last = zone.wall_clock(last + least).checked_add_signed(by);
            let last = last.and_then(|last| zone.instant(last)).ok_or(EditRefusal::Unsplittable)?;
            rule.rrule = parts.until(last);
        }
        let moved = self.starting(to, rule)?;
        if first_at_or_after(moved.schedule(), DateTime::<Utc>::MIN_UTC + SMALLEST_STEP) != Some(to)
        {
            return Err(EditRefusal::NotOfRule);
        }
        Ok(moved)
    }
}

impl Reminder {
    /// Splits the series at an occurrence at `now`: it ends before. Unless the occurrence and those
    /// after it are left out, they become a reminder of their own with the change.
    ///
    /// # Errors
    /// [`EditRefusal`]: the series is not split.
    pub fn split(
        &self,
        at: DateTime<Utc>,
        edit: &OccurrenceEdit,
        now: DateTime<Utc>,
    ) -> Result<(Self, Option<Following>), EditRefusal> {
        let schedule = &self.details.schedule;
        let Some(rule) = &schedule.recurrence else { return Err(EditRefusal::Single) };
        if !schedule.schedule().has_occurrence(at) {
            return Err(EditRefusal::Missing(at.to_rfc3339()));
        }
        if at <= now {
            return Err(EditRefusal::Passed);
        }
        let begin = schedule.schedule().occurrences_after(DateTime::<Utc>::MIN_UTC).next();
        if begin == Some(at) {
            return Err(EditRefusal::First);
        }
        let following = match edit {
            OccurrenceEdit::Skip => None,
            OccurrenceEdit::Restore => return Err(EditRefusal::Unsplittable),
            OccurrenceEdit::Change { date, texts } => {
                let mut following = self.clone();
                following.details.schedule = schedule.continued_from(rule, at)?;
                following.changed_occurrences.retain(|changed| changed.date >= at);
                let named = following.changed_occurrences.iter_mut();
                for changed in named.filter(|changed| changed.date == at) {
                    changed.texts = changed.texts.clone().with(texts.clone());
                }
                if let Some(date) = date {
                    following.move_start(date.due_date(schedule.time_zone, None)?, now)?;
                }
                following.details.change_texts(texts.clone());
                let of_reminder = following.details.texts();
                following.changed_occurrences.retain(|changed| changed.texts != of_reminder);
                let Reminder { details, changed_occurrences, .. } = following;
                Some(Following { details, changed_occurrences })
            }
        };
        let mut before = self.clone();
        before.details.schedule = schedule.ended_before(rule, at)?;
        before.handled.snooze = self.handled.snooze.filter(|snooze| snooze.date < at);
        before.late_placements.retain(|placed| placed.date < at);
        before.changed_occurrences.retain(|changed| changed.date < at);
        Ok((before, following))
    }

    fn move_start(&mut self, to: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), EditRefusal> {
        let schedule = &self.details.schedule;
        if to == schedule.date {
            return Ok(());
        }
        if to - TimeDelta::minutes(schedule.offsets.first().into()) <= now {
            return Err(EditRefusal::NoDeliveryAhead);
        }
        let zone = Zone::from(schedule.time_zone);
        let by = zone.wall_clock(to) - schedule.local_date();
        for changed in &mut self.changed_occurrences {
            let local = zone.wall_clock(changed.date).checked_add_signed(by);
            changed.date = local.and_then(|local| zone.instant(local)).unwrap_or(changed.date);
        }
        let moved = schedule.moved_start(to)?;
        self.changed_occurrences.retain(|changed| moved.schedule().has_occurrence(changed.date));
        self.details.schedule = moved;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
