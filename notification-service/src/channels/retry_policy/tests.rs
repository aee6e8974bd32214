use super::*;
use contract::Reason;
use proptest::prelude::*;

const REASON: Reason = Reason::Unavailable;

fn throttled(retry_after: Option<Duration>) -> Outcome {
    Outcome::Throttled { retry_after, reason: REASON }
}

fn unavailable(retry_after: Option<Duration>, maybe_delivered: bool) -> Outcome {
    Outcome::Unavailable { retry_after, reason: REASON, maybe_delivered }
}

fn seconds(at: DateTime<Utc>, seconds: i64) -> DateTime<Utc> {
    at + TimeDelta::seconds(seconds)
}

fn attempts(made: u32, elapsed: i64, left: i64) -> Attempts {
    let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    Attempts { made, first_at: seconds(now, -elapsed), now, expires_at: seconds(now, left) }
}

const DAY: i64 = 86_400;

#[test]
fn waits_a_minute_when_throttle_names_no_time() {
    let attempts = attempts(1, 0, DAY);
    let decision = Policy::default().decide(&throttled(None), &attempts, 0.0);
    assert_eq!(decision, Decision::RetryAt(seconds(attempts.now, 60)));
}

#[test]
fn doubles_wait_from_10_s_to_10_min_in_outage() {
    let waits: Vec<i64> = (1..=9)
        .map(|made| {
            let attempts = attempts(made, 0, DAY);
            match Policy::default().decide(&unavailable(None, false), &attempts, 0.0) {
                Decision::RetryAt(at) => (at - attempts.now).num_seconds(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
}

#[test]
fn gives_up_after_an_hour_when_maybe_delivered() {
    let attempts = attempts(8, 3_001, DAY);
    let policy = Policy::default();
    assert_eq!(
        policy.decide(&unavailable(None, true), &attempts, 0.0),
        Decision::GiveUp(GiveUpReason::RetriesExhausted)
    );
    assert!(matches!(
        policy.decide(&unavailable(None, false), &attempts, 0.0),
        Decision::RetryAt(_)
    ));
}

#[test]
fn retries_no_final_outcome() {
    let policy = Policy::default();
    for outcome in [
        Outcome::Sent { provider_id: "1".into() },
        Outcome::Gone { reason: REASON },
        Outcome::Rejected { reason: REASON },
    ] {
        assert_eq!(policy.decide(&outcome, &attempts(1, 0, DAY), 0.5), Decision::Final);
    }
}

#[test]
fn holds_until_expiry_at_most() {
    let (policy, soon) = (Policy::default(), attempts(1, 0, 5));
    let hold =
        |wait, attempts: &Attempts| policy.hold(wait, attempts.now, attempts.expires_at, 0.0);
    assert_eq!(hold(Duration::from_secs(60), &soon), Decision::HoldUntil(soon.expires_at));
    assert_eq!(hold(Duration::MAX, &soon), Decision::HoldUntil(soon.expires_at));
    assert_eq!(
        hold(Duration::from_secs(1), &attempts(1, 0, 0)),
        Decision::GiveUp(GiveUpReason::Expired)
    );
}

#[test]
fn ends_delivery_when_its_address_stays_refused() {
    let policy = Policy::default();
    let refused = Outcome::Refused { reason: REASON };
    for outcome in [refused, throttled(None), throttled(Some(Duration::from_secs(1)))] {
        let waits: Vec<i64> = (1..=5)
            .map(|made| match policy.decide(&outcome, &attempts(made, 7_199, 365 * DAY), 0.0) {
                Decision::RetryAt(at) => (at - attempts(made, 0, 0).now).num_seconds(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(waits.is_sorted() && waits[4] >= waits[0] * 10, "{waits:?}");
        let last = policy.decide(&outcome, &attempts(5, 7_200, 365 * DAY), 0.0);
        assert_eq!(last, Decision::GiveUp(GiveUpReason::AddressFailing));
        let few = policy.decide(&outcome, &attempts(4, 100_000, 365 * DAY), 0.0);
        assert!(matches!(few, Decision::RetryAt(_)), "{few:?}");
    }
}

#[test]
fn retries_once_more_when_asked_to_wait_long() {
    let policy = Policy::default();
    for asked in [3_600, 86_400, u64::MAX] {
        let outcome = unavailable(Some(Duration::from_secs(asked)), true);
        let first = attempts(1, 0, 30 * DAY);
        assert_eq!(
            policy.decide(&outcome, &first, 0.0),
            Decision::RetryAt(seconds(first.now, 3_600))
        );
        let second = attempts(2, 3_600, 30 * DAY);
        assert_eq!(
            policy.decide(&outcome, &second, 0.0),
            Decision::GiveUp(GiveUpReason::RetriesExhausted)
        );
    }
}

#[test]
fn doubles_wait_when_asked_for_none() {
    let waits = |outcome: &Outcome| {
        let wait = |made| match Policy::default().decide(outcome, &attempts(made, 0, DAY), 0.0) {
            Decision::RetryAt(at) => (at - attempts(made, 0, DAY).now).num_seconds(),
            other => panic!("{other:?}"),
        };
        (1..=12).map(wait).collect::<Vec<_>>()
    };
    let from_a_second = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600];
    for outcome in [unavailable(Some(Duration::ZERO), false), throttled(Some(Duration::ZERO))] {
        assert_eq!(waits(&outcome), from_a_second, "{outcome:?}");
    }
    assert_eq!(waits(&unavailable(Some(Duration::from_secs(7)), false))[..4], [7, 14, 28, 56]);
    assert_eq!(waits(&unavailable(Some(Duration::from_secs(3_600)), false))[11], 3_600);
}

fn any_failure() -> impl Strategy<Value = Outcome> {
    let asked =
        prop::option::of(prop_oneof![0u64..100_000, any::<u64>()].prop_map(Duration::from_secs));
    prop_oneof![
        asked.clone().prop_map(throttled),
        (asked, any::<bool>())
            .prop_map(|(asked, maybe_delivered)| unavailable(asked, maybe_delivered)),
    ]
}

proptest! {
    #[test]
    fn retries_neither_early_nor_late(
        outcome in any_failure(), made in 1u32..1_000, elapsed in 0i64..100_000,
        left in -10i64..1_000_000, random in 0.0..1.0f64,
    ) {
        let attempts = attempts(made, elapsed, left);
        let policy = Policy::default();
        if let Decision::RetryAt(at) = policy.decide(&outcome, &attempts, random) {
            let (asked, least) = match &outcome {
                Outcome::Throttled { retry_after, .. } => (*retry_after, 60),
                Outcome::Unavailable { retry_after, .. } => (*retry_after, 10),
                other => panic!("{other:?}"),
            };
            let least = asked.unwrap_or(Duration::from_secs(least)).min(MAX_RETRY_AFTER);
            prop_assert!(at >= later(attempts.now, least));
            prop_assert!(at < attempts.expires_at);
            if asked.is_none() {
                prop_assert!(at <= later(attempts.now, policy.longest + policy.longest / 2));
            }
        }
    }

    #[test]
    fn gives_up_within_an_hour_when_maybe_delivered(random in 0.0..1.0f64) {
        let policy = Policy::default();
        let mut state = attempts(1, 0, 30 * DAY);
        loop {
            prop_assert!(state.made < 100);
            match policy.decide(&unavailable(None, true), &state, random) {
                Decision::RetryAt(at) => { state.now = at; state.made += 1; }
                decision => {
                    prop_assert_eq!(decision, Decision::GiveUp(GiveUpReason::RetriesExhausted));
                    break;
                }
            }
        }
        prop_assert!(state.now <= later(state.first_at, policy.maybe_delivered_for));
    }

    #[test]
    fn waits_longer_when_random_is_larger(
        made in 1u32..20,
        low in 0.0..1.0f64,
        high in 0.0..1.0f64,
    ) {
        prop_assume!(low <= high);
        let attempts = attempts(made, 0, 365 * DAY);
        let at = |random| match Policy::default().decide(&throttled(None), &attempts, random) {
            Decision::RetryAt(at) => at,
            other => panic!("{other:?}"),
        };
        prop_assert!(at(low) <= at(high));
    }
}
