//! Configuration of notification-scheduler, read from environment variables.

use std::time::Duration;

use db::DbSettings;
use env_config::{Env, Reader, Report};
use service::settings::{BusConfig, Process};

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Environment, addresses, logs.
    pub process: Process,
    /// event-service's database.
    pub database: DbSettings,
    /// The bus and the names on it.
    pub bus: BusConfig,
    /// Time before its due time from which on an occurrence is claimed.
    pub claim_ahead: Duration,
    /// Occurrences of one user released in a second at the most, by one process.
    pub user_releases_per_second: u32,
}

impl Config {
    /// Reads the configuration from an environment.
    ///
    /// # Errors
    /// A report that names every missing or malformed variable.
    pub fn read(env: &dyn Env) -> Result<Self, Report> {
        env_config::read(env, Self::parse)
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let process = Process::read(reader);
        let database = DbSettings::read(reader);
        let bus = BusConfig::read(reader, &["NOTIFICATION_TOPIC_ARN"]);
        let claim_ahead = claim_ahead(reader);
        let user_releases_per_second = user_releases_per_second(reader);
        Some(Self {
            process: process?,
            database: database?,
            bus: bus?,
            claim_ahead: claim_ahead?,
            user_releases_per_second: user_releases_per_second?,
        })
    }
}

/// Reads `CLAIM_AHEAD_MILLISECONDS`: 0 to 1,000.
fn claim_ahead(reader: &mut Reader<'_>) -> Option<Duration> {
    let name = "CLAIM_AHEAD_MILLISECONDS";
    let about = "milliseconds before its due time from which on an occurrence is on its way to \
                 notification-service, which sends it at its due time";
    let ahead = reader.or(name, about, 100)?;
    if ahead <= 1_000 {
        return Some(Duration::from_millis(ahead));
    }
    reader.fault(name, "is out of bounds: expected 0 to 1000");
    None
}

/// Reads `USER_RELEASES_PER_SECOND`: 1 to 1,000,000.
fn user_releases_per_second(reader: &mut Reader<'_>) -> Option<u32> {
    let name = "USER_RELEASES_PER_SECOND";
    let releases =
        reader.or(name, "occurrences of one user released per second and replica", 500)?;
    if (1..=1_000_000).contains(&releases) {
        return Some(releases);
    }
    reader.fault(name, "is out of bounds: expected 1 to 1000000");
    None
}
