//! Configuration of the service, read from environment variables.

use db::DbSettings;
use env_config::{Env, Reader, Report};
use rest::{ApiSettings, Auth, ExportLimit};
use service::settings::{BusConfig, Process};

use crate::peers::PeerSettings;

/// The configuration of reminder-service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Environment name, listening addresses and logs.
    pub process: Process,
    /// The reminders database.
    pub database: DbSettings,
    /// The message bus, and the topic on which changes are published.
    pub bus: BusConfig,
    /// Authentication of callers.
    pub auth: Auth,
    /// Limits and headers of the REST API.
    pub api: ApiSettings,
    /// Addresses of the other services.
    pub peers: PeerSettings,
    /// Largest number of exports that are written at the same time.
    pub exports: usize,
    /// Largest number of different e-mail addresses of one user on one day.
    pub max_addresses: u32,
    /// Largest number of reminders of one user.
    pub max_reminders: u32,
    /// Messages of one user that are published per second.
    pub user_events: u32,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A report that names every missing or malformed variable.
    pub fn read(env: &dyn Env) -> Result<Self, Report> {
        env_config::read(env, Self::parse)
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let process = Process::read(reader);
        let database = DbSettings::read(reader);
        let bus = BusConfig::read(reader, &["EVENT_TOPIC_ARN"]);
        let app_env = process.as_ref().map(|process| process.app_env);
        let auth = Auth::read(reader, app_env);
        let api = ApiSettings::read(reader);
        let peers = PeerSettings::read(reader, app_env);
        let exports = ExportLimit::read(reader);
        let max_addresses = max_addresses(reader);
        let max_reminders = max_reminders(reader);
        let user_events = service::settings::user_events(reader);
        Some(Self {
            process: process?,
            database: database?,
            bus: bus?,
            auth: auth?,
            api: api?,
            peers: peers?,
            exports: exports?,
            max_addresses: max_addresses?,
            max_reminders: max_reminders?,
            user_events: user_events?,
        })
    }
}

/// Reads `MAX_EMAIL_ADDRESSES_PER_DAY`.
fn max_addresses(reader: &mut Reader<'_>) -> Option<u32> {
    const NAME: &str = "MAX_EMAIL_ADDRESSES_PER_DAY";
    let max = reader.or(NAME, "different e-mail addresses per user and day (UTC)", 5)?;
    if (1..=1_000).contains(&max) {
        return Some(max);
    }
    reader.fault(NAME, "is malformed: expected 1 to 1000");
    None
}

/// Reads `MAX_REMINDERS_PER_USER`.
fn max_reminders(reader: &mut Reader<'_>) -> Option<u32> {
    const NAME: &str = "MAX_REMINDERS_PER_USER";
    let most = reader.or(NAME, "largest number of reminders per user", 100_000)?;
    if (1..=1_000_000).contains(&most) {
        return Some(most);
    }
    reader.fault(NAME, "is malformed: expected 1 to 1000000");
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn needs_only_a_database_and_a_bus() {
        let url = "postgres://user:secret@localhost/reminders";
        let config = Config::read(&env(&[
            ("DATABASE_URL", url),
            ("BUS", "postgres"),
            ("BUS_DATABASE_URL", url),
        ]));
        assert_eq!(config.expect("a configuration").bus.event_topic, "event-topic");
    }

    #[test]
    fn names_all_missing_variables_without_values() {
        let faulty = env(&[("BUS", "aws"), ("PORT", "s3cret"), ("AUTH_MODE", "jwt")]);
        let report = Config::read(&faulty).expect_err("faults");
        let names: Vec<_> = report.faults.iter().map(|fault| fault.name).collect();
        assert_eq!(names, ["PORT", "DATABASE_URL", "EVENT_TOPIC_ARN", "JWT_JWKS_URL"]);
        assert!(!report.to_string().contains("s3cret"));
    }
}
