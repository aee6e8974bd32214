use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use shared::contract::{Channel, NotifyContent, Priority, SendData};
use uuid::Uuid;

use super::*;
use crate::delivery::{Address, DeliveryKey, Dispatch};

fn delivery(attempts: i32) -> Delivery {
    let due_at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let content = NotifyContent {
        channels: vec![Channel::Push],
        title: None,
        message: "Water the plants".to_owned(),
        url: None,
        data: Default::default(),
        priority: Priority::Normal,
        locale: None,
        time_zone: "UTC".to_owned(),
        expires_after_minutes: 60,
    };
    let send = SendData {
        occurrence_id: Uuid::from_u128(1).simple(),
        source: "reminder".to_owned(),
        item_id: "a".parse().expect("an id"),
        due_at,
        date: due_at,
        expires_at: due_at + TimeDelta::hours(1),
        item_changed_at: None,
        content,
    };
    let dispatch =
        Dispatch { user_id: "u".to_owned(), user_email: None, version: 1, send, deliveries: 1, traceparent: None };
    let key = DeliveryKey { occurrence_id: Uuid::from_u128(1), channel: Channel::Push, device_id: Uuid::from_u128(2) };
    let address = Address::Mailbox("u@example.com".to_owned());
    Delivery {
        key,
        dispatch: Arc::new(dispatch),
        address,
        attempts,
        first_attempt_at: None,
        fence: 0,
        deferred_until: None,
    }
}

fn judged(outcome: Outcome, attempts: i32) -> (Record, Sign) {
    let delivery = delivery(attempts);
    let started = delivery.dispatch.send.due_at;
    judge(&Policy::default(), delivery, outcome, Times { started, ended: started + TimeDelta::seconds(1) }, 0.0)
}

fn ended_as(record: &Record) -> (DeliveryState, Option<&str>) {
    (record.state(), record.reason())
}

#[test]
fn an_acceptance_ends_it_and_speaks_for_the_lane() {
    let (record, sign) = judged(Outcome::Sent { provider_id: "m\u{0}-1".to_owned() }, 2);
    assert_eq!((ended_as(&record), record.attempts, sign), ((DeliveryState::Sent, None), 3, Sign::Healthy));
    assert!(matches!(record.verdict, Verdict::Ended { provider_message_id: Some(id), .. } if id == "m-1"));
}

#[test]
fn only_a_dead_token_is_held_against_the_device() {
    let (gone, _) = judged(Outcome::Gone { reason: "UNREGISTERED".into() }, 0);
    let (rejected, _) = judged(Outcome::Rejected { reason: "INVALID_ARGUMENT".into() }, 0);
    assert_eq!((ended_as(&gone), gone.token_is_dead), ((DeliveryState::Failed, Some("UNREGISTERED")), true));
    assert_eq!(
        (ended_as(&rejected), rejected.token_is_dead),
        ((DeliveryState::Failed, Some("INVALID_ARGUMENT")), false)
    );
}

#[test]
fn an_outage_is_tried_again_and_counted() {
    let outage = Outcome::Unavailable { retry_after: None, reason: "INTERNAL".into(), maybe_delivered: true };
    let (record, sign) = judged(outage, 1);
    assert_eq!((ended_as(&record), record.attempts), ((DeliveryState::Pending, Some("INTERNAL")), 2));
    assert_eq!(sign, Sign::Troubled);
}

#[test]
fn a_throttle_pauses_the_lane_for_as_long_as_was_asked_or_a_minute() {
    let throttle = |retry_after| Outcome::Throttled { retry_after, reason: "QUOTA_EXCEEDED".into() };
    assert_eq!(judged(throttle(Some(Duration::from_secs(7))), 0).1, Sign::Throttled(Duration::from_secs(7)));
    assert_eq!(judged(throttle(None), 0).1, Sign::Throttled(Duration::from_secs(60)));
}

#[test]
fn what_is_no_fault_of_the_message_burns_no_attempt() {
    let paced = Outcome::Throttled { retry_after: Some(Duration::from_secs(1)), reason: PACED.into() };
    for outcome in [Outcome::Misconfigured { reason: "PERMISSION_DENIED".into() }, paced] {
        let (record, _) = judged(outcome, 0);
        assert_eq!((record.state(), record.attempts, record.started_at), (DeliveryState::Pending, 0, None));
    }
}

#[test]
fn what_has_no_time_left_fails() {
    let throttle =
        Outcome::Throttled { retry_after: Some(Duration::from_secs(7_200)), reason: "QUOTA_EXCEEDED".into() };
    assert_eq!(ended_as(&judged(throttle, 0).0), (DeliveryState::Suppressed, Some("EXPIRED")));
}
