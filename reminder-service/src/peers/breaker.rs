//! Circuit breaker of calls that answers can do without.
//!
//! After a failed call, the user's next one is left out for a second. Once the calls of three users
//! have failed and none has succeeded, all are left out, except for a probe each second: so one
//! user, whose calls may be slow for a reason of their own, does not stop those of others.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::outcomes::TIMEOUT;

/// Time after a failure in which calls are left out.
const PAUSE: Duration = Duration::from_secs(1);
/// Users whose calls must fail to open the breaker.
const OPENING_USERS: usize = 3;
/// Users whose pauses are remembered; beyond this number those that are over are removed, then all.
const MAX_USERS: usize = 1_000;

/// Circuit breaker.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The first users whose calls failed since one succeeded.
    failed: Vec<String>,
    /// Time of the next probe, while the breaker is open.
    next_probe: Option<Instant>,
    /// End of the pause of each user whose last call failed.
    paused_until: HashMap<String, Instant>,
}

impl Breaker {
    /// Returns `true` if a call may be made now.
    pub(super) fn admits(&self, user_id: &str, now: Instant) -> bool {
        let mut state = self.state();
        if state.paused_until.get(user_id).is_some_and(|until| now < *until) {
            return false;
        }
        match state.next_probe {
            Some(next) if now < next => false,
            Some(_) => {
                // A probe that is cancelled has no result: the next one does not wait for it.
                state.next_probe = Some(now + TIMEOUT + PAUSE);
                true
            }
            None => true,
        }
    }

    /// Records that a call was answered.
    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        state.failed.clear();
        state.next_probe = None;
    }

    /// Records that a call was refused for a reason of the user's own.
    pub(super) fn refused(&self, user_id: &str, now: Instant) {
        let mut state = self.state();
        state.pause(user_id, now);
        // It was answered, but says little: the next call is a probe again.
        state.next_probe = state.next_probe.map(|_| now);
    }

    /// Records that a call failed.
    pub(super) fn failed(&self, user_id: &str, now: Instant) {
        let mut state = self.state();
        state.pause(user_id, now);
        let is_new = state.failed.iter().all(|failed| failed != user_id);
        if is_new && state.failed.len() < OPENING_USERS {
            state.failed.push(user_id.to_owned());
        }
        if state.failed.len() >= OPENING_USERS {
            state.next_probe = Some(now + PAUSE);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pause(&mut self, user_id: &str, now: Instant) {
        if self.paused_until.len() >= MAX_USERS {
            self.paused_until.retain(|_, until| now < *until);
        }
        if self.paused_until.len() >= MAX_USERS {
            self.paused_until.clear();
        }
        self.paused_until.insert(user_id.to_owned(), now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: [&str; 3] = ["ada", "bob", "eve"];

    #[test]
    fn leaves_out_calls_of_one_user_after_failure() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for second in 0..10 {
            let now = start + PAUSE * second;
            assert!(breaker.admits("mallory", now), "a pause lasts a second");
            breaker.failed("mallory", now);
            assert!(!breaker.admits("mallory", now + PAUSE / 2));
            assert!(breaker.admits("ada", now + PAUSE / 2), "the calls of others are made");
        }
    }

    #[test]
    fn admits_one_probe_when_calls_of_several_users_failed() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for user in USERS {
            assert!(breaker.admits(user, start));
            breaker.failed(user, start);
        }
        assert!(!breaker.admits("zoe", start + PAUSE / 2));
        assert!(breaker.admits("zoe", start + PAUSE));
        assert!(!breaker.admits("ada", start + PAUSE), "the probe is in progress");
        breaker.failed("zoe", start + PAUSE + TIMEOUT);
        assert!(!breaker.admits("ada", start + PAUSE + TIMEOUT));
        assert!(breaker.admits("ada", start + PAUSE * 2 + TIMEOUT));
        breaker.succeeded();
        assert!(breaker.admits("bob", start + PAUSE * 2 + TIMEOUT));
    }

    #[test]
    fn admits_next_probe_when_one_has_no_result() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        USERS.iter().for_each(|user| breaker.failed(user, start));
        assert!(breaker.admits("zoe", start + PAUSE));
        assert!(breaker.admits("zoe", start + PAUSE * 2 + TIMEOUT));
    }

    #[test]
    fn counts_no_refusal_of_one_user_as_failure() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        USERS.iter().for_each(|user| breaker.refused(user, now));
        assert!(breaker.admits("zoe", now) && !breaker.admits("ada", now));
    }

    #[test]
    fn keeps_bounded_number_of_paused_users() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for number in 0..10 * MAX_USERS {
            breaker.failed(&number.to_string(), now);
            let state = breaker.state();
            assert!(state.paused_until.len() <= MAX_USERS && state.failed.len() <= OPENING_USERS);
        }
    }
}
