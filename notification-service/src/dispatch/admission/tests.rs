use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MISMATCH: Outcome = Outcome::Refused { reason: Reason::Borrowed("SENDER_ID_MISMATCH") };
const FORBIDDEN: Outcome = Outcome::Misconfigured { reason: Reason::Borrowed("PERMISSION_DENIED") };
const KEY_REFUSED: Outcome =
    Outcome::KeyRefused { reason: Reason::Borrowed("OAUTH_INVALID_GRANT") };
const AWAY: Outcome = Outcome::Unavailable {
    retry_after: None,
    reason: Reason::Borrowed("HTTP_502"),
    maybe_delivered: true,
};

fn quota(seconds: u64) -> Outcome {
    Outcome::Throttled {
        retry_after: Some(SECOND * seconds as u32),
        reason: "QUOTA_EXCEEDED".into(),
    }
}

fn sent() -> Outcome {
    Outcome::Sent { provider_id: "1".to_owned() }
}

fn gate() -> (Gate, Instant) {
    (
        Gate::new(160, ProbePace { fresh: SECOND, first: SECOND * 5, longest: SECOND * 20 }),
        Instant::now(),
    )
}

/// A device of a user.
fn device(user: u64, device: u64, platform: DeviceType) -> Origin {
    Origin { party: user, address: user * 1_000 + device, platform: Some(platform) }
}

fn android(user: u64) -> Origin {
    device(user, 0, DeviceType::Android)
}

/// Makes an attempt, if it is let in.
fn attempt(
    gate: &mut Gate,
    now: Instant,
    origin: Origin,
    outcome: &Outcome,
) -> Option<(Change, Charge)> {
    let Admission::Enter(ticket) = gate.admit(now, origin) else { return None };
    let learnt = gate.learn(now, &ticket, outcome);
    gate.leave(&ticket);
    Some(learnt)
}

fn is_held(gate: &mut Gate, now: Instant, origin: Origin) -> bool {
    matches!(gate.admit(now, origin), Admission::Back(_))
}

#[test]
fn pauses_only_device_when_one_user_is_throttled() {
    let (mut gate, now) = gate();
    for number in 0..50 {
        let (change, charge) =
            attempt(&mut gate, now, device(1, number, DeviceType::Android), &quota(3_000)).unwrap();
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
        assert_eq!(
            attempt(&mut gate, now, android(user), &quota(30)),
            Some((Change::Same, Charge::Delivery))
        );
    }
    let last = attempt(&mut gate, now, android(5), &quota(30));
    assert_eq!(last, Some((Change::Paused(SECOND * 30), Charge::Breaker(SECOND * 30))));
    assert_eq!(gate.turn(now), Turn::Closed(now + SECOND / 10));
    assert_eq!(
        attempt(&mut gate, now + SECOND * 29, android(5), &sent()),
        None,
        "not called early"
    );
    assert_eq!(
        attempt(&mut gate, now + SECOND * 30, android(5), &sent()).unwrap().0,
        Change::Recovered
    );
    assert!(gate.window < 40, "it starts slowly: {}", gate.window);
}

#[test]
fn lets_fresh_user_probe_when_others_paused_channel() {
    let (mut gate, now) = gate();
    for user in 1..=9 {
        attempt(&mut gate, now, android(user), &quota(3_600));
    }
    assert_eq!(gate.turn(now), Turn::Closed(now + SECOND / 10));
    let soon = now + SECOND / 10;
    assert_eq!(attempt(&mut gate, soon, android(10), &sent()).unwrap().0, Change::Recovered);
    assert_eq!(gate.turn(soon), Turn::Open);
}

#[test]
fn stops_only_platform_when_several_users_are_refused() {
    let (mut gate, now) = gate();
    let ios = |user| device(user, 0, DeviceType::Ios);
    for user in 1..=4 {
        assert_eq!(
            attempt(&mut gate, now, ios(user), &MISMATCH),
            Some((Change::Same, Charge::Delivery))
        );
    }
    let (change, charge) = attempt(&mut gate, now, ios(5), &MISMATCH).unwrap();
    assert_eq!(
        (change, charge),
        (Change::PlatformStopped(DeviceType::Ios), Charge::Breaker(SECOND * 5))
    );
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
    let mut held = |at, user| match gate.admit(at, android(user)) {
        Admission::Back(hold) => hold.wait,
        other => panic!("{other:?}"),
    };
    assert_eq!((held(now, 9), held(now, 1)), (SECOND / 10, SECOND * 5));
    let longest = (10..10_000).map(|user| held(now, user)).max();
    assert!(longest > Some(SECOND * 9), "many look again one after the other: {longest:?}");
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
    let Admission::Back(hold) = gate.admit(now, device(1, 3, DeviceType::Ios)) else {
        panic!("it is let in")
    };
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
    assert_eq!(gate.turn(now), Turn::Closed(now + SECOND / 10));
    let still = attempt(&mut gate, now + SECOND, android(2), &FORBIDDEN).unwrap();
    assert_eq!(still, (Change::Same, Charge::Breaker(SECOND * 5)));
    assert_eq!(
        attempt(&mut gate, now + SECOND * 10, android(1), &sent()).unwrap().0,
        Change::Recovered
    );
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
    assert_eq!(
        attempt(&mut gate, now + SECOND, android(2), &AWAY),
        Some((Change::Same, Charge::Delivery))
    );
    assert_eq!(
        (gate.level(now), gate.turn(now + SECOND)),
        (2, Turn::Closed(now + SECOND * 11 / 10))
    );
    assert!(
        is_held(&mut gate, now + SECOND * 2, android(2)),
        "others probe before the same user does again"
    );
    assert_eq!(
        attempt(&mut gate, now + SECOND * 2, android(3), &sent()).unwrap().0,
        Change::Recovered
    );
}

#[test]
fn stops_channel_at_once_when_key_is_refused() {
    let (mut gate, now) = gate();
    (0..100).for_each(|user| assert!(attempt(&mut gate, now, android(user), &sent()).is_some()));
    let stopped = Some((Change::Stopped, Charge::Breaker(SECOND * 5)));
    assert_eq!(attempt(&mut gate, now, android(1), &KEY_REFUSED), stopped);
    assert_eq!(gate.level(now), 2);
}

#[test]
fn stops_channel_when_most_users_are_refused() {
    let (mut gate, now) = gate();
    (0..30).for_each(|user| assert!(attempt(&mut gate, now, android(user), &sent()).is_some()));
    let refused = (0..30).map(|user| attempt(&mut gate, now, android(user), &FORBIDDEN));
    let changes: Vec<_> = refused.flatten().map(|(change, _)| change).collect();
    assert_eq!(
        changes.iter().position(|change| *change == Change::Stopped),
        Some(15),
        "{changes:?}"
    );
}

#[test]
fn probes_go_on_beside_probe_that_is_not_answered() {
    let (mut gate, now) = gate();
    (1..=5).for_each(|user| assert!(attempt(&mut gate, now, android(user), &MISMATCH).is_some()));
    let hung = gate.admit(now + SECOND / 10, android(6));
    assert!(matches!(hung, Admission::Enter(Ticket { probes_platform: true, .. })), "{hung:?}");
    let change = attempt(&mut gate, now + SECOND / 5, android(7), &sent()).unwrap().0;
    assert_eq!(change, Change::PlatformRecovered(DeviceType::Android));
}

#[test]
fn ignores_success_that_began_before_breaker() {
    let (mut gate, now) = gate();
    let Admission::Enter(before) = gate.admit(now, android(9)) else { panic!("it is held") };
    let later = now + SECOND;
    (1..=5).for_each(|user| assert!(attempt(&mut gate, later, android(user), &MISMATCH).is_some()));
    assert_eq!(gate.learn(later, &before, &sent()).0, Change::Same);
    assert!(gate.is_stopped(DeviceType::Android));
}

/// Lets so many users meet trouble with each attempt, ten times a second each, beside others of
/// whom each second `good` ones succeed, for ten minutes. Returns how often something stopped or
/// paused, and the attempts of the first.
fn with_hostile_users(hostile: u64, good: u64, outcome: &Outcome) -> (usize, usize) {
    let (mut gate, start) = gate();
    let (mut stops, mut attempts) = (0, 0);
    for tick in 0..6_000u64 {
        let now = start + SECOND * tick as u32 / 10;
        let due = if good >= 10 { good / 10 } else { u64::from(tick % 10 < good) };
        for number in 0..due {
            let user = 1_000 + (tick * due + number) % 1_000;
            let origin = device(user, 0, DeviceType::Web);
            let tried =
                [now, now + SECOND / 10].into_iter().find_map(|at| match gate.admit(at, origin) {
                    Admission::Enter(ticket) => Some(ticket),
                    Admission::Back(_) | Admission::Wait => None,
                });
            let ticket = tried.unwrap_or_else(|| panic!("user {user} waits at {tick}"));
            gate.learn(ticket.began, &ticket, &sent());
            gate.leave(&ticket);
        }
        for user in 0..hostile {
            let origin = device(user, tick % 20, DeviceType::Web);
            if let Some((change, _)) = attempt(&mut gate, now, origin, outcome) {
                stops += usize::from(change != Change::Same);
                attempts += 1;
            }
        }
    }
    (stops, attempts)
}

#[test]
fn never_stops_for_twenty_users_among_a_thousand() {
    for outcome in [MISMATCH, FORBIDDEN, quota(3_000)] {
        let (stops, attempts) = with_hostile_users(20, 1_000, &outcome);
        assert_eq!(stops, 0, "{outcome:?}");
        assert!(attempts < 20 * 20 * 10, "each device is paused: {attempts}");
    }
}

#[test]
fn holds_others_shortly_when_most_is_hostile() {
    for outcome in [MISMATCH, FORBIDDEN, quota(3_000)] {
        let (stops, _) = with_hostile_users(20, 1, &outcome);
        assert!(stops <= 2 * 20, "each hostile user stops it once at most: {stops}");
    }
}

#[test]
fn asks_rarely_when_everybody_is_refused() {
    for outcome in [MISMATCH, FORBIDDEN, quota(30)] {
        let (mut gate, start) = gate();
        let mut attempts = 0;
        for tick in 0..6_000u32 {
            let now = start + SECOND * tick / 10;
            // A hundred users a second, of ten thousand.
            for number in 0..10 {
                let user = u64::from(tick * 10 + number) % 10_000;
                attempts += usize::from(
                    attempt(&mut gate, now, device(user, 0, DeviceType::Ios), &outcome).is_some(),
                );
            }
        }
        assert!(attempts < 900, "{attempts} attempts in ten minutes: {outcome:?}");
    }
}

#[test]
fn keeps_window_wide_when_most_users_succeed() {
    let (mut gate, now) = gate();
    for round in 0..60 {
        let now = now + SECOND * round;
        (100..140)
            .for_each(|user| assert!(attempt(&mut gate, now, android(user), &sent()).is_some()));
        (0..20).for_each(|user| assert!(attempt(&mut gate, now, android(user), &AWAY).is_some()));
    }
    assert_eq!(gate.window, 160);
}

#[test]
fn leaves_attempts_when_hostile_users_hoard() {
    let (mut gate, now) = gate();
    let mut held = [0; 20];
    for _ in 0..100 {
        for (user, held) in held.iter_mut().enumerate() {
            if *held < gate.share_of_user() {
                assert!(matches!(gate.admit(now, android(user as u64)), Admission::Enter(_)));
                *held += 1;
            }
        }
    }
    assert!(gate.has_slot() && held.iter().all(|held| *held >= 6), "{held:?} of {}", gate.window);
}

#[test]
fn an_outage_narrows_the_window_but_never_shuts_it() {
    let (mut gate, now) = gate();
    (0..200).for_each(|user| assert!(attempt(&mut gate, now, android(user), &AWAY).is_some()));
    assert_eq!(gate.window, 32);
    (0..32).for_each(|user| assert!(matches!(gate.admit(now, android(user)), Admission::Enter(_))));
    assert_eq!(gate.admit(now, android(40)), Admission::Wait);
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
    let asked = || {
        prop::option::of(prop_oneof![
            Just(Duration::MAX),
            any::<u64>().prop_map(Duration::from_secs)
        ])
    };
    let reason = || "[A-Z_]{0,12}".prop_map(Reason::from);
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
    fn opens_again_within_an_hour_whatever_happened(
        steps in prop::collection::vec((any_outcome(), 0u64..20, any::<u8>(), 0u64..4_000), 1..120),
    ) {
        let (mut gate, mut now) = gate();
        for (outcome, user, number, pause) in steps {
            now += Duration::from_millis(pause);
            attempt(&mut gate, now, Origin { platform: platform(number), ..android(user) }, &outcome);
            prop_assert_eq!(gate.in_flight(), 0);
            prop_assert!((32..=160).contains(&gate.window));
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
