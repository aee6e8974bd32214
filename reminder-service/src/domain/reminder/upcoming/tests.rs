use contract::Priority;
use uuid::Uuid;

use super::*;
use crate::domain::reminder::{
    Channels, Details, ExpiresAfter, Message, NotifyOffsets, Pairs, Recurrence, TimeZone, due_date,
};

fn at(text: &str) -> DateTime<Utc> {
    due_date(text).expect("a time")
}

fn reminder(date: &str, offsets: &[i32], rrule: Option<&str>) -> Reminder {
    let offsets =
        NotifyOffsets::from_fields(None, Some(offsets.to_vec())).expect("offsets").expect("given");
    let recurrence = rrule.map(|rrule| Recurrence {
        rrule: rrule.to_owned(),
        exdates: Vec::new(),
        rdates: Vec::new(),
        gap: Default::default(),
        fold: Default::default(),
    });
    let details = Details {
        schedule: Schedule::new(at(date), TimeZone::default(), offsets, recurrence)
            .expect("a schedule"),
        channels: Channels::default(),
        title: None,
        message: Message::parse("Tablets".to_owned()).expect("a message"),
        url: None,
        data: Pairs::default(),
        expires_after: ExpiresAfter::default(),
        priority: Priority::default(),
        locale: None,
    };
    let [created_at, updated_at, scheduled_at] = [DateTime::UNIX_EPOCH; 3];
    let (handled, late_placements) = Default::default();
    Reminder {
        id: Uuid::nil(),
        version: 1,
        created_at,
        updated_at,
        scheduled_at,
        details,
        handled,
        late_placements,
        changed_occurrences: Vec::new(),
        paused_at: None,
    }
}

#[test]
fn refuses_action_before_first_delivery() {
    let reminder = reminder("2026-05-01T08:00:00Z", &[0, 60], None);
    assert_eq!(
        reminder.snooze(at("2026-05-01T06:59:00Z"), at("2026-05-01T09:00:00Z")),
        Err(NothingDelivered)
    );
    assert_eq!(reminder.acknowledge(at("2026-05-01T06:59:00Z")), Err(NothingDelivered));
}

#[test]
fn is_scheduled_until_snooze_was_delivered() {
    let mut reminder = reminder("2026-05-01T08:00:00Z", &[0], None);
    let (now, until) = (at("2026-05-01T08:01:00Z"), at("2026-05-01T08:11:00Z"));
    assert_eq!((reminder.status(now), reminder.next_at(now)), (Status::Completed, None));
    reminder.handled = reminder.snooze(now, until).expect("delivered");
    assert_eq!((reminder.status(now), reminder.next_at(now)), (Status::Scheduled, Some(until)));
    assert_eq!(
        reminder.upcoming(now, now, 5)[0],
        Upcoming { at: at("2026-05-01T08:00:00Z"), deliveries: vec![(None, until)] }
    );
    assert_eq!((reminder.status(until), reminder.next_at(until)), (Status::Completed, None));
}

#[test]
fn is_latest_after_snooze_was_delivered() {
    let mut reminder = reminder("2026-05-01T08:00:00Z", &[0], Some("FREQ=DAILY"));
    reminder.handled =
        reminder.snooze(at("2026-05-02T08:01:00Z"), at("2026-05-03T09:00:00Z")).expect("delivered");
    assert_eq!(reminder.latest(at("2026-05-03T08:30:00Z")), Ok(at("2026-05-03T08:00:00Z")));
    assert_eq!(reminder.latest(at("2026-05-03T09:30:00Z")), Ok(at("2026-05-02T08:00:00Z")));
    assert_eq!(reminder.latest(at("2026-05-04T08:30:00Z")), Ok(at("2026-05-04T08:00:00Z")));
}

#[test]
fn drops_offsets_and_snooze_when_acknowledged() {
    let mut once = reminder("2026-05-01T08:00:00Z", &[0, 60], None);
    let now = at("2026-05-01T07:30:00Z");
    once.handled = once.snooze(now, at("2026-05-01T07:45:00Z")).expect("delivered");
    once.handled = once.acknowledge(now).expect("delivered");
    assert_eq!((once.status(now), once.next_at(now)), (Status::Completed, None));
    assert!(once.upcoming(now, now, 5).is_empty());

    let mut daily = reminder("2026-05-01T08:00:00Z", &[0, 60], Some("FREQ=DAILY"));
    daily.handled = daily.acknowledge(now).expect("delivered");
    assert_eq!(daily.next_at(now), Some(at("2026-05-02T07:00:00Z")));
}

#[test]
fn shows_acknowledgement_until_next_delivery() {
    let mut daily = reminder("2026-05-01T08:00:00Z", &[0, 60], Some("FREQ=DAILY"));
    let (first, again) = (at("2026-05-01T08:10:00Z"), at("2026-05-01T09:00:00Z"));
    daily.handled = daily.acknowledge(first).expect("delivered");
    daily.handled = daily.acknowledge(again).expect("delivered");
    assert_eq!(daily.acknowledged_at(again), Some(first), "a repetition keeps the time");
    let next = at("2026-05-02T07:00:00Z");
    assert_eq!(daily.acknowledged_at(next - TimeDelta::seconds(1)), Some(first));
    assert_eq!(daily.acknowledged_at(next), None);
    daily.handled = daily.acknowledge(next).expect("delivered");
    assert_eq!(daily.acknowledged_at(next), Some(next));
    let until = next + TimeDelta::minutes(5);
    daily.handled = daily.snooze(next, until).expect("delivered");
    assert_eq!((daily.acknowledged_at(next), daily.snoozed_until(next)), (None, Some(until)));
    assert_eq!(daily.snoozed_until(until), None);
}

#[test]
fn hides_past_and_duplicate_deliveries() {
    let hourly = reminder("2026-05-01T08:00:00Z", &[0, 60], Some("FREQ=HOURLY"));
    let now = at("2026-05-01T08:30:00Z");
    let upcoming = hourly.upcoming(now, now, 2);
    assert_eq!(
        upcoming[0],
        Upcoming {
            at: at("2026-05-01T09:00:00Z"),
            deliveries: vec![(Some(0), at("2026-05-01T09:00:00Z"))]
        }
    );
    assert_eq!(
        upcoming[1].deliveries,
        [(Some(0), at("2026-05-01T10:00:00Z"))],
        "09:00 is the earlier one's own"
    );
}

#[test]
fn refuses_snooze_when_nothing_was_delivered_since() {
    let mut series = reminder("2026-05-01T08:00:00Z", &[0], Some("FREQ=DAILY"));
    series.scheduled_at = at("2026-05-03T08:00:00Z");
    let until = at("2026-05-05T00:00:00Z");
    assert_eq!(series.snooze(at("2026-05-04T07:59:00Z"), until), Err(NothingDelivered));
    assert_eq!(series.acknowledge(at("2026-05-04T07:59:00Z")), Err(NothingDelivered));
    assert_eq!(series.latest(at("2026-05-04T08:00:00Z")), Ok(at("2026-05-04T08:00:00Z")));

    let mut once = reminder("2026-05-01T08:00:00Z", &[10, 60], None);
    once.scheduled_at = at("2026-05-01T07:30:00Z");
    assert_eq!(once.acknowledge(at("2026-05-01T07:49:00Z")), Err(NothingDelivered));
    assert_eq!(once.latest(at("2026-05-01T07:50:00Z")), Ok(at("2026-05-01T08:00:00Z")));
}

#[test]
fn shows_dense_rules_without_walking_over_them() {
    let all = |most: u32| (0..most).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let rrule =
        format!("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR={};BYMINUTE={}", all(24), all(60));
    let dense = reminder("2026-05-01T08:00:00Z", &[0, 1, 2, 1_440, 40_320], Some(&rrule));
    let now = at("2026-07-01T08:00:30Z");
    let upcoming = dense.upcoming(now, now, 100);
    assert_eq!(upcoming.len(), 100);
    assert_eq!(upcoming[99].deliveries, [(Some(0), at("2026-07-01T09:40:00Z"))]);
}

/// Time of the last delivery, on 2026-05-01 or the day that is given.
fn last(reminder: &Reminder, now: &str) -> Option<String> {
    let last = reminder.last_delivery(at(now))?;
    Some(last.at.format("%dT%H:%M").to_string())
}

#[test]
fn finds_last_delivery_that_was_due() {
    let mut reminder = reminder("2026-05-01T08:00:00Z", &[0, 60], Some("FREQ=DAILY;COUNT=3"));
    for (now, expected) in [
        ("2026-05-01T06:59:59.999Z", None),
        ("2026-05-01T07:00:00Z", Some("01T07:00")),
        ("2026-05-01T08:00:00Z", Some("01T08:00")),
        ("2026-05-02T07:30:00Z", Some("02T07:00")),
        ("2027-01-01T00:00:00Z", Some("03T08:00")),
    ] {
        assert_eq!(last(&reminder, now).as_deref(), expected, "{now}");
    }
    // What was due before the schedule was set was never sent.
    reminder.scheduled_at = at("2026-05-01T07:00:00Z");
    assert_eq!(last(&reminder, "2026-05-01T07:59:00Z"), None);
    assert_eq!(last(&reminder, "2026-05-01T08:00:00Z").as_deref(), Some("01T08:00"));
    // Nor is what falls into a pause.
    reminder.paused_at = Some(at("2026-05-02T06:00:00Z"));
    assert_eq!(last(&reminder, "2026-05-03T10:00:00Z").as_deref(), Some("01T08:00"));
}

#[test]
fn leaves_acknowledged_deliveries_out_of_last_one() {
    let mut reminder = reminder("2026-05-01T08:00:00Z", &[0, 60], Some("FREQ=DAILY"));
    reminder.handled = reminder.acknowledge(at("2026-05-01T07:10:00Z")).expect("acknowledged");
    for (now, expected) in [
        ("2026-05-01T07:20:00Z", "01T07:00"),
        ("2026-05-01T09:00:00Z", "01T07:00"),
        ("2026-05-02T07:00:00Z", "02T07:00"),
    ] {
        assert_eq!(last(&reminder, now).as_deref(), Some(expected), "{now}");
    }
}

#[test]
fn counts_snooze_as_last_delivery_once_it_ended() {
    let mut reminder = reminder("2026-05-01T08:00:00Z", &[0], None);
    let until = at("2026-05-01T09:00:00Z");
    reminder.handled = reminder.snooze(at("2026-05-01T08:10:00Z"), until).expect("snoozed");
    assert_eq!(last(&reminder, "2026-05-01T08:59:00Z").as_deref(), Some("01T08:00"));
    assert_eq!(last(&reminder, "2026-05-01T09:00:00Z").as_deref(), Some("01T09:00"));
    let placed =
        LatePlacement { date: at("2026-05-01T08:00:00Z"), placed_at: at("2026-05-01T08:00:00Z") };
    (reminder.handled, reminder.late_placements) = (Handled::default(), vec![placed]);
    assert_eq!(last(&reminder, "2026-05-01T09:00:00Z"), None, "it passed before it was placed");
}

#[test]
fn names_last_delivery_as_other_services_do() {
    let reminder = reminder("2026-05-01T08:00:00Z", &[60], None);
    let expires = ["2026-05-02T06:59:59.999Z", "2026-05-02T07:00:00Z"];
    for (now, is_expired) in expires.into_iter().zip([false, true]) {
        let last = reminder.last_delivery(at(now)).expect("a delivery");
        let id = "0".repeat(32);
        let known = contract::occurrence_id("reminder", &id, at("2026-05-01T07:00:00Z"));
        assert_eq!((last.occurrence_id, last.is_expired), (known, is_expired), "{now}");
    }
}
