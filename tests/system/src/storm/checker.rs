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
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn created() -> CreatedReminder {
        CreatedReminder {
            id: "1".into(),
            title: "Tea".into(),
            due_at: at(10),
            addresses: vec!["token".into()],
            deleted: false,
            snoozed: None,
        }
    }

    fn arrival(seconds: i64) -> Arrival {
        Arrival {
            title: "Tea".into(),
            address: "token".into(),
            at: Some(at(seconds)),
            key: Some("key".into()),
        }
    }

    fn sent() -> RecordedOccurrence {
        RecordedOccurrence {
            id: "1".into(),
            state: "sent".into(),
            reason: None,
            outcomes: 1,
            deliveries: 1,
        }
    }

    fn kinds(created: &[CreatedReminder], evidence: &Evidence) -> Vec<FindingKind> {
        judge(created, evidence).into_iter().map(|finding| finding.kind).collect()
    }

    fn complete() -> Evidence {
        Evidence { arrivals: vec![arrival(11)], recorded: vec![sent()], ..Evidence::default() }
    }

    #[test]
    fn finds_nothing_when_all_arrived() {
        assert_eq!(kinds(&[created()], &complete()), []);
    }

    #[test]
    fn finds_each_kind_alone() {
        let cases = [
            (Evidence { arrivals: vec![], ..complete() }, FindingKind::Lost),
            (Evidence { arrivals: vec![arrival(9)], ..complete() }, FindingKind::Early),
            (
                Evidence { arrivals: vec![arrival(11), arrival(12)], ..complete() },
                FindingKind::Duplicate,
            ),
            (Evidence { recorded: vec![], ..complete() }, FindingKind::Stuck),
            (
                Evidence {
                    recorded: vec![RecordedOccurrence { state: "released".into(), ..sent() }],
                    ..complete()
                },
                FindingKind::Stuck,
            ),
            (
                Evidence {
                    recorded: vec![RecordedOccurrence { state: "failed".into(), ..sent() }],
                    ..complete()
                },
                FindingKind::Failed,
            ),
            (
                Evidence {
                    recorded: vec![RecordedOccurrence { outcomes: 2, ..sent() }],
                    ..complete()
                },
                FindingKind::Miscounted,
            ),
            (
                Evidence { dead_letters: vec!["unreadable".into()], ..complete() },
                FindingKind::DeadLetter,
            ),
            (Evidence { unpublished: 1, ..complete() }, FindingKind::DeadLetter),
        ];
        for (evidence, kind) in cases {
            assert_eq!(kinds(&[created()], &evidence), [kind], "{evidence:?}");
        }
        let stranger = Arrival { title: "Coffee".into(), ..arrival(11) };
        let evidence = Evidence { arrivals: vec![arrival(11), stranger], ..complete() };
        assert_eq!(kinds(&[created()], &evidence), [FindingKind::Unexpected]);
    }

    #[test]
    fn accepts_repeat_with_same_key_near_fault() {
        let repeated = Evidence {
            arrivals: vec![arrival(11), arrival(50)],
            faults: vec![(at(12), at(13))],
            ..complete()
        };
        assert_eq!(kinds(&[created()], &repeated), []);
        let late = Evidence { faults: vec![(at(40), at(41))], ..repeated.clone() };
        assert_eq!(kinds(&[created()], &late), [FindingKind::Duplicate]);
        let mut other = repeated;
        other.arrivals[1].key = Some("another".into());
        assert_eq!(kinds(&[created()], &other), [FindingKind::Duplicate]);
    }

    #[test]
    fn accepts_deleted_reminder_sent_or_not() {
        let deleted = CreatedReminder { deleted: true, ..created() };
        assert_eq!(kinds(std::slice::from_ref(&deleted), &complete()), []);
        let cancelled =
            RecordedOccurrence { state: "cancelled".into(), outcomes: 0, deliveries: 0, ..sent() };
        let evidence = Evidence { arrivals: vec![], recorded: vec![cancelled], ..complete() };
        assert_eq!(kinds(&[deleted], &evidence), []);
    }

    #[test]
    fn expects_snoozed_reminder_at_new_time() {
        let snoozed = [CreatedReminder { snoozed: Some((at(12), at(20))), ..created() }];
        let again = Arrival { key: Some("snooze".into()), ..arrival(21) };
        let cancelled =
            RecordedOccurrence { state: "cancelled".into(), outcomes: 0, deliveries: 0, ..sent() };
        let once = Evidence {
            arrivals: vec![again.clone()],
            recorded: vec![cancelled, sent()],
            ..complete()
        };
        assert_eq!(kinds(&snoozed, &once), []);
        let beside = Evidence { arrivals: vec![arrival(11), again.clone()], ..complete() };
        assert_eq!(
            (kinds(&snoozed, &beside), sent_before_snoozed_time(&snoozed, &beside.arrivals)),
            (vec![], 0)
        );
        let late = Evidence { arrivals: vec![arrival(15), again.clone()], ..complete() };
        assert_eq!(
            (kinds(&snoozed, &late), sent_before_snoozed_time(&snoozed, &late.arrivals)),
            (vec![], 1)
        );
        assert_eq!(kinds(&snoozed, &complete()), [FindingKind::Lost]);
        let twice = Evidence { arrivals: vec![arrival(11), again.clone(), again], ..complete() };
        assert_eq!(kinds(&snoozed, &twice), [FindingKind::Duplicate]);
    }
}
