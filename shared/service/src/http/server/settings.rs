//! Limits of the connections that a REST listener serves.

use std::time::Duration;

use env_config::Reader;

/// Limits of the connections of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Most open connections (`MAX_CONNECTIONS`). An idle connection uses at most 40 KiB.
    pub max_connections: usize,
    /// Time limit of the first byte, and of a complete request head
    /// (`HTTP_HEADER_TIMEOUT_SECONDS`).
    pub header_timeout: Duration,
    /// Time limit of a complete request body (`HTTP_BODY_TIMEOUT_SECONDS`).
    pub body_timeout: Duration,
    /// Longest time between two requests on one connection (`HTTP_IDLE_TIMEOUT_SECONDS`).
    pub idle_timeout: Duration,
    /// Time limit for a client to read the next part of a response (`HTTP_WRITE_TIMEOUT_SECONDS`).
    pub write_timeout: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_connections: 2_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(20),
        }
    }
}

impl ServerSettings {
    /// Limits of the admin port, where probes and scrapes are few and short.
    #[must_use]
    pub fn admin() -> Self {
        Self {
            max_connections: 64,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(10),
        }
    }

    /// Reads `MAX_CONNECTIONS` and the `HTTP_…_TIMEOUT_SECONDS`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let default = Self::default();
        let max_connections = number(
            reader,
            "MAX_CONNECTIONS",
            "largest number of open REST connections",
            default.max_connections,
            1..=100_000,
        );
        let mut seconds = |name, about, default: Duration| {
            number(reader, name, about, default.as_secs(), 1..=3_600).map(Duration::from_secs)
        };
        let header_timeout = seconds(
            "HTTP_HEADER_TIMEOUT_SECONDS",
            "time limit of a request head, in seconds",
            default.header_timeout,
        );
        let body_timeout = seconds(
            "HTTP_BODY_TIMEOUT_SECONDS",
            "time limit of a request body, in seconds",
            default.body_timeout,
        );
        let idle_timeout = seconds(
            "HTTP_IDLE_TIMEOUT_SECONDS",
            "time limit of an idle connection, in seconds",
            default.idle_timeout,
        );
        let write_timeout = seconds(
            "HTTP_WRITE_TIMEOUT_SECONDS",
            "time in seconds in which a client must read the next part of an answer",
            default.write_timeout,
        );
        Some(Self {
            max_connections: max_connections?,
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            idle_timeout: idle_timeout?,
            write_timeout: write_timeout?,
        })
    }

    /// Interval at which connections are checked, which is the precision of their limits.
    pub(super) fn check_period(&self) -> Duration {
        let shortest = self.header_timeout.min(self.idle_timeout).min(self.write_timeout);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(2))
    }
}

/// Reads a number that must lie in a range.
fn number<T>(
    reader: &mut Reader<'_>,
    name: &'static str,
    about: &'static str,
    default: T,
    range: std::ops::RangeInclusive<T>,
) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display> + std::fmt::Display + PartialOrd,
{
    let value = reader.or(name, about, default)?;
    if range.contains(&value) {
        return Some(value);
    }
    reader.fault(name, format!("is malformed: expected {} to {}", range.start(), range.end()));
    None
}
