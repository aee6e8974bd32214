mod hostile_users;

use proptest::prelude::*;

use super::*;
use crate::channels::outcome::{MAX_RETRY_AFTER, Outcome};

const SECOND: Duration = Duration::from_secs(1);
const MISMATCH: Outcome = Outcome::Refused { reason: Reason::SenderIdMismatch };
const FORBIDDEN: Outcome = Outcome::Misconfigured { reason: Reason::PermissionDenied };
const KEY_REFUSED: Outcome = Outcome::KeyRefused { reason: Reason::OauthInvalidGrant };
const OUTAGE: Outcome =
    Outcome::Unavailable { retry_after: None, reason: Reason::Unavailable, maybe_delivered: true };

fn quota(seconds: u64) -> Outcome {
    Outcome::Throttled { retry_after: Some(SECOND * seconds as u32), reason: Reason::QuotaExceeded }
}

fn sent() -> Outcome {
    Outcome::Sent { provider_id: "1".to_owned() }
}

fn admission() -> (AdmissionControl, Instant) {
    (
        AdmissionControl::new(
            160,
            ProbeIntervals { fresh: SECOND, first: SECOND * 5, longest: SECOND * 20 },
        ),
        Instant::now(),
    )
}

/// A device of a user.
fn device(user: u64, device: u64, platform: DeviceType) -> AttemptTarget {
    AttemptTarget { user, address: user * 1_000 + device, platform: Some(platform) }
}

fn android(user: u64) -> AttemptTarget {
    device(user, 0, DeviceType::Android)
}

/// Makes an attempt, if it is admitted.
fn attempt(
    admission: &mut AdmissionControl,
    now: Instant,
    target: AttemptTarget,
    outcome: &Outcome,
) -> Option<(Transition, Charge)> {
    let Admission::Admitted(ticket) = admission.admit(now, target) else { return None };
    let applied = admission.apply(now, &ticket, outcome);
    admission.leave(&ticket);
    Some(applied)
}

fn is_postponed(admission: &mut AdmissionControl, now: Instant, target: AttemptTarget) -> bool {
    matches!(admission.admit(now, target), Admission::Postponed(_))
}

#[test]
fn pauses_only_device_when_one_user_is_throttled() {
    let (mut admission, now) = admission();
    for number in 0..50 {
        let (change, charge) =
            attempt(&mut admission, now, device(1, number, DeviceType::Android), &quota(3_000))
                .unwrap();
        assert_eq!((change, charge), (Transition::Unchanged, Charge::Delivery));
    }
    assert!(is_postponed(&mut admission, now + SECOND * 2_999, device(1, 7, DeviceType::Android)));
    assert_eq!(admission.state(now), BreakerState::Closed);
    assert!(attempt(&mut admission, now, android(2), &sent()).is_some());
}

#[test]
fn keeps_limit_high_when_one_user_fails() {
    let (mut admission, now) = admission();
    (0..100).for_each(|_| assert!(attempt(&mut admission, now, android(1), &OUTAGE).is_some()));
    assert!(admission.concurrency.limit() >= 140, "{}", admission.concurrency.limit());
}

#[test]
fn pauses_channel_when_several_users_are_throttled() {
    let (mut admission, now) = admission();
    for user in 1..=4 {
        assert_eq!(
            attempt(&mut admission, now, android(user), &quota(30)),
            Some((Transition::Unchanged, Charge::Delivery))
        );
    }
    let last = attempt(&mut admission, now, android(5), &quota(30));
    assert_eq!(last, Some((Transition::Throttled(SECOND * 30), Charge::Breaker(SECOND * 30))));
    assert_eq!(admission.state(now), BreakerState::Open(now + SECOND / 10));
    assert_eq!(
        attempt(&mut admission, now + SECOND * 29, android(5), &sent()),
        None,
        "not called early"
    );
    assert_eq!(
        attempt(&mut admission, now + SECOND * 30, android(5), &sent()).unwrap().0,
        Transition::Closed
    );
    assert!(
        admission.concurrency.limit() < 40,
        "the limit starts low: {}",
        admission.concurrency.limit()
    );
}

#[test]
fn lets_fresh_user_probe_when_channel_is_paused() {
    let (mut admission, now) = admission();
    for user in 1..=9 {
        attempt(&mut admission, now, android(user), &quota(3_600));
    }
    assert_eq!(admission.state(now), BreakerState::Open(now + SECOND / 10));
    let soon = now + SECOND / 10;
    assert_eq!(attempt(&mut admission, soon, android(10), &sent()).unwrap().0, Transition::Closed);
    assert_eq!(admission.state(soon), BreakerState::Closed);
}

#[test]
fn stops_only_platform_when_several_users_are_refused() {
    let (mut admission, now) = admission();
    let ios = |user| device(user, 0, DeviceType::Ios);
    for user in 1..=4 {
        assert_eq!(
            attempt(&mut admission, now, ios(user), &MISMATCH),
            Some((Transition::Unchanged, Charge::Delivery))
        );
    }
    let (change, charge) = attempt(&mut admission, now, ios(5), &MISMATCH).unwrap();
    assert_eq!(
        (change, charge),
        (Transition::PlatformOpened(DeviceType::Ios), Charge::Breaker(SECOND * 5))
    );
    assert!(is_postponed(&mut admission, now, ios(6)));
    assert!(attempt(&mut admission, now, device(6, 1, DeviceType::Web), &sent()).is_some());
    assert!(attempt(&mut admission, now, android(6), &sent()).is_some());
    let later = now + SECOND;
    assert_eq!(
        attempt(&mut admission, later, ios(1), &sent()),
        None,
        "a user who met the failure waits longer"
    );
    let change = attempt(&mut admission, later, ios(6), &sent()).unwrap().0;
    assert_eq!(change, Transition::PlatformClosed(DeviceType::Ios));
}

#[test]
fn delays_fresh_user_shortly_when_platform_opened() {
    let (mut admission, now) = admission();
    (1..=5)
        .for_each(|user| assert!(attempt(&mut admission, now, android(user), &MISMATCH).is_some()));
    let mut wait = |at, user| match admission.admit(at, android(user)) {
        Admission::Postponed(postponement) => postponement.wait,
        other => panic!("{other:?}"),
    };
    assert_eq!((wait(now, 9), wait(now, 1)), (SECOND / 10, SECOND * 5));
    let longest = (10..10_000).map(|user| wait(now, user)).max();
    assert!(longest > Some(SECOND * 9), "many retry one after the other: {longest:?}");
}

#[test]
fn keeps_platform_when_successes_outweigh_refusals() {
    let (mut admission, now) = admission();
    for user in 0..200 {
        let outcome = if user % 4 == 0 { MISMATCH } else { sent() };
        let (change, charge) = attempt(&mut admission, now, android(user), &outcome).unwrap();
        assert_eq!((change, charge), (Transition::Unchanged, Charge::Delivery));
    }
    assert!(!admission.is_platform_open(DeviceType::Android));
}

#[test]
fn pauses_only_refused_devices_of_one_user() {
    let (mut admission, now) = admission();
    for number in 0..10 {
        let applied = attempt(&mut admission, now, device(1, number, DeviceType::Ios), &MISMATCH);
        assert_eq!(applied, Some((Transition::Unchanged, Charge::Delivery)));
    }
    let Admission::Postponed(paused) = admission.admit(now, device(1, 3, DeviceType::Ios)) else {
        panic!("the attempt is admitted")
    };
    assert_eq!((paused.wait, paused.reason), (SECOND * 60, Some(Reason::SenderIdMismatch)));
    assert!(attempt(&mut admission, now, device(2, 0, DeviceType::Ios), &sent()).is_some());
}

#[test]
fn stops_channel_at_once_when_account_is_refused() {
    let (mut admission, now) = admission();
    let stopped = Some((Transition::Opened, Charge::Breaker(SECOND * 5)));
    assert_eq!(attempt(&mut admission, now, android(1), &FORBIDDEN), stopped);
    assert_eq!(admission.level(now), 2);
    assert!(is_postponed(&mut admission, now, android(2)));
    assert_eq!(admission.state(now), BreakerState::Open(now + SECOND / 10));
    let still = attempt(&mut admission, now + SECOND, android(2), &FORBIDDEN).unwrap();
    assert_eq!(still, (Transition::Unchanged, Charge::Breaker(SECOND * 5)));
    assert_eq!(
        attempt(&mut admission, now + SECOND * 10, android(1), &sent()).unwrap().0,
        Transition::Closed
    );
}

#[test]
fn ignores_user_whose_failure_was_refuted() {
    let (mut admission, now) = admission();
    attempt(&mut admission, now, android(1), &FORBIDDEN);
    assert_eq!(
        attempt(&mut admission, now + SECOND, android(2), &sent()).unwrap().0,
        Transition::Closed
    );
    let again = attempt(&mut admission, now + SECOND * 7, android(1), &FORBIDDEN);
    assert_eq!(again, Some((Transition::Unchanged, Charge::Delivery)));
    assert_eq!(admission.state(now + SECOND * 7), BreakerState::Closed);
}

#[test]
fn doubles_distance_of_probes_up_to_limit() {
    let (mut admission, mut now) = admission();
    attempt(&mut admission, now, android(1), &FORBIDDEN);
    now += SECOND * 5;
    for wait in [10, 20, 20] {
        assert!(attempt(&mut admission, now, android(1), &FORBIDDEN).is_some());
        assert!(
            attempt(&mut admission, now + SECOND * (wait - 1), android(1), &FORBIDDEN).is_none()
        );
        now += SECOND * wait;
    }
}

#[test]
fn stays_open_when_probe_meets_outage() {
    let (mut admission, now) = admission();
    attempt(&mut admission, now, android(1), &FORBIDDEN);
    assert_eq!(
        attempt(&mut admission, now + SECOND, android(2), &OUTAGE),
        Some((Transition::Unchanged, Charge::Delivery))
    );
    assert_eq!(
        (admission.level(now), admission.state(now + SECOND)),
        (2, BreakerState::Open(now + SECOND * 11 / 10))
    );
    assert!(
        is_postponed(&mut admission, now + SECOND * 2, android(2)),
        "others probe before the same user does again"
    );
    assert_eq!(
        attempt(&mut admission, now + SECOND * 2, android(3), &sent()).unwrap().0,
        Transition::Closed
    );
}

#[test]
fn stops_channel_at_once_when_key_is_refused() {
    let (mut admission, now) = admission();
    (0..100)
        .for_each(|user| assert!(attempt(&mut admission, now, android(user), &sent()).is_some()));
    let stopped = Some((Transition::Opened, Charge::Breaker(SECOND * 5)));
    assert_eq!(attempt(&mut admission, now, android(1), &KEY_REFUSED), stopped);
    assert_eq!(admission.level(now), 2);
}

#[test]
fn stops_channel_when_most_users_are_refused() {
    let (mut admission, now) = admission();
    (0..30)
        .for_each(|user| assert!(attempt(&mut admission, now, android(user), &sent()).is_some()));
    let refused = (0..30).map(|user| attempt(&mut admission, now, android(user), &FORBIDDEN));
    let changes: Vec<_> = refused.flatten().map(|(change, _)| change).collect();
    assert_eq!(
        changes.iter().position(|change| *change == Transition::Opened),
        Some(15),
        "{changes:?}"
    );
}

#[test]
fn probes_again_while_probe_is_unanswered() {
    let (mut admission, now) = admission();
    (1..=5)
        .for_each(|user| assert!(attempt(&mut admission, now, android(user), &MISMATCH).is_some()));
    let hung = admission.admit(now + SECOND / 10, android(6));
    assert!(matches!(hung, Admission::Admitted(Ticket { probes_platform: true, .. })), "{hung:?}");
    let change = attempt(&mut admission, now + SECOND / 5, android(7), &sent()).unwrap().0;
    assert_eq!(change, Transition::PlatformClosed(DeviceType::Android));
}

#[test]
fn ignores_success_that_began_before_opening() {
    let (mut admission, now) = admission();
    let Admission::Admitted(before) = admission.admit(now, android(9)) else {
        panic!("the attempt is postponed")
    };
    let later = now + SECOND;
    (1..=5).for_each(|user| {
        assert!(attempt(&mut admission, later, android(user), &MISMATCH).is_some())
    });
    assert_eq!(admission.apply(later, &before, &sent()).0, Transition::Unchanged);
    assert!(admission.is_platform_open(DeviceType::Android));
}

#[test]
fn keeps_limit_high_when_most_users_succeed() {
    let (mut admission, now) = admission();
    for round in 0..60 {
        let now = now + SECOND * round;
        (100..140).for_each(|user| {
            assert!(attempt(&mut admission, now, android(user), &sent()).is_some())
        });
        (0..20).for_each(|user| {
            assert!(attempt(&mut admission, now, android(user), &OUTAGE).is_some())
        });
    }
    assert_eq!(admission.concurrency.limit(), 160);
}

#[test]
fn keeps_least_limit_in_outage() {
    let (mut admission, now) = admission();
    (0..200)
        .for_each(|user| assert!(attempt(&mut admission, now, android(user), &OUTAGE).is_some()));
    assert_eq!(admission.concurrency.limit(), 32);
    (0..32).for_each(|user| {
        assert!(matches!(admission.admit(now, android(user)), Admission::Admitted(_)))
    });
    assert_eq!(admission.admit(now, android(40)), Admission::Wait);
}

#[test]
fn stops_channel_when_daily_quota_is_used_up() {
    let (mut admission, now) = admission();
    admission.quota_used_up(now, SECOND * 60);
    assert_eq!(
        (admission.state(now), admission.level(now)),
        (BreakerState::Open(now + SECOND * 60), 1)
    );
    assert!(is_postponed(&mut admission, now, android(1)));
    assert_eq!(
        (admission.state(now + SECOND * 60), admission.level(now + SECOND * 60)),
        (BreakerState::Closed, 0)
    );
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let asked = || {
        prop::option::of(prop_oneof![
            Just(Duration::MAX),
            any::<u64>().prop_map(Duration::from_secs)
        ])
    };
    let reason = || prop::sample::select(Reason::ALL);
    prop_oneof![
        Just(sent()),
        reason().prop_map(|reason| Outcome::Gone { reason }),
        reason().prop_map(|reason| Outcome::Rejected { reason }),
        (asked(), reason())
            .prop_map(|(retry_after, reason)| Outcome::Throttled { retry_after, reason }),
        (asked(), reason(), any::<bool>()).prop_map(|(retry_after, reason, maybe_delivered)| {
            Outcome::Unavailable { retry_after, reason, maybe_delivered }
        }),
        reason().prop_map(|reason| Outcome::Refused { reason }),
        reason().prop_map(|reason| Outcome::Misconfigured { reason }),
        reason().prop_map(|reason| Outcome::KeyRefused { reason }),
    ]
}

fn platform(number: u8) -> Option<DeviceType> {
    [None, Some(DeviceType::Web), Some(DeviceType::Android), Some(DeviceType::Ios)]
        [usize::from(number % 4)]
}

proptest! {
    #[test]
    fn closes_again_within_an_hour(
        steps in prop::collection::vec((any_outcome(), 0u64..20, any::<u8>(), 0u64..4_000), 1..120),
    ) {
        let (mut admission, mut now) = admission();
        for (outcome, user, number, pause) in steps {
            now += Duration::from_millis(pause);
            let target = AttemptTarget { platform: platform(number), ..android(user) };
            attempt(&mut admission, now, target, &outcome);
            prop_assert_eq!(admission.in_flight(), 0);
            prop_assert!((32..=160).contains(&admission.concurrency.limit()));
        }
        // A user who met no failure is admitted as soon as a probe may be made.
        now += SECOND;
        prop_assert!(attempt(&mut admission, now, android(99), &sent()).is_some());
        prop_assert_eq!(admission.state(now), BreakerState::Closed);
        now += MAX_RETRY_AFTER;
        for user in 0..20 {
            prop_assert!(attempt(&mut admission, now, android(user), &sent()).is_some());
        }
    }
}
