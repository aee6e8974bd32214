//! The latest delivery of a reminder that was due, whose outcome notification-service knows.

use chrono::{DateTime, TimeDelta, Utc};
use contract::{ITEM_REMINDER, ItemId, occurrence_id};
use uuid::Uuid;

use super::Reminder;

/// The latest delivery of a reminder that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastDelivery {
    /// Id by which every service knows it.
    pub occurrence_id: Uuid,
    /// Time at which it was due.
    pub at: DateTime<Utc>,
    /// `true` if it is too late to send it, unless it was deferred.
    pub is_expired: bool,
}

impl Reminder {
    /// Returns the latest delivery that was due by `now`, a snooze included; `None` if there was
    /// none since the schedule was set. Left out are those that were never to be sent: of an
    /// occurrence that was acknowledged before, in a pause, or with an offset that had passed when
    /// the occurrence was placed.
    #[must_use]
    pub fn last_delivery(&self, now: DateTime<Utc>) -> Option<LastDelivery> {
        let until = self.paused_at.map_or(now, |paused_at| paused_at.min(now));
        let handled = self.handled;
        let acknowledged_later =
            handled.acknowledged_at.and_then(|at| self.latest_scheduled(until.min(at), None));
        let unacknowledged = self.latest_scheduled(until, handled.acknowledged);
        let scheduled = [acknowledged_later, unacknowledged].into_iter().flatten();
        let scheduled = scheduled.map(|delivery| delivery.at).filter(|at| *at > self.scheduled_at);
        let snoozed = handled.snooze.map(|snooze| snooze.until).filter(|at| *at <= until);
        let at = scheduled.chain(snoozed).max()?;
        let expires_after = TimeDelta::minutes(self.details.expires_after.minutes().into());
        Some(LastDelivery {
            occurrence_id: occurrence_id(ITEM_REMINDER, ItemId::from(self.id).as_str(), at),
            at,
            is_expired: at.checked_add_signed(expires_after).is_some_and(|end| end <= now),
        })
    }
}
