use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MISMATCH: Outcome = Outcome::Refused { reason: Reason::Borrowed("SENDER_ID_MISMATCH") };
const FORBIDDEN: Outcome = Outcome::Misconfigured { reason: Reason::Borrowed("PERMISSION_DENIED") };
const AWAY: Outcome =
    Outcome::Unavailable { retry_after: None, reason: Reason::Borrowed("HTTP_502"), maybe_delivered: true };

fn quota(seconds: u64) -> Outcome {
    Outcome::Throttled { retry_after: Some(SECOND * seconds as u32), reason: "QUOTA_EXCEEDED".into() }
}

fn sent() -> Outcome {
    Outcome::Sent { provider_id: "1".to_owned() }
}

fn gate() -> (Gate, Instant) {
    (Gate::new(160, ProbePace { fresh: SECOND, first: SECOND * 5, longest: SECOND * 20 }), Instant::now())
}

/// A device of a user.
fn device(user: u64, device: u64, platform: DeviceType) -> Origin {
    Origin { party: user, address: user * 1_000 + device, platform: Some(platform) }
}

fn android(user: u64) -> Origin {
    device(user, 0, DeviceType::Android)
}

/// Makes an attempt, if it is let in.
fn attempt(gate: &mut Gate, now: Instant, origin: Origin, outcome: &Outcome) -> Option<(Change, Charge)> {
    let is_probe = gate.turn(now) == Turn::Probe;
    if is_probe {
        gate.probe_starts();
    }
    let Admission::Enter(ticket) = gate.admit(now, origin, is_probe) else {
        gate.probe_was_lost();
        return None;
    };
    let learnt = gate.learn(now, &ticket, outcome);
    gate.leave(&ticket);
    Some(learnt)
}

fn is_held(gate: &mut Gate, now: Instant, origin: Origin) -> bool {
    matches!(gate.admit(now, origin, false), Admission::Back(_))
}

#[test]
fn pauses_only_device_when_one_user_is_throttled() {
    let (mut gate, now) = gate();
    for number in 0..50 {
        let (change, charge) = attempt(&mut gate, now, device(1, number, DeviceType::Android), &quota(3_000)).unwrap();
        assert_eq!((change, charge), (Change::Same, Charge::Delivery));
    }
    assert!(is_held(&mut gate, now + SECOND * 2_999, device(1, 7, DeviceType::Android)));
    assert_eq!(gate.turn(now), Turn::Open);
    assert!(attempt(&mut gate, now, android(2), &sent()).is_some());
}

#[test]
fn keeps_window_wide_when_one_user_meets_trouble() {
    let (mut gate, now) = gate();
    (0..100).for_each(|_| assert!(attempt(&mut gate, now, android(1), &AWAY).is_some()));
    assert!(gate.window >= 140, "{}", gate.window);
}

#[test]
fn pauses_channel_when_several_users_are_throttled() {
    let (mut gate, now) = gate();
    for user in 1..=4 {
        assert_eq!(attempt(&mut gate, now, android(user), &quota(30)), Some((Change::Same, Charge::Delivery)));
    }
    let last = attempt(&mut gate, now, android(5), &quota(30));
    assert_eq!(last, Some((Change::Paused(SECOND * 30), Charge::Breaker(SECOND * 30))));
    assert_eq!(gate.turn(now), Turn::Closed(now + SECOND));
    assert_eq!(attempt(&mut gate, now + SECOND * 29, android(5), &sent()), None, "not called early");
    assert_eq!(attempt(&mut gate, now + SECOND * 30, android(5), &sent()).unwrap().0, Change::Recovered);
    assert!(gate.window < 16, "it starts slowly: {}", gate.window);
}

#[test]
fn lets_fresh_user_probe_when_others_paused_channel() {
    let (mut gate, now) = gate();
    for user in 1..=9 {
        attempt(&mut gate, now, android(user), &quota(3_600));
    }
    assert_eq!(gate.turn(now), Turn::Closed(now + SECOND));
    assert_eq!(attempt(&mut gate, now + SECOND, android(10), &sent()).unwrap().0, Change::Recovered);
    assert_eq!(gate.turn(now + SECOND), Turn::Open);
}

#[test]
fn stops_only_platform_when_several_users_are_refused() {
    let (mut gate, now) = gate();
    let ios = |user| device(user, 0, DeviceType::Ios);
    for user in 1..=4 {
        assert_eq!(attempt(&mut gate, now, ios(user), &MISMATCH), Some((Change::Same, Charge::Delivery)));
    }
    let (change, charge) = attempt(&mut gate, now, ios(5), &MISMATCH).unwrap();
    assert_eq!((change, charge), (Change::PlatformStopped(DeviceType::Ios), Charge::Breaker(SECOND * 5)));
    assert!(is_held(&mut gate, now, ios(6)));
    assert!(attempt(&mut gate, now, device(6, 1, DeviceType::Web), &sent()).is_some());
    assert!(attempt(&mut gate, now, android(6), &sent()).is_some());
    let later = now + SECOND;
    assert_eq!(attempt(&mut gate, later, ios(1), &sent()), None, "a user that met it waits longer");
    let change = attempt(&mut gate, later, ios(6), &sent()).unwrap().0;
    assert_eq!(change, Change::PlatformRecovered(DeviceType::Ios));
}

#[test]
fn holds_fresh_user_shortly_when_platform_has_just_stopped() {
    let (mut gate, now) = gate();
    (1..=5).for_each(|user| assert!(attempt(&mut gate, now, android(user), &MISMATCH).is_some()));
    let mut held = |at, user| match gate.admit(at, android(user), false) {
        Admission::Back(hold) => hold.wait,
        other => panic!("{other:?}"),
    };
    assert_eq!((held(now, 9), held(now, 1)), (SECOND / 4, SECOND * 5));
}

#[test]
fn keeps_platform_when_successes_outweigh_refusals() {
    let (mut gate, now) = gate();
    for user in 0..200 {
        let outcome = if user % 4 == 0 { MISMATCH } else { sent() };
        let (change, charge) = attempt(&mut gate, now, android(user), &outcome).unwrap();
        assert_eq!((change, charge), (Change::Same, Charge::Delivery));
    }
    assert!(!gate.is_stopped(DeviceType::Android));
}

#[test]
fn pauses_refused_devices_of_one_user_and_no_others() {
    let (mut gate, now) = gate();
    for number in 0..10 {
        let learnt = attempt(&mut gate, now, device(1, number, DeviceType::Ios), &MISMATCH);
        assert_eq!(learnt, Some((Change::Same, Charge::Delivery)));
    }
    let Admission::Back(hold) = gate.admit(now, device(1, 3, DeviceType::Ios), false) else { panic!("it is let in") };
    assert_eq!((hold.wait, hold.reason.as_deref()), (SECOND * 60, Some("SENDER_ID_MISMATCH")));
    assert!(attempt(&mut gate, now, device(2, 0, DeviceType::Ios), &sent()).is_some());
}

#[test]
fn stops_channel_at_once_when_account_is_refused() {
    let (mut gate, now) = gate();
    let stopped = Some((Change::Stopped, Charge::Breaker(SECOND * 5)));
    assert_eq!(attempt(&mut gate, now, android(1), &FORBIDDEN), stopped);
    assert_eq!(gate.level(now), 2);
    assert!(is_held(&mut gate, now, android(2)));
    assert_eq!(gate.turn(now), Turn::Closed(now + SECOND));
    let still = attempt(&mut gate, now + SECOND, android(2), &FORBIDDEN).unwrap();
    assert_eq!(still, (Change::Same, Charge::Breaker(SECOND * 5)));
    assert_eq!(attempt(&mut gate, now + SECOND * 10, android(1), &sent()).unwrap().0, Change::Recovered);
}

#[test]
fn does_not_believe_user_whose_trouble_was_refuted() {
    let (mut gate, now) = gate();
    attempt(&mut gate, now, android(1), &FORBIDDEN);
    assert_eq!(attempt(&mut gate, now + SECOND, android(2), &sent()).unwrap().0, Change::Recovered);
    let again = attempt(&mut gate, now + SECOND * 7, android(1), &FORBIDDEN);
    assert_eq!(again, Some((Change::Same, Charge::Delivery)));
    assert_eq!(gate.turn(now + SECOND * 7), Turn::Open);
}

#[test]
fn probes_of_known_users_become_rarer_up_to_a_limit() {
    let (mut gate, mut now) = gate();
    attempt(&mut gate, now, android(1), &FORBIDDEN);
    now += SECOND * 5;
    for wait in [10, 20, 20] {
        assert!(attempt(&mut gate, now, android(1), &FORBIDDEN).is_some());
        assert!(attempt(&mut gate, now + SECOND * (wait - 1), android(1), &FORBIDDEN).is_none());
        now += SECOND * wait;
    }
}

#[test]
fn a_probe_that_met_an_outage_says_nothing_about_the_configuration() {
    let (mut gate, now) = gate();
    attempt(&mut gate, now, android(1), &FORBIDDEN);
    assert_eq!(attempt(&mut gate, now + SECOND, android(2), &AWAY), Some((Change::Same, Charge::Delivery)));
    assert_eq!((gate.level(now), gate.turn(now + SECOND)), (2, Turn::Closed(now + SECOND * 2)));
}

#[test]
fn an_outage_narrows_the_window_but_never_shuts_it() {
    let (mut gate, now) = gate();
    (0..200).for_each(|user| assert!(attempt(&mut gate, now, android(user), &AWAY).is_some()));
    assert_eq!(gate.window, 10);
    (0..10).for_each(|user| assert!(matches!(gate.admit(now, android(user), false), Admission::Enter(_))));
    assert_eq!(gate.admit(now, android(11), false), Admission::Wait);
}

#[test]
fn closes_lane_when_quota_of_day_is_used_up() {
    let (mut gate, now) = gate();
    gate.quota_used_up(now, SECOND * 60);
    assert_eq!((gate.turn(now), gate.level(now)), (Turn::Closed(now + SECOND * 60), 1));
    assert!(is_held(&mut gate, now, android(1)));
    assert_eq!((gate.turn(now + SECOND * 60), gate.level(now + SECOND * 60)), (Turn::Open, 0));
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let asked = || prop::option::of(prop_oneof![Just(Duration::MAX), any::<u64>().prop_map(Duration::from_secs)]);
    let reason = || "[A-Z_]{0,12}".prop_map(Reason::from);
    prop_oneof![
        Just(sent()),
        reason().prop_map(|reason| Outcome::Gone { reason }),
        reason().prop_map(|reason| Outcome::Rejected { reason }),
        (asked(), reason()).prop_map(|(retry_after, reason)| Outcome::Throttled { retry_after, reason }),
        (asked(), reason(), any::<bool>()).prop_map(|(retry_after, reason, maybe_delivered)| {
            Outcome::Unavailable { retry_after, reason, maybe_delivered }
        }),
        reason().prop_map(|reason| Outcome::Refused { reason }),
        reason().prop_map(|reason| Outcome::Misconfigured { reason }),
    ]
}

fn platform(number: u8) -> Option<DeviceType> {
    [None, Some(DeviceType::Web), Some(DeviceType::Android), Some(DeviceType::Ios)][usize::from(number % 4)]
}

proptest! {
    #[test]
    fn opens_again_within_an_hour_whatever_happened(
        steps in prop::collection::vec((any_outcome(), 0u64..20, any::<u8>(), 0u64..4_000), 1..120),
    ) {
        let (mut gate, mut now) = gate();
        for (outcome, user, number, pause) in steps {
            now += Duration::from_millis(pause);
            attempt(&mut gate, now, Origin { platform: platform(number), ..android(user) }, &outcome);
            prop_assert_eq!(gate.in_flight(), 0);
            prop_assert!((10..=160).contains(&gate.window));
        }
        // A user that met no trouble gets through as soon as a probe may be made.
        now += SECOND;
        prop_assert!(attempt(&mut gate, now, android(99), &sent()).is_some());
        prop_assert_eq!(gate.turn(now), Turn::Open);
        now += MAX_RETRY_AFTER;
        for user in 0..20 {
            prop_assert!(attempt(&mut gate, now, android(user), &sent()).is_some());
        }
    }
}
