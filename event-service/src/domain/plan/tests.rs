use std::collections::BTreeMap;

use chrono::TimeDelta;
use contract::{Channel, EventType, NotifyContent, Priority, Schema, new_id};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(1_000_000 + minute)
}

fn envelope(version: i64, occurred_at: DateTime<Utc>) -> Envelope {
    Envelope {
        event_type: EventType::ReminderUpdated,
        event_id: new_id(),
        occurred_at,
        user_id: "user-1".to_owned(),
        user_email: None,
        item_id: "a".parse().expect("an id"),
        version,
        schema: Schema::V2,
        traceparent: None,
        data: json!({}),
    }
}

fn data(date: DateTime<Utc>, offsets: &[i32]) -> ReminderData {
    let content = NotifyContent {
        channels: vec![Channel::Push],
        title: None,
        message: "m".to_owned(),
        url: None,
        data: BTreeMap::new(),
        priority: Priority::Normal,
        locale: None,
        time_zone: "UTC".to_owned(),
        expires_after_minutes: 60,
    };
    ReminderData {
        date,
        notify_offsets: offsets.to_vec(),
        recurrence: None,
        snooze: None,
        acknowledged: None,
        paused: false,
        changed_occurrences: Vec::new(),
        content,
    }
}

/// The times of delivery, and whether each is owed.
fn required(plan: Option<&Plan<'_>>) -> Vec<(DateTime<Utc>, bool)> {
    plan.map(|plan| {
        plan.deliveries.iter().map(|(due, delivery)| (*due, delivery.required)).collect()
    })
    .unwrap_or_default()
}

const KNOWN: Option<&Known> = Some(&known(true));

const fn known(active: bool) -> Known {
    Known {
        version: 1,
        active,
        changed_at: DateTime::UNIX_EPOCH,
        pending: Vec::new(),
        released: Vec::new(),
        dates: BTreeMap::new(),
        passed_until: None,
    }
}

fn requested(data: ReminderData) -> Box<RequestedNotification> {
    Box::new(RequestedNotification::of(data, DateTime::UNIX_EPOCH).expect("a schedule"))
}

#[test]
fn ignores_change_that_is_not_newer() {
    let event = envelope(1, at(0));
    let change = Change::Update(requested(data(at(100), &[0])));
    assert_eq!(merge(KNOWN, vec![(&event, &change)], at(0)), None);
}

#[test]
fn accepts_deletion_of_same_version_once() {
    let event = envelope(1, at(0));
    assert!(merge(KNOWN, vec![(&event, &Change::Delete)], at(0)).is_some());
    let tombstone = known(false);
    assert_eq!(merge(Some(&tombstone), vec![(&event, &Change::Delete)], at(0)), None);
}

#[test]
fn requires_times_ahead_of_change_when_event_is_late() {
    let event = envelope(2, at(0));
    let change = Change::Update(requested(data(at(30), &[0, 45])));
    let plan = merge(KNOWN, vec![(&event, &change)], at(500));
    assert_eq!(required(plan.as_ref()), [(at(-15), false), (at(30), true)]);
}

#[test]
fn requires_past_time_of_new_until_expiry() {
    let event = envelope(1, at(0));
    let change = Change::Create(requested(data(at(-10), &[0, 60])));
    let plan = merge(None, vec![(&event, &change)], at(0));
    assert_eq!(required(plan.as_ref()), [(at(-70), false), (at(-10), true)]);
}

#[test]
fn requires_no_past_time_when_one_lies_ahead() {
    let event = envelope(1, at(0));
    let change = Change::Create(requested(data(at(10), &[0, 60])));
    let plan = merge(None, vec![(&event, &change)], at(0));
    assert_eq!(required(plan.as_ref()), [(at(-50), false), (at(10), true)]);
}

#[test]
fn keeps_requirements_of_earlier_version_in_batch() {
    let (second, third) = (envelope(2, at(0)), envelope(3, at(60)));
    let (moved, renamed) = (
        Change::Update(requested(data(at(30), &[0]))),
        Change::Update(requested(data(at(30), &[0, 10]))),
    );
    let plan = merge(KNOWN, vec![(&third, &renamed), (&second, &moved)], at(60));
    assert_eq!(
        required(plan.as_ref()),
        [(at(30), true)],
        "ten minutes before was past when it was asked for"
    );
}

#[test]
fn starts_anew_when_changed_after_deletion() {
    let tombstone = known(false);
    let event = envelope(2, at(0));
    let change = Change::Update(requested(data(at(-10), &[0])));
    let plan = merge(Some(&tombstone), vec![(&event, &change)], at(0));
    assert_eq!(required(plan.as_ref()), [(at(-10), true)]);
}

fn hourly(date: DateTime<Utc>) -> ReminderData {
    let recurrence = serde_json::from_value(json!({"rrule": "FREQ=HOURLY"})).expect("a rule");
    ReminderData { recurrence: Some(recurrence), ..data(date, &[0]) }
}

#[test]
fn requires_next_time_of_recurring() {
    let event = envelope(1, at(90));
    let change = Change::Create(requested(hourly(at(0))));
    assert_eq!(required(merge(None, vec![(&event, &change)], at(90)).as_ref()), [(at(120), true)]);
}

#[test]
fn requires_nothing_while_paused_nor_afterwards() {
    let snooze = Some(contract::Snooze { date: at(0), until: at(65) });
    let known = Known { pending: vec![at(60), at(65)], released: vec![at(0)], ..known(true) };
    let pause = envelope(2, at(30));
    let paused = Change::Update(requested(ReminderData { paused: true, snooze, ..hourly(at(0)) }));
    let plan = merge(Some(&known), vec![(&pause, &paused)], at(30)).expect("newer");
    assert_eq!(required(Some(&plan)), []);
    assert!(!plan.still_includes(at(0)), "not even one that is on its way");
    assert_eq!(plan.cancellation_reason(at(60), Some(at(60))), Reason::Paused);
    assert_eq!(plan.data().and_then(|data| data.recurrence.as_ref()), None, "no series goes on");

    let resume = envelope(3, at(70));
    let resumed = Change::Update(requested(hourly(at(0))));
    let both = vec![(&pause, &paused), (&resume, &resumed)];
    assert_eq!(required(merge(Some(&known), both, at(70)).as_ref()), [(at(120), true)]);
    let single = Change::Update(requested(data(at(60), &[0])));
    let plan = merge(KNOWN, vec![(&resume, &single)], at(70));
    assert_eq!(required(plan.as_ref()), [(at(60), false)], "it is kept only where it is pending");
}

#[test]
fn adds_missed_times_when_event_is_late() {
    let event = envelope(2, at(30));
    let change = Change::Update(requested(hourly(at(0))));
    let known = Known { passed_until: Some(at(120)), ..known(true) };
    let plan = merge(Some(&known), vec![(&event, &change)], at(130));
    assert_eq!(required(plan.as_ref()), [(at(60), true), (at(120), true), (at(180), true)]);
}

#[test]
fn continues_series_when_much_was_missed() {
    let event = envelope(2, at(30));
    let change = Change::Update(requested(hourly(at(0))));
    let known = Known { passed_until: Some(at(60 * 500)), ..known(true) };
    let plan = merge(Some(&known), vec![(&event, &change)], at(60 * 500 + 10));
    assert_eq!(required(plan.as_ref()).last(), Some(&(at(60 * 501), true)));
}

#[test]
fn keeps_pending_past_time_while_rule_has_it() {
    let event = envelope(2, at(61));
    let known = Known { pending: vec![at(60)], ..known(true) };
    let same = Change::Update(requested(hourly(at(0))));
    assert_eq!(
        required(merge(Some(&known), vec![(&event, &same)], at(61)).as_ref()),
        [(at(60), false), (at(120), true)]
    );
    let moved = Change::Update(requested(hourly(at(10))));
    assert_eq!(
        required(merge(Some(&known), vec![(&event, &moved)], at(61)).as_ref()),
        [(at(70), true)]
    );
}

#[test]
fn requires_snooze_and_not_acknowledged_times() {
    let event = envelope(2, at(61));
    let snooze = Some(contract::Snooze { date: at(60), until: at(70) });
    let snoozed = Change::Update(requested(ReminderData { snooze, ..hourly(at(0)) }));
    assert_eq!(
        required(merge(KNOWN, vec![(&event, &snoozed)], at(61)).as_ref()),
        [(at(70), true), (at(120), true)]
    );
    let acknowledged = ReminderData { acknowledged: Some(at(100)), ..data(at(100), &[0, 60]) };
    let done = Change::Update(requested(acknowledged));
    assert_eq!(required(merge(KNOWN, vec![(&event, &done)], at(61)).as_ref()), []);
}

#[test]
fn keeps_released_time_unless_change_removes_it() {
    let event = envelope(2, at(61));
    let same = Change::Update(requested(hourly(at(0))));
    let plan = merge(KNOWN, vec![(&event, &same)], at(61)).expect("newer");
    assert!(plan.still_includes(at(60)) && !plan.still_includes(at(65)));
    assert!(
        !merge(KNOWN, vec![(&event, &Change::Delete)], at(61))
            .expect("newer")
            .still_includes(at(60))
    );
}

proptest! {
    #[test]
    fn merges_alike_in_any_order(
        steps in prop::collection::vec(
            (1..6_i64, -100..100_i64, -100..100_i64, any::<bool>()), 1..8,
        ),
        keys in prop::collection::vec(any::<u8>(), 8),
    ) {
        let events: Vec<_> = steps
            .iter()
            .map(|(version, made, date, deletes)| {
                let change = if *deletes {
                    Change::Delete
                } else {
                    Change::Update(requested(data(at(*date), &[0, 10])))
                };
                (envelope(*version, at(*made)), change)
            })
            .collect();
        let ordered: Vec<_> = events.iter().map(|(event, change)| (event, change)).collect();
        let mut shuffled = ordered.clone();
        let mut keys = keys.iter().cycle();
        shuffled.sort_by_cached_key(|_| *keys.next().unwrap_or(&0));
        prop_assert_eq!(merge(KNOWN, shuffled, at(0)), merge(KNOWN, ordered, at(0)));
    }
}

#[test]
fn replaces_unsent_occurrence_by_snooze() {
    let event = envelope(2, at(61));
    let snooze = Some(contract::Snooze { date: at(60), until: at(70) });
    for (data, expected) in [
        (data(at(60), &[0, 10]), vec![(at(70), true)]),
        (hourly(at(0)), vec![(at(70), true), (at(120), true)]),
    ] {
        let snoozed = Change::Update(requested(ReminderData { snooze, ..data }));
        let known = Known { pending: vec![at(60)], ..known(true) };
        let plan = merge(Some(&known), vec![(&event, &snoozed)], at(62));
        assert_eq!(required(plan.as_ref()), expected);
        let plan = plan.expect("a change");
        assert!(!plan.still_includes(at(60)), "what was released of it is taken back");
        assert!(plan.still_includes(at(70)));
    }
}

#[test]
fn states_reason_of_cancellation() {
    let event = envelope(2, at(50));
    let reason = |change: &Change, due, date| {
        let plan = merge(KNOWN, vec![(&event, change)], at(50)).expect("a change");
        plan.cancellation_reason(due, date)
    };
    let snooze = Some(contract::Snooze { date: at(60), until: at(70) });
    let data = || data(at(60), &[0]);
    let snoozed = Change::Update(requested(ReminderData { snooze, ..data() }));
    let acknowledged = Some(at(60));
    let acknowledged = Change::Update(requested(ReminderData { acknowledged, ..data() }));
    let edited = Change::Update(requested(data()));
    assert_eq!(reason(&Change::Delete, at(60), Some(at(60))), Reason::Deleted);
    assert_eq!(reason(&snoozed, at(60), None), Reason::Snoozed);
    assert_eq!(reason(&snoozed, at(65), Some(at(60))), Reason::Snoozed, "an earlier snooze");
    assert_eq!(reason(&acknowledged, at(60), None), Reason::Acknowledged);
    assert_eq!(reason(&acknowledged, at(65), Some(at(60))), Reason::Acknowledged);
    assert_eq!(reason(&edited, at(55), Some(at(65))), Reason::Edited);
    assert_eq!(reason(&edited, at(55), None), Reason::Edited, "of an unknown instance");
}

#[test]
fn keeps_later_offsets_when_snoozed() {
    let event = envelope(2, at(51));
    let snooze = Some(contract::Snooze { date: at(60), until: at(55) });
    let snoozed = Change::Update(requested(ReminderData { snooze, ..data(at(60), &[0, 10]) }));
    let known = Known { pending: vec![at(50), at(60)], ..known(true) };
    assert_eq!(
        required(merge(Some(&known), vec![(&event, &snoozed)], at(52)).as_ref()),
        [(at(55), true), (at(60), true)]
    );
}

#[test]
fn replaces_occurrence_when_snoozed_in_same_batch() {
    let (first, second) = (envelope(1, at(0)), envelope(2, at(61)));
    let snooze = Some(contract::Snooze { date: at(60), until: at(70) });
    let created = Change::Create(requested(data(at(60), &[0])));
    let snoozed = Change::Update(requested(ReminderData { snooze, ..data(at(60), &[0]) }));
    let plan = merge(None, vec![(&second, &snoozed), (&first, &created)], at(90));
    assert_eq!(required(plan.as_ref()), [(at(70), true)]);
}

#[test]
fn requires_snooze_when_its_version_is_superseded() {
    // Snoozed at minute 61 until 70; the edit of minute 80 comes first.
    let (edited, created) = (envelope(3, at(80)), envelope(1, at(0)));
    let snooze = Some(contract::Snooze { date: at(60), until: at(70) });
    let edit = Change::Update(requested(ReminderData { snooze, ..data(at(60), &[0]) }));
    let known = Known { changed_at: at(0), pending: vec![at(60)], ..known(true) };
    for known in [Some(&known), None] {
        assert_eq!(
            required(merge(known, vec![(&edited, &edit)], at(81)).as_ref()),
            [(at(70), true)]
        );
    }
    let create = Change::Create(requested(data(at(60), &[0])));
    let plan = merge(None, vec![(&edited, &edit), (&created, &create)], at(81));
    assert_eq!(required(plan.as_ref()), [(at(70), true)], "in one batch with the creation");
}

#[test]
fn omits_past_snooze_when_edited_later() {
    let snooze = Some(contract::Snooze { date: at(60), until: at(70) });
    let edit = Change::Update(requested(ReminderData { snooze, ..data(at(60), &[0]) }));
    let event = envelope(3, at(80));
    let settled = |changed_at| {
        let known = Known { changed_at, ..known(true) };
        required(merge(Some(&known), vec![(&event, &edit)], at(81)).as_ref())
    };
    assert_eq!(settled(at(71)), [(at(70), false)], "the known version has it");
    let event = envelope(3, at(70 + 24 * 60));
    let known = Known { changed_at: at(61), ..known(true) };
    let plan = merge(Some(&known), vec![(&event, &edit)], at(70 + 24 * 60));
    assert_eq!(required(plan.as_ref()), [(at(70), false)], "it was sent, and may be purged");
}

#[test]
fn keeps_later_offset_when_edited_after_snooze() {
    // The offset of minute 50 was snoozed at 51 until 55; that of 60 waits for the end of an
    // outage.
    let snooze = Some(contract::Snooze { date: at(60), until: at(55) });
    let edit = Change::Update(requested(ReminderData { snooze, ..data(at(60), &[0, 10]) }));
    let known = Known { changed_at: at(51), pending: vec![at(60)], ..known(true) };
    let event = envelope(3, at(62));
    let plan = merge(Some(&known), vec![(&event, &edit)], at(62)).expect("a change");
    assert!(plan.deliveries.contains_key(&at(60)) && plan.still_includes(at(60)));
    assert!(!plan.deliveries.contains_key(&at(50)) && !plan.still_includes(at(50)));
}
