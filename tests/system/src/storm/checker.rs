//! Judgement of a storm: a pure function of the evidence.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::Span;

/// Largest distance between a fault and a message whose record the fault prevented.
const AROUND_A_FAULT: TimeDelta = TimeDelta::seconds(10);

/// A reminder whose creation was answered with 201.
#[derive(Debug, Clone)]
pub struct CreatedReminder {
    /// Id in the answer.
    pub id: String,
    /// Title, unique among all reminders.
    pub title: String,
    /// Due time.
    pub due_at: DateTime<Utc>,
    /// Addresses at which it must arrive: tokens, and an e-mail address.
    pub addresses: Vec<String>,
    /// `true` if it was deleted: it may or may not arrive.
    pub deleted: bool,
    /// Time of the answer to a snooze, and the new time, at which it must arrive. It may arrive
    /// before as well, if it had been sent by then.
    pub snoozed: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// A message that a provider accepted.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Title in the message.
    pub title: String,
    /// Token or e-mail address.
    pub address: String,
    /// Time of arrival; `None` if the provider does not report it.
    pub at: Option<DateTime<Utc>>,
    /// Key by which a repeat replaces the first message.
    pub key: Option<String>,
}

/// An occurrence in the database of event-service.
#[derive(Debug, Clone)]
pub struct RecordedOccurrence {
    /// Id of the reminder.
    pub id: String,
    /// State.
    pub state: String,
    /// Reason code.
    pub reason: Option<String>,
    /// Number of deliveries with an outcome.
    pub outcomes: i32,
    /// Number of deliveries.
    pub deliveries: i32,
}

/// Evidence after a storm.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Messages that the providers accepted, in order of arrival.
    pub arrivals: Vec<Arrival>,
    /// All occurrences.
    pub recorded: Vec<RecordedOccurrence>,
    /// Reasons of the dead letters.
    pub dead_letters: Vec<String>,
    /// Number of messages in an outbox, including parked ones.
    pub unpublished: i64,
    /// Time spans of faults that may have prevented a record.
    pub faults: Vec<Span>,
}

/// Kind of a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// A reminder did not arrive.
    Lost,
    /// A message arrived that nobody asked for, or at a wrong address.
    Unexpected,
    /// A message arrived before its due time.
    Early,
    /// A message arrived again with another key, or without a fault that explains the repeat.
    Duplicate,
    /// An occurrence has no outcome.
    Stuck,
    /// An occurrence ended without being sent.
    Failed,
    /// An occurrence has more outcomes than deliveries.
    Miscounted,
    /// A message was dead-lettered or not published.
    DeadLetter,
}

/// A violation of the guarantees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Kind.
    pub kind: FindingKind,
    /// Title of the reminder, or reason of the dead letter.
    pub subject: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.subject)
    }
}

/// Number of messages that repeat an earlier one at the same address.
#[must_use]
pub(super) fn repeats(arrivals: &[Arrival]) -> usize {
    by_address(arrivals).values().map(|arrivals| arrivals.len() - 1).sum()
}

/// Returns all violations.
#[must_use]
pub fn judge(created: &[CreatedReminder], evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    let by_address = by_address(&evidence.arrivals);
    let mut recorded: HashMap<&str, Vec<&RecordedOccurrence>> = HashMap::new();
    for record in &evidence.recorded {
        recorded.entry(&record.id).or_default().push(record);
    }
    for reminder in created {
        let mut found = |kind, detail: &str| {
            findings.push(Finding { kind, subject: format!("{} ({detail})", reminder.title) });
        };
        for address in reminder.addresses.iter().filter(|_| !reminder.deleted) {
            let arrivals = by_address
                .get(&(reminder.title.as_str(), address.as_str()))
                .map_or(&[][..], Vec::as_slice);
            match reminder.snoozed {
                None if arrivals.is_empty() => found(FindingKind::Lost, address),
                Some((_, until))
                    if arrivals.iter().all(|arrival| arrival.at.is_some_and(|at| at < until)) =>
                {
                    found(FindingKind::Lost, &format!("{address}, at the snoozed time"));
                }
                _ => {}
            }
        }
        let records = recorded.get(reminder.id.as_str()).map_or(&[][..], Vec::as_slice);
        if records.is_empty() && !reminder.deleted {
            found(FindingKind::Stuck, "no occurrence");
        }
        for record in records {
            let reason = record.reason.as_deref().unwrap_or("no reason");
            match record.state.as_str() {
                "pending" | "released" => found(FindingKind::Stuck, &record.state),
                "failed" | "suppressed" | "cancelled"
                    if !reminder.deleted && reminder.snoozed.is_none() =>
                {
                    found(FindingKind::Failed, &format!("{}: {reason}", record.state));
                }
                _ => {}
            }
            if record.outcomes > record.deliveries.max(1) {
                found(
                    FindingKind::Miscounted,
                    &format!("{} of {}", record.outcomes, record.deliveries),
                );
            }
        }
    }
    let created: HashMap<&str, &CreatedReminder> =
        created.iter().map(|reminder| (reminder.title.as_str(), reminder)).collect();
    for ((title, address), arrivals) in &by_address {
        match created.get(title) {
            Some(reminder) if reminder.addresses.iter().any(|known| known == address) => {
                findings.extend(arrivals.iter().filter_map(|arrival| early(reminder, arrival)));
            }
            _ => findings.push(Finding {
                kind: FindingKind::Unexpected,
                subject: format!("{title} ({address})"),
            }),
        }
        let is_snoozed = created.get(title).is_some_and(|reminder| reminder.snoozed.is_some());
        let (first, again) =
            if is_snoozed { by_first_key(arrivals) } else { (arrivals.clone(), Vec::new()) };
        findings.extend(
            [first, again]
                .iter()
                .filter_map(|arrivals| duplicate(title, arrivals, &evidence.faults)),
        );
    }
    let dead = evidence.dead_letters.iter();
    findings.extend(
        dead.map(|reason| Finding { kind: FindingKind::DeadLetter, subject: reason.clone() }),
    );
    if evidence.unpublished > 0 {
        let subject = format!("{} messages were not published", evidence.unpublished);
        findings.push(Finding { kind: FindingKind::DeadLetter, subject });
    }
    findings
}

fn by_address(arrivals: &[Arrival]) -> BTreeMap<(&str, &str), Vec<&Arrival>> {
    let mut places: BTreeMap<(&str, &str), Vec<&Arrival>> = BTreeMap::new();
    for arrival in arrivals {
        places.entry((&arrival.title, &arrival.address)).or_default().push(arrival);
    }
    places
}

/// Splits messages into those of the first occurrence and those of its snooze.
fn by_first_key<'a>(arrivals: &[&'a Arrival]) -> (Vec<&'a Arrival>, Vec<&'a Arrival>) {
    let first = arrivals.first().map(|arrival| &arrival.key);
    arrivals.iter().partition(|arrival| Some(&arrival.key) == first)
}

/// Number of snoozed reminders that were sent between the answer to the snooze and the new time:
/// the event of the snooze had not been delivered by then.
#[must_use]
pub(super) fn sent_before_snoozed_time(created: &[CreatedReminder], arrivals: &[Arrival]) -> usize {
    let by_address = by_address(arrivals);
    let is_sent = |reminder: &&CreatedReminder| {
        let Some((answered, until)) = reminder.snoozed else { return false };
        let mut arrivals = by_address
            .iter()
            .filter(|((title, _), _)| *title == reminder.title)
            .flat_map(|(_, arrivals)| arrivals);
        arrivals.any(|arrival| arrival.at.is_some_and(|at| at > answered && at < until))
    };
    created.iter().filter(is_sent).count()
}

fn early(reminder: &CreatedReminder, arrival: &Arrival) -> Option<Finding> {
    let at = arrival.at.filter(|at| *at < reminder.due_at)?;
    Some(Finding {
        kind: FindingKind::Early,
        subject: format!("{} ({} ms)", reminder.title, (reminder.due_at - at).num_milliseconds()),
    })
}

fn duplicate(title: &str, arrivals: &[&Arrival], faults: &[Span]) -> Option<Finding> {
    let (first, again) = arrivals.split_first()?;
    let finding = |detail: &str| {
        Some(Finding { kind: FindingKind::Duplicate, subject: format!("{title} ({detail})") })
    };
    if again.iter().any(|arrival| arrival.key != first.key) {
        return finding("with another collapse key");
    }
    let is_explained = |arrival: &Arrival| match arrival.at {
        Some(at) => faults
            .iter()
            .any(|(from, to)| at >= *from - AROUND_A_FAULT && at <= *to + AROUND_A_FAULT),
        None => !faults.is_empty(),
    };
    // The records of all messages but the last must have been lost.
    let unexplained =
        arrivals.iter().take(again.len()).filter(|arrival| !is_explained(arrival)).count();
    if unexplained > 0 { finding("without a fault") } else { None }
}

#[cfg(test)]
mod tests;
