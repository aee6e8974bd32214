//! The four services of the suite.

/// A service of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// `reminder-service`
    Reminders,
    /// `event-service`
    Events,
    /// `notification-scheduler`
    Scheduler,
    /// `notification-service`
    Notifications,
}

impl Service {
    /// All services, in the order in which a reminder passes through them.
    pub const ALL: [Self; 4] =
        [Self::Reminders, Self::Events, Self::Scheduler, Self::Notifications];

    /// All services, in the order in which they are started: an export of reminder-service calls
    /// two of the others.
    pub const START_ORDER: [Self; 4] =
        [Self::Events, Self::Scheduler, Self::Notifications, Self::Reminders];

    /// Name of the binary.
    #[must_use]
    pub const fn binary(self) -> &'static str {
        match self {
            Self::Reminders => "reminder-service",
            Self::Events => "event-service",
            Self::Scheduler => "notification-scheduler",
            Self::Notifications => "notification-service",
        }
    }
}
