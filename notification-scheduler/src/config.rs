//! What notification-scheduler is told by the environment.

use shared::{
    config::{self, BusConfig, Env, Process, Reader, Report},
    db::DbSettings,
};

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Environment, addresses, logs.
    pub process: Process,
    /// event-service's database.
    pub database: DbSettings,
    /// The bus and the names on it.
    pub bus: BusConfig,
}

impl Config {
    /// Reads the configuration from an environment.
    ///
    /// # Errors
    /// A report that names every missing or malformed variable.
    pub fn read(env: &dyn Env) -> Result<Self, Report> {
        config::read(env, Self::parse)
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let process = Process::read(reader);
        let database = DbSettings::read(reader);
        let bus = BusConfig::read(reader, &["NOTIFICATION_TOPIC_ARN"]);
        Some(Self { process: process?, database: database?, bus: bus? })
    }
}
