//! Pause of a reminder, in which nothing is delivered.

use chrono::{DateTime, Utc};

use super::Reminder;

/// Error: the reminder is paused, so that nothing can be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reminder is paused; resume it first")]
pub struct Paused;

impl Reminder {
    /// Pauses the reminder; one that is paused stays as it is.
    #[must_use]
    pub fn pause(&self, now: DateTime<Utc>) -> Self {
        Self { paused_at: self.paused_at.or(Some(now)), ..self.clone() }
    }

    /// Ends the pause: deliveries that fell into it are not made later, nor is a snooze that ended
    /// in it.
    #[must_use]
    pub fn resume(&self, now: DateTime<Utc>) -> Self {
        let mut resumed = Self { paused_at: None, ..self.clone() };
        if self.paused_at.is_some() {
            resumed.handled.snooze = self.handled.snooze.filter(|snooze| snooze.until > now);
            resumed.late_placements.clear();
        }
        resumed
    }

    /// Checks that the reminder is not paused.
    ///
    /// # Errors
    /// If it is.
    pub fn check_not_paused(&self) -> Result<(), Paused> {
        if self.paused_at.is_some() { Err(Paused) } else { Ok(()) }
    }
}
