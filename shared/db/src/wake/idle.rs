//! State of those who poll a table in one process, while they find nothing.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

/// Time without work after which a sleep is announced.
pub const EMPTY: Duration = Duration::from_millis(250);
/// Time for which an announcement is valid.
pub const ANNOUNCEMENT: Duration = Duration::from_secs(30);
/// Longest sleep.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// Next step of a sleeper that found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Look again after a short pause.
    Poll,
    /// Announce a sleep, and record the announcement with this count of wakes.
    Announce(u64),
    /// Sleep.
    Sleep,
}

/// State of the sleepers of one process that wait for the same work.
#[derive(Debug)]
pub struct Idle {
    /// Time between the first announcement and the first sleep.
    caution: Duration,
    state: Mutex<State>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct State {
    empty_since: Option<Instant>,
    /// The first of the announcements that nobody withdrew, and the last.
    announced: Option<(Instant, Instant)>,
    sleeps_until: Option<Instant>,
    /// Number of wakes.
    wakes: u64,
}

impl Idle {
    /// Creates the state with a caution: longer than the transactions of writers usually take.
    #[must_use]
    pub fn new(caution: Duration) -> Self {
        Self { caution, state: Mutex::default(), woken: Notify::new() }
    }

    /// Ends the sleep of all sleepers, as there may be work.
    pub fn wake(&self) {
        {
            let mut state = self.state();
            *state = State { wakes: state.wakes.wrapping_add(1), ..State::default() };
        }
        self.woken.notify_waiters();
    }

    /// Returns a future that completes when the sleepers are woken. Calls of [`Idle::wake`] count
    /// from the creation of the future.
    pub fn woken(&self) -> Notified<'_> {
        self.woken.notified()
    }

    /// Time until which the sleepers sleep; `None` if they are awake.
    #[must_use]
    pub fn sleeps_until(&self, now: Instant) -> Option<Instant> {
        self.state().sleeps_until.filter(|until| *until > now)
    }

    /// Decides what a sleeper does that found nothing.
    #[must_use]
    pub fn found_nothing(&self, now: Instant) -> Step {
        let mut state = self.state();
        let empty_since = *state.empty_since.get_or_insert(now);
        if now.duration_since(empty_since) < EMPTY {
            return Step::Poll;
        }
        match state.announced {
            Some((_, last)) if now.duration_since(last) + 2 * LONGEST_SLEEP >= ANNOUNCEMENT => {
                Step::Announce(state.wakes)
            }
            None => Step::Announce(state.wakes),
            Some((first, _)) if now.duration_since(first) < self.caution => Step::Poll,
            Some(_) => Step::Sleep,
        }
    }

    /// Records an announcement that began at `began`, unless the sleepers were woken since: then it
    /// may be withdrawn already.
    pub fn announced(&self, wakes: u64, began: Instant) {
        let mut state = self.state();
        if state.wakes == wakes {
            let first = state.announced.map_or_else(Instant::now, |(first, _)| first);
            state.announced = Some((first, began));
        }
    }

    /// Lets the sleepers sleep until the next work, which is `next` from now if it is known, unless
    /// they were woken since the decision.
    pub fn sleep(&self, now: Instant, next: Option<Duration>) {
        let mut state = self.state();
        if state.announced.is_some() {
            state.sleeps_until = Some(now + next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUTION: Duration = Duration::from_secs(1);
    const MILLISECOND: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    impl Idle {
        /// Records an announcement that began and ended at a time.
        fn record_announcement(&self, at: Instant) {
            let mut state = self.state();
            let first = state.announced.map_or(at, |(first, _)| first);
            state.announced = Some((first, at));
        }
    }

    /// Sleepers that may sleep, and the time.
    fn announced() -> (Idle, Instant) {
        let (idle, start) = (Idle::new(CAUTION), Instant::now());
        assert_eq!(idle.found_nothing(start), Step::Poll);
        assert_eq!(idle.found_nothing(start + EMPTY - MILLISECOND), Step::Poll);
        let now = start + EMPTY;
        assert_eq!(idle.found_nothing(now), Step::Announce(0));
        idle.record_announcement(now);
        assert_eq!(idle.found_nothing(now + CAUTION - MILLISECOND), Step::Poll);
        assert_eq!(idle.found_nothing(now + CAUTION), Step::Sleep);
        (idle, now + CAUTION)
    }

    #[test]
    fn sleeps_until_next_work() {
        let (idle, now) = announced();
        idle.sleep(now, Some(SECOND));
        assert_eq!(idle.sleeps_until(now), Some(now + SECOND));
        assert_eq!(idle.sleeps_until(now + SECOND), None);
        idle.sleep(now, None);
        assert_eq!(idle.sleeps_until(now), Some(now + LONGEST_SLEEP));
        idle.sleep(now, Some(LONGEST_SLEEP * 2));
        assert_eq!(idle.sleeps_until(now), Some(now + LONGEST_SLEEP));
    }

    #[test]
    fn renews_announcement_before_it_ends() {
        let (idle, now) = announced();
        let renewal = now - CAUTION + ANNOUNCEMENT - 2 * LONGEST_SLEEP;
        assert_eq!(idle.found_nothing(renewal - SECOND), Step::Sleep);
        assert_eq!(idle.found_nothing(renewal), Step::Announce(0));
        idle.record_announcement(renewal);
        assert_eq!(idle.found_nothing(renewal), Step::Sleep, "nobody withdrew it meanwhile");
    }

    #[test]
    fn ignores_announcement_that_was_withdrawn() {
        let (idle, start) = (Idle::new(CAUTION), Instant::now());
        assert_eq!(idle.found_nothing(start), Step::Poll);
        let Step::Announce(wakes) = idle.found_nothing(start + EMPTY) else { panic!("no step") };
        idle.wake();
        idle.announced(wakes, start + EMPTY);
        idle.sleep(start + EMPTY, None);
        assert_eq!(idle.sleeps_until(start + EMPTY), None);
    }

    #[tokio::test]
    async fn wakes_sleepers() {
        let (idle, now) = announced();
        idle.sleep(now, None);
        let woken = idle.woken();
        idle.wake();
        woken.await;
        assert_eq!(idle.sleeps_until(now), None);
        assert_eq!(idle.found_nothing(now), Step::Poll);
        idle.sleep(now, None);
        assert_eq!(idle.sleeps_until(now), None, "it was woken before it slept");
    }
}
