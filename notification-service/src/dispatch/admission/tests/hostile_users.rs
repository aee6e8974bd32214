//! Behaviour while many users cause failures on purpose.

use super::*;

/// Simulates ten minutes in which `hostile` users fail with each attempt, ten times a second each,
/// while `good` others succeed each second. Returns the number of state changes, and of the hostile
/// users' attempts.
fn with_hostile_users(hostile: u64, good: u64, outcome: &Outcome) -> (usize, usize) {
    let (mut admission, start) = admission();
    let (mut stops, mut attempts) = (0, 0);
    for tick in 0..6_000u64 {
        let now = start + SECOND * tick as u32 / 10;
        let due = if good >= 10 { good / 10 } else { u64::from(tick % 10 < good) };
        for number in 0..due {
            let user = 1_000 + (tick * due + number) % 1_000;
            let target = device(user, 0, DeviceType::Web);
            let tried = [now, now + SECOND / 10].into_iter().find_map(|at| {
                match admission.admit(at, target) {
                    Admission::Admitted(ticket) => Some(ticket),
                    Admission::Postponed(_) | Admission::Wait => None,
                }
            });
            let ticket = tried.unwrap_or_else(|| panic!("user {user} is postponed at {tick}"));
            admission.apply(ticket.began, &ticket, &sent());
            admission.leave(&ticket);
        }
        for user in 0..hostile {
            let target = device(user, tick % 20, DeviceType::Web);
            if let Some((change, _)) = attempt(&mut admission, now, target, outcome) {
                stops += usize::from(change != Transition::Unchanged);
                attempts += 1;
            }
        }
    }
    (stops, attempts)
}

#[test]
fn never_opens_for_twenty_users_in_a_thousand() {
    for outcome in [MISMATCH, FORBIDDEN, quota(3_000)] {
        let (stops, attempts) = with_hostile_users(20, 1_000, &outcome);
        assert_eq!(stops, 0, "{outcome:?}");
        assert!(attempts < 20 * 20 * 10, "each device is paused: {attempts}");
    }
}

#[test]
fn delays_others_shortly_when_most_are_hostile() {
    for outcome in [MISMATCH, FORBIDDEN, quota(3_000)] {
        let (stops, _) = with_hostile_users(20, 1, &outcome);
        assert!(stops <= 2 * 20, "each hostile user opens it once at most: {stops}");
    }
}

#[test]
fn probes_rarely_when_everybody_is_refused() {
    for outcome in [MISMATCH, FORBIDDEN, quota(30)] {
        let (mut admission, start) = admission();
        let mut attempts = 0;
        for tick in 0..6_000u32 {
            let now = start + SECOND * tick / 10;
            // A hundred users a second, of ten thousand.
            for number in 0..10 {
                let user = u64::from(tick * 10 + number) % 10_000;
                attempts += usize::from(
                    attempt(&mut admission, now, device(user, 0, DeviceType::Ios), &outcome)
                        .is_some(),
                );
            }
        }
        assert!(attempts < 900, "{attempts} attempts in ten minutes: {outcome:?}");
    }
}

#[test]
fn leaves_attempts_when_hostile_users_hoard() {
    let (mut admission, now) = admission();
    let mut held = [0; 20];
    for _ in 0..100 {
        for (user, held) in held.iter_mut().enumerate() {
            if *held < admission.limit_per_user() {
                assert!(matches!(
                    admission.admit(now, android(user as u64)),
                    Admission::Admitted(_)
                ));
                *held += 1;
            }
        }
    }
    let limit = admission.concurrency.limit();
    assert!(admission.concurrency.has_capacity(), "{held:?} of {limit}");
    assert!(held.iter().all(|held| *held >= 6), "{held:?} of {limit}");
}
