use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use contract::{Channel, NotifyContent, Priority, SendData};
use uuid::Uuid;

use super::*;
use crate::domain::delivery::{Address, DeliveryKey, Dispatch};

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
        as_of: None,
        ended: None,
        content,
    };
    let dispatch = Dispatch {
        user_id: "u".to_owned(),
        user_email: None,
        version: 1,
        send,
        deliveries: 1,
        traceparent: None,
        arrival: None,
    };
    let key = DeliveryKey {
        occurrence_id: Uuid::from_u128(1),
        channel: Channel::Push,
        device_id: Uuid::from_u128(2),
    };
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

fn attempted(outcome: Outcome, attempts: i32) -> DeliveryResult {
    charged(outcome, attempts, Charge::Delivery)
}

fn charged(outcome: Outcome, attempts: i32, charge: Charge) -> DeliveryResult {
    let delivery = delivery(attempts);
    let started = delivery.dispatch.send.due_at;
    let times = AttemptTimes { started, ended: started + TimeDelta::seconds(1) };
    after_attempt(&Policy::default(), delivery, outcome, charge, times, 0.0)
}

fn state_of(result: &DeliveryResult) -> (DeliveryState, Option<Reason>) {
    (result.state(), result.reason())
}

#[test]
fn ends_delivery_as_sent_when_accepted() {
    let result = attempted(Outcome::Sent { provider_id: "m\u{0}-1".to_owned() }, 2);
    assert_eq!((state_of(&result), result.attempts), ((DeliveryState::Sent, None), 3));
    let NewState::Final { provider_message_id, .. } = result.new_state else { panic!("pending") };
    assert_eq!(provider_message_id.as_deref(), Some("m-1"));
}

#[test]
fn reports_dead_token_only_when_device_is_gone() {
    let gone = attempted(Outcome::Gone { reason: Reason::Unregistered }, 0);
    let rejected = attempted(Outcome::Rejected { reason: Reason::InvalidArgument }, 0);
    assert_eq!(
        (state_of(&gone), gone.token_is_dead),
        ((DeliveryState::Failed, Some(Reason::Unregistered)), true)
    );
    assert_eq!(
        (state_of(&rejected), rejected.token_is_dead),
        ((DeliveryState::Failed, Some(Reason::InvalidArgument)), false)
    );
}

#[test]
fn retries_and_counts_attempt_in_outage() {
    let outage =
        Outcome::Unavailable { retry_after: None, reason: Reason::Internal, maybe_delivered: true };
    let result = attempted(outage, 1);
    assert_eq!(
        (state_of(&result), result.attempts),
        ((DeliveryState::Pending, Some(Reason::Internal)), 2)
    );
}

#[test]
fn counts_no_attempt_when_breaker_is_open() {
    let throttled = Outcome::Throttled { retry_after: None, reason: Reason::QuotaExceeded };
    let refused = Outcome::Refused { reason: Reason::ThirdPartyAuthError };
    for outcome in [Outcome::Misconfigured { reason: Reason::PermissionDenied }, throttled, refused]
    {
        let result = charged(outcome, 0, Charge::Breaker(Duration::from_secs(7)));
        assert_eq!(
            (result.state(), result.attempts, result.started_at),
            (DeliveryState::Pending, 0, None)
        );
        let NewState::Pending { next_attempt_at: at, .. } = result.new_state else {
            panic!("the delivery ended")
        };
        assert_eq!(at - result.at, TimeDelta::seconds(7));
    }
}

#[test]
fn fails_with_providers_reason_when_address_stays_refused() {
    let mut delivery = delivery(7);
    let started = delivery.dispatch.send.due_at;
    delivery.first_attempt_at = Some(started - TimeDelta::hours(3));
    let refused = Outcome::Refused { reason: Reason::SenderIdMismatch };
    let times = AttemptTimes { started, ended: started };
    let result = after_attempt(&Policy::default(), delivery, refused, Charge::Delivery, times, 0.0);
    assert_eq!(state_of(&result), (DeliveryState::Failed, Some(Reason::SenderIdMismatch)));
}

fn postponement(fails_persistently: bool) -> Postponement {
    Postponement {
        wait: Duration::from_secs(60),
        reason: Some(Reason::QuotaExceeded),
        fails_persistently,
    }
}

#[test]
fn postpones_delivery_when_address_is_paused() {
    let delivery = delivery(0);
    let due_at = delivery.dispatch.send.due_at;
    let result = postponed(&Policy::default(), delivery, postponement(true), due_at, 0.0);
    assert_eq!(
        (state_of(&result), result.attempts),
        ((DeliveryState::Pending, Some(Reason::QuotaExceeded)), 0)
    );
}

#[test]
fn fails_delivery_when_address_keeps_failing() {
    for (fails_persistently, state) in
        [(true, DeliveryState::Failed), (false, DeliveryState::Pending)]
    {
        let mut delivery = delivery(0);
        let due_at = delivery.dispatch.send.due_at;
        let dispatch = Arc::make_mut(&mut delivery.dispatch);
        dispatch.send.expires_at = due_at + TimeDelta::days(365);
        let result = postponed(
            &Policy::default(),
            delivery,
            postponement(fails_persistently),
            due_at + TimeDelta::hours(2),
            0.0,
        );
        assert_eq!(state_of(&result), (state, Some(Reason::QuotaExceeded)));
    }
}

#[test]
fn suppresses_delivery_that_would_expire() {
    let throttle = Outcome::Throttled {
        retry_after: Some(Duration::from_secs(7_200)),
        reason: Reason::QuotaExceeded,
    };
    assert_eq!(
        state_of(&attempted(throttle, 0)),
        (DeliveryState::Suppressed, Some(Reason::Expired))
    );
}
