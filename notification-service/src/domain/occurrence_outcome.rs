//! Outcome of an occurrence: what its deliveries, on all channels and devices, amount to.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use contract::{DeliveryState, ReasonCode};

/// State of one delivery, or of the occurrence that its deliveries belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// State.
    pub state: DeliveryState,
    /// Reason code of the state.
    pub reason: Option<ReasonCode>,
    /// Time of the final state.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Outcome {
    /// Outcome of an occurrence with these deliveries; `None` if it has none. It is sent once one
    /// of them was accepted, the first of these counts; otherwise it has an outcome when all of
    /// them have, and the latest of the most serious ones counts.
    #[must_use]
    pub fn of_all(deliveries: impl IntoIterator<Item = Self>) -> Option<Self> {
        deliveries.into_iter().max_by_key(Self::weight)
    }

    /// Order in which the deliveries decide.
    fn weight(&self) -> impl Ord + use<> {
        let (rank, is_first) = match self.state {
            DeliveryState::Sent => (4, true),
            DeliveryState::Pending => (3, false),
            DeliveryState::Deferred => (2, false),
            DeliveryState::Failed => (1, false),
            DeliveryState::Suppressed => (0, false),
        };
        let first = self.finished_at.filter(|_| is_first).map(Reverse);
        let last = self.finished_at.filter(|_| !is_first);
        (rank, first, last, self.reason.as_ref().map(|reason| reason.as_str().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use DeliveryState::{Deferred, Failed, Pending, Sent, Suppressed};
    use contract::Reason;

    use super::*;

    fn outcome(state: DeliveryState, reason: Option<Reason>, minute: i64) -> Outcome {
        let finished_at = DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute);
        let finished_at = Some(finished_at).filter(|_| !matches!(state, Pending | Deferred));
        Outcome { state, reason: reason.map(Into::into), finished_at }
    }

    #[test]
    fn follows_states_of_all_deliveries() {
        let device_gone = Some(Reason::DeviceGone);
        for (deliveries, expected) in [
            (vec![], None),
            (vec![(Sent, None, 2)], Some((Sent, None, 2))),
            // Accepted once is enough, whatever the others become.
            (
                vec![
                    (Failed, device_gone, 9),
                    (Sent, None, 5),
                    (Pending, None, 0),
                    (Sent, None, 3),
                ],
                Some((Sent, None, 3)),
            ),
            (
                vec![(Failed, device_gone, 1), (Pending, Some(Reason::RateLimited), 0)],
                Some((Pending, Some(Reason::RateLimited), 0)),
            ),
            (
                vec![
                    (Suppressed, Some(Reason::OptedOut), 1),
                    (Deferred, Some(Reason::QuietHours), 0),
                ],
                Some((Deferred, Some(Reason::QuietHours), 0)),
            ),
            (
                vec![(Deferred, Some(Reason::QuietHours), 0), (Pending, None, 0)],
                Some((Pending, None, 0)),
            ),
            (
                vec![(Suppressed, Some(Reason::OptedOut), 9), (Failed, device_gone, 1)],
                Some((Failed, device_gone, 1)),
            ),
            (
                vec![
                    (Suppressed, Some(Reason::OptedOut), 1),
                    (Suppressed, Some(Reason::Expired), 2),
                ],
                Some((Suppressed, Some(Reason::Expired), 2)),
            ),
        ] {
            let all = deliveries.iter().map(|(state, reason, at)| outcome(*state, *reason, *at));
            let expected = expected.map(|(state, reason, at)| outcome(state, reason, at));
            assert_eq!(Outcome::of_all(all.clone()), expected, "{deliveries:?}");
            assert_eq!(Outcome::of_all(all.rev()), expected, "{deliveries:?} backwards");
        }
    }
}
