//! The judgement over a storm. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::Span;

/// How far from a fault an acceptance may lie whose record the fault cost.
const AROUND_A_FAULT: TimeDelta = TimeDelta::seconds(10);

/// A reminder that was answered with 201.
#[derive(Debug, Clone)]
pub struct Made {
    /// The id it was answered with.
    pub id: String,
    /// The title, different for each.
    pub title: String,
    /// When it is due.
    pub due_at: DateTime<Utc>,
    /// The addresses at which it is to arrive: tokens, and an e-mail address.
    pub addresses: Vec<String>,
    /// Whether it was deleted: it may then arrive, or not.
    pub deleted: bool,
    /// Where it was snoozed: when that was answered, and until when. It is then to arrive at that
    /// time; before, if it had gone out.
    pub snoozed: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// A message that a provider accepted.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The title it showed.
    pub title: String,
    /// The token or the e-mail address.
    pub address: String,
    /// When; unknown where the provider does not say.
    pub at: Option<DateTime<Utc>>,
    /// The key by which a repeat replaces the first.
    pub key: Option<String>,
}

/// An occurrence as event-service has it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The reminder's id.
    pub id: String,
    /// The state.
    pub state: String,
    /// The reason.
    pub reason: Option<String>,
    /// Deliveries with an outcome.
    pub outcomes: i32,
    /// Deliveries that there are.
    pub deliveries: i32,
}

/// Everything that is known after a storm.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// In the order in which they arrived.
    pub arrivals: Vec<Arrival>,
    /// Every occurrence.
    pub recorded: Vec<Recorded>,
    /// The reasons of dead letters.
    pub dead_letters: Vec<String>,
    /// Messages that wait in an outbox, or were parked there.
    pub unpublished: i64,
    /// When faults may have cost the record of an acceptance.
    pub faults: Vec<Span>,
}

/// What must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It did not arrive.
    Lost,
    /// It arrived although nobody asked for it, or elsewhere.
    Unexpected,
    /// It arrived before its time.
    Early,
    /// It arrived again with another key, or without a fault that explains it.
    Duplicate,
    /// It has no outcome.
    Stuck,
    /// It ended without having been sent.
    Failed,
    /// It has more outcomes than deliveries.
    Miscounted,
    /// A message was dead-lettered or never published.
    DeadLetter,
}

/// One thing that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub kind: Kind,
    /// The title, or the reason.
    pub subject: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.subject)
    }
}

/// The number of arrivals that repeat an earlier one at the same address.
#[must_use]
pub(super) fn repeats(arrivals: &[Arrival]) -> usize {
    by_place(arrivals).values().map(|arrivals| arrivals.len() - 1).sum()
}

/// Everything that must not be.
#[must_use]
pub fn judge(made: &[Made], evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    let places = by_place(&evidence.arrivals);
    let mut recorded: HashMap<&str, Vec<&Recorded>> = HashMap::new();
    for record in &evidence.recorded {
        recorded.entry(&record.id).or_default().push(record);
    }
    for reminder in made {
        let mut found = |kind, detail: &str| {
            findings.push(Finding { kind, subject: format!("{} ({detail})", reminder.title) });
        };
        for address in reminder.addresses.iter().filter(|_| !reminder.deleted) {
            let arrivals = places
                .get(&(reminder.title.as_str(), address.as_str()))
                .map_or(&[][..], Vec::as_slice);
            match reminder.snoozed {
                None if arrivals.is_empty() => found(Kind::Lost, address),
                Some((_, until))
                    if arrivals.iter().all(|arrival| arrival.at.is_some_and(|at| at < until)) =>
                {
                    found(Kind::Lost, &format!("{address}, at the time that it was snoozed to"));
                }
                _ => {}
            }
        }
        let records = recorded.get(reminder.id.as_str()).map_or(&[][..], Vec::as_slice);
        if records.is_empty() && !reminder.deleted {
            found(Kind::Stuck, "no occurrence is known");
        }
        for record in records {
            let reason = record.reason.as_deref().unwrap_or("no reason");
            match record.state.as_str() {
                "pending" | "released" => found(Kind::Stuck, &record.state),
                "failed" | "suppressed" | "cancelled"
                    if !reminder.deleted && reminder.snoozed.is_none() =>
                {
                    found(Kind::Failed, &format!("{}: {reason}", record.state));
                }
                _ => {}
            }
            if record.outcomes > record.deliveries.max(1) {
                found(Kind::Miscounted, &format!("{} of {}", record.outcomes, record.deliveries));
            }
        }
    }
    let made: HashMap<&str, &Made> =
        made.iter().map(|reminder| (reminder.title.as_str(), reminder)).collect();
    for ((title, address), arrivals) in &places {
        match made.get(title) {
            Some(reminder) if reminder.addresses.iter().any(|known| known == address) => {
                findings.extend(arrivals.iter().filter_map(|arrival| early(reminder, arrival)));
            }
            _ => findings
                .push(Finding { kind: Kind::Unexpected, subject: format!("{title} ({address})") }),
        }
        let is_snoozed = made.get(title).is_some_and(|reminder| reminder.snoozed.is_some());
        let (first, again) =
            if is_snoozed { by_first_key(arrivals) } else { (arrivals.clone(), Vec::new()) };
        findings.extend(
            [first, again]
                .iter()
                .filter_map(|arrivals| duplicate(title, arrivals, &evidence.faults)),
        );
    }
    let dead = evidence.dead_letters.iter();
    findings.extend(dead.map(|reason| Finding { kind: Kind::DeadLetter, subject: reason.clone() }));
    if evidence.unpublished > 0 {
        let subject = format!("{} messages are still in an outbox", evidence.unpublished);
        findings.push(Finding { kind: Kind::DeadLetter, subject });
    }
    findings
}

fn by_place(arrivals: &[Arrival]) -> BTreeMap<(&str, &str), Vec<&Arrival>> {
    let mut places: BTreeMap<(&str, &str), Vec<&Arrival>> = BTreeMap::new();
    for arrival in arrivals {
        places.entry((&arrival.title, &arrival.address)).or_default().push(arrival);
    }
    places
}

/// The arrivals of the occurrence that came first, and those of its snooze.
fn by_first_key<'a>(arrivals: &[&'a Arrival]) -> (Vec<&'a Arrival>, Vec<&'a Arrival>) {
    let first = arrivals.first().map(|arrival| &arrival.key);
    arrivals.iter().partition(|arrival| Some(&arrival.key) == first)
}

/// The number of snoozed reminders that arrived between the answer to the snooze and its time, as
/// if they had not been snoozed: their event had not got anywhere when they went out.
#[must_use]
pub(super) fn out_all_the_same(made: &[Made], arrivals: &[Arrival]) -> usize {
    let places = by_place(arrivals);
    let is_out = |reminder: &&Made| {
        let Some((answered, until)) = reminder.snoozed else { return false };
        let mut at = places
            .iter()
            .filter(|((title, _), _)| *title == reminder.title)
            .flat_map(|(_, arrivals)| arrivals);
        at.any(|arrival| arrival.at.is_some_and(|at| at > answered && at < until))
    };
    made.iter().filter(is_out).count()
}

fn early(reminder: &Made, arrival: &Arrival) -> Option<Finding> {
    let at = arrival.at.filter(|at| *at < reminder.due_at)?;
    Some(Finding {
        kind: Kind::Early,
        subject: format!("{} ({} ms)", reminder.title, (reminder.due_at - at).num_milliseconds()),
    })
}

fn duplicate(title: &str, arrivals: &[&Arrival], faults: &[Span]) -> Option<Finding> {
    let (first, again) = arrivals.split_first()?;
    let finding = |detail: &str| {
        Some(Finding { kind: Kind::Duplicate, subject: format!("{title} ({detail})") })
    };
    if again.iter().any(|arrival| arrival.key != first.key) {
        return finding("another collapse key");
    }
    let is_explained = |arrival: &Arrival| match arrival.at {
        Some(at) => faults
            .iter()
            .any(|(from, to)| at >= *from - AROUND_A_FAULT && at <= *to + AROUND_A_FAULT),
        None => !faults.is_empty(),
    };
    // The record of each acceptance but the last was lost.
    let unexplained =
        arrivals.iter().take(again.len()).filter(|arrival| !is_explained(arrival)).count();
    if unexplained > 0 { finding("no fault explains it") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn made() -> Made {
        Made {
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

    fn sent() -> Recorded {
        Recorded { id: "1".into(), state: "sent".into(), reason: None, outcomes: 1, deliveries: 1 }
    }

    fn kinds(made: &[Made], evidence: &Evidence) -> Vec<Kind> {
        judge(made, evidence).into_iter().map(|finding| finding.kind).collect()
    }

    fn well() -> Evidence {
        Evidence { arrivals: vec![arrival(11)], recorded: vec![sent()], ..Evidence::default() }
    }

    #[test]
    fn finds_nothing_when_all_is_well() {
        assert_eq!(kinds(&[made()], &well()), []);
    }

    #[test]
    fn finds_each_kind_by_itself() {
        let cases = [
            (Evidence { arrivals: vec![], ..well() }, Kind::Lost),
            (Evidence { arrivals: vec![arrival(9)], ..well() }, Kind::Early),
            (Evidence { arrivals: vec![arrival(11), arrival(12)], ..well() }, Kind::Duplicate),
            (Evidence { recorded: vec![], ..well() }, Kind::Stuck),
            (
                Evidence {
                    recorded: vec![Recorded { state: "released".into(), ..sent() }],
                    ..well()
                },
                Kind::Stuck,
            ),
            (
                Evidence {
                    recorded: vec![Recorded { state: "failed".into(), ..sent() }],
                    ..well()
                },
                Kind::Failed,
            ),
            (
                Evidence { recorded: vec![Recorded { outcomes: 2, ..sent() }], ..well() },
                Kind::Miscounted,
            ),
            (Evidence { dead_letters: vec!["unreadable".into()], ..well() }, Kind::DeadLetter),
            (Evidence { unpublished: 1, ..well() }, Kind::DeadLetter),
        ];
        for (evidence, kind) in cases {
            assert_eq!(kinds(&[made()], &evidence), [kind], "{evidence:?}");
        }
        let stranger = Arrival { title: "Coffee".into(), ..arrival(11) };
        let evidence = Evidence { arrivals: vec![arrival(11), stranger], ..well() };
        assert_eq!(kinds(&[made()], &evidence), [Kind::Unexpected]);
    }

    #[test]
    fn accepts_a_repeat_around_a_fault_with_the_same_key() {
        let repeated = Evidence {
            arrivals: vec![arrival(11), arrival(50)],
            faults: vec![(at(12), at(13))],
            ..well()
        };
        assert_eq!(kinds(&[made()], &repeated), []);
        let late = Evidence { faults: vec![(at(40), at(41))], ..repeated.clone() };
        assert_eq!(kinds(&[made()], &late), [Kind::Duplicate]);
        let mut other = repeated;
        other.arrivals[1].key = Some("another".into());
        assert_eq!(kinds(&[made()], &other), [Kind::Duplicate]);
    }

    #[test]
    fn lets_a_deleted_one_arrive_or_not() {
        let deleted = Made { deleted: true, ..made() };
        assert_eq!(kinds(std::slice::from_ref(&deleted), &well()), []);
        let cancelled =
            Recorded { state: "cancelled".into(), outcomes: 0, deliveries: 0, ..sent() };
        let evidence = Evidence { arrivals: vec![], recorded: vec![cancelled], ..well() };
        assert_eq!(kinds(&[deleted], &evidence), []);
    }

    #[test]
    fn expects_a_snoozed_one_at_its_new_time() {
        let snoozed = [Made { snoozed: Some((at(12), at(20))), ..made() }];
        let again = Arrival { key: Some("of the snooze".into()), ..arrival(21) };
        let cancelled =
            Recorded { state: "cancelled".into(), outcomes: 0, deliveries: 0, ..sent() };
        let once =
            Evidence { arrivals: vec![again.clone()], recorded: vec![cancelled, sent()], ..well() };
        assert_eq!(kinds(&snoozed, &once), []);
        let beside = Evidence { arrivals: vec![arrival(11), again.clone()], ..well() };
        assert_eq!(
            (kinds(&snoozed, &beside), out_all_the_same(&snoozed, &beside.arrivals)),
            (vec![], 0)
        );
        let late = Evidence { arrivals: vec![arrival(15), again.clone()], ..well() };
        assert_eq!(
            (kinds(&snoozed, &late), out_all_the_same(&snoozed, &late.arrivals)),
            (vec![], 1)
        );
        assert_eq!(kinds(&snoozed, &well()), [Kind::Lost]);
        let twice = Evidence { arrivals: vec![arrival(11), again.clone(), again], ..well() };
        assert_eq!(kinds(&snoozed, &twice), [Kind::Duplicate]);
    }
}
