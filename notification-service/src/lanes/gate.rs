//! Whether a lane may send, and how much at once: open, paused by a throttle, or stopped by a misconfiguration and
//! probing. Pure: time is passed in.
//!
//! The window is what may be in flight. It starts at its maximum; trouble narrows it, and each acceptance widens it by one,
//! so that it doubles with each round trip: a provider that just recovered is not met with the whole backlog at once.

use std::time::{Duration, Instant};

/// The narrowest window is this part of the widest.
const NARROWEST: usize = 16;

/// How often a stopped lane tries again, at first and at most.
#[derive(Debug, Clone, Copy)]
pub struct ProbePace {
    /// After the stop.
    pub first: Duration,
    /// Doubled up to this.
    pub longest: Duration,
}

impl Default for ProbePace {
    fn default() -> Self {
        Self { first: Duration::from_secs(5), longest: Duration::from_secs(60) }
    }
}

/// What an attempt told about the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The provider answered to the message itself.
    Healthy,
    /// The provider asks for patience for this long.
    Throttled(Duration),
    /// The provider, or the way to it, does not work just now.
    Troubled,
    /// Every message would fail.
    Misconfigured,
    /// No attempt was made.
    None,
}

/// What the lane may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send.
    Open,
    /// Send one message, to see.
    Probe,
    /// Nothing before this time.
    Closed(Instant),
}

/// What changed with a sign; for the log and the alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Same,
    /// Paused for this long.
    Paused(Duration),
    /// Stopped.
    Stopped,
    /// Open again after a stop.
    Recovered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Paused { until: Instant },
    Stopped { probe_at: Instant, wait: Duration, probing: bool },
}

/// The gate of one lane.
#[derive(Debug)]
pub(super) struct Gate {
    state: State,
    pace: ProbePace,
    widest: usize,
    window: usize,
    in_flight: usize,
}

impl Gate {
    /// An open gate that lets `widest` messages be in flight.
    #[must_use]
    pub(super) fn new(widest: usize, pace: ProbePace) -> Self {
        let widest = widest.max(1);
        Self { state: State::Open, pace, widest, window: widest, in_flight: 0 }
    }

    /// What the lane may do now.
    #[must_use]
    pub(super) fn turn(&self, now: Instant) -> Turn {
        match self.state {
            State::Open => Turn::Open,
            State::Paused { until } if now >= until => Turn::Open,
            State::Paused { until } => Turn::Closed(until),
            State::Stopped { probing: true, wait, .. } => Turn::Closed(now + wait),
            State::Stopped { probe_at, .. } if now >= probe_at => Turn::Probe,
            State::Stopped { probe_at, .. } => Turn::Closed(probe_at),
        }
    }

    /// Notes that the probe is on its way: there is only one at a time.
    pub(super) fn probe_starts(&mut self) {
        if let State::Stopped { probing, .. } = &mut self.state {
            *probing = true;
        }
    }

    /// Notes that the probe ended without having told anything: the next is due at once.
    pub(super) fn probe_was_lost(&mut self, now: Instant) {
        if let State::Stopped { probe_at, probing, .. } = &mut self.state
            && *probing
        {
            (*probe_at, *probing) = (now, false);
        }
    }

    /// Whether one more may be in flight.
    #[must_use]
    pub(super) fn has_slot(&self) -> bool {
        self.in_flight < self.window
    }

    /// One more is in flight.
    pub(super) fn enter(&mut self) {
        self.in_flight += 1;
    }

    /// One fewer is in flight.
    pub(super) fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How many are in flight.
    #[must_use]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// 0 open, 1 paused, 2 stopped.
    #[must_use]
    pub(super) fn level(&self, now: Instant) -> u8 {
        match self.state {
            State::Stopped { .. } => 2,
            State::Paused { until } if now < until => 1,
            _ => 0,
        }
    }

    /// Learns from an attempt that ended.
    pub(super) fn learn(&mut self, now: Instant, sign: Sign, is_probe: bool) -> Change {
        match sign {
            Sign::None => {
                if is_probe {
                    self.probe_was_lost(now);
                }
                Change::Same
            }
            Sign::Healthy => {
                self.window = (self.window + 1).min(self.widest);
                if is_probe { self.reopen() } else { Change::Same }
            }
            Sign::Troubled => {
                self.narrow_to(self.window - (self.window / 8).max(1));
                self.postpone_probe(now, is_probe, false);
                Change::Same
            }
            Sign::Throttled(wait) => {
                self.narrow_to(0);
                self.pause(now, wait, is_probe)
            }
            Sign::Misconfigured => self.stop(now, is_probe),
        }
    }

    fn narrow_to(&mut self, window: usize) {
        self.window = window.max(self.widest / NARROWEST).max(1);
    }

    fn reopen(&mut self) -> Change {
        let stopped = matches!(self.state, State::Stopped { .. });
        self.state = State::Open;
        if stopped { Change::Recovered } else { Change::Same }
    }

    fn pause(&mut self, now: Instant, wait: Duration, is_probe: bool) -> Change {
        let until = now + wait;
        match self.state {
            State::Stopped { .. } if !is_probe => Change::Same,
            State::Paused { until: known } if known >= until => Change::Same,
            _ => {
                self.state = State::Paused { until };
                Change::Paused(wait)
            }
        }
    }

    fn stop(&mut self, now: Instant, is_probe: bool) -> Change {
        if let State::Stopped { .. } = self.state {
            self.postpone_probe(now, is_probe, true);
            return Change::Same;
        }
        let wait = self.pace.first;
        self.state = State::Stopped { probe_at: now + wait, wait, probing: false };
        self.narrow_to(0);
        Change::Stopped
    }

    fn postpone_probe(&mut self, now: Instant, is_probe: bool, longer: bool) {
        if let State::Stopped { probe_at, wait, probing } = &mut self.state
            && is_probe
        {
            *wait = if longer { (*wait * 2).min(self.pace.longest) } else { *wait };
            *probe_at = now + *wait;
            *probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn gate() -> (Gate, Instant) {
        (Gate::new(160, ProbePace { first: SECOND * 5, longest: SECOND * 20 }), Instant::now())
    }

    #[test]
    fn a_throttle_closes_it_for_as_long_as_was_asked() {
        let (mut gate, now) = gate();
        assert_eq!(gate.learn(now, Sign::Throttled(SECOND * 30), false), Change::Paused(SECOND * 30));
        assert_eq!(gate.turn(now + SECOND * 29), Turn::Closed(now + SECOND * 30));
        assert_eq!(gate.turn(now + SECOND * 30), Turn::Open);
    }

    #[test]
    fn a_shorter_throttle_does_not_shorten_a_longer_one() {
        let (mut gate, now) = gate();
        gate.learn(now, Sign::Throttled(SECOND * 30), false);
        assert_eq!(gate.learn(now, Sign::Throttled(SECOND), false), Change::Same);
        assert_eq!(gate.turn(now + SECOND * 2), Turn::Closed(now + SECOND * 30));
    }

    #[test]
    fn after_a_throttle_it_starts_slowly() {
        let (mut gate, now) = gate();
        gate.learn(now, Sign::Throttled(SECOND), false);
        (0..10).for_each(|_| gate.enter());
        assert!(!gate.has_slot());
        gate.learn(now + SECOND, Sign::Healthy, false);
        assert!(gate.has_slot());
    }

    #[test]
    fn a_stop_is_told_once_and_only_a_probe_ends_it() {
        let (mut gate, now) = gate();
        assert_eq!(gate.learn(now, Sign::Misconfigured, false), Change::Stopped);
        assert_eq!(gate.learn(now, Sign::Misconfigured, false), Change::Same);
        assert_eq!(gate.learn(now, Sign::Healthy, false), Change::Same);
        assert_eq!(gate.turn(now + SECOND * 5), Turn::Probe);
        gate.probe_starts();
        assert!(matches!(gate.turn(now + SECOND * 5), Turn::Closed(_)));
        assert_eq!(gate.learn(now + SECOND * 6, Sign::Healthy, true), Change::Recovered);
        assert_eq!(gate.turn(now + SECOND * 6), Turn::Open);
    }

    #[test]
    fn probes_become_rarer_up_to_a_limit() {
        let (mut gate, mut now) = gate();
        gate.learn(now, Sign::Misconfigured, false);
        for wait in [10, 20, 20] {
            gate.probe_starts();
            gate.learn(now, Sign::Misconfigured, true);
            assert_eq!(gate.turn(now), Turn::Closed(now + SECOND * wait));
            now += SECOND * wait;
        }
    }

    #[test]
    fn a_probe_that_met_an_outage_says_nothing_about_the_configuration() {
        let (mut gate, now) = gate();
        gate.learn(now, Sign::Misconfigured, false);
        gate.probe_starts();
        assert_eq!(gate.learn(now, Sign::Troubled, true), Change::Same);
        assert_eq!(gate.turn(now), Turn::Closed(now + SECOND * 5));
    }

    #[test]
    fn an_outage_narrows_the_window_but_never_shuts_it() {
        let (mut gate, now) = gate();
        (0..100).for_each(|_| {
            gate.learn(now, Sign::Troubled, false);
        });
        assert!(gate.has_slot());
        (0..10).for_each(|_| gate.enter());
        assert!(!gate.has_slot());
    }
}
