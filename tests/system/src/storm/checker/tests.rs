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
            Evidence { recorded: vec![RecordedOccurrence { outcomes: 2, ..sent() }], ..complete() },
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
    let once =
        Evidence { arrivals: vec![again.clone()], recorded: vec![cancelled, sent()], ..complete() };
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
