//! Configuration of notification-scheduler, read from environment variables.

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
        let user_releases_per_second = user_releases_per_second(reader);
        Some(Self {
            process: process?,
            database: database?,
            bus: bus?,
            user_releases_per_second: user_releases_per_second?,
        })
    }
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
