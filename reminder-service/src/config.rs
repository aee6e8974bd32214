//! What the service is told by its environment.

use shared::{
    config::{self, Auth, BusConfig, Env, Process, Reader, Report},
    db::DbSettings,
    http::{ApiSettings, ExportLimit},
};

use crate::{addresses::Addresses, peers::PeerSettings};

/// The configuration of reminder-service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Environment, addresses, logs.
    pub process: Process,
    /// The reminders database.
    pub database: DbSettings,
    /// The bus, and the topic that changes are told on.
    pub bus: BusConfig,
    /// How callers are identified.
    pub auth: Auth,
    /// How the API is wrapped.
    pub api: ApiSettings,
    /// Where the other services are.
    pub peers: PeerSettings,
    /// Exports that are written at once.
    pub exports: usize,
    /// Limit of the addresses that a user's e-mails go to.
    pub addresses: Addresses,
    /// Reminders that one user may have.
    pub max_reminders: u32,
    /// Messages of one user that are published in a second.
    pub user_events: u32,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A report that names every missing or malformed variable.
    pub fn read(env: &dyn Env) -> Result<Self, Report> {
        config::read(env, Self::parse)
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
        let addresses = Addresses::read(reader);
        let max_reminders = max_reminders(reader);
        let user_events = config::user_events(reader);
        Some(Self {
            process: process?,
            database: database?,
            bus: bus?,
            auth: auth?,
            api: api?,
            peers: peers?,
            exports: exports?,
            addresses: addresses?,
            max_reminders: max_reminders?,
            user_events: user_events?,
        })
    }
}

/// Reads `MAX_REMINDERS_PER_USER`.
fn max_reminders(reader: &mut Reader<'_>) -> Option<u32> {
    const NAME: &str = "MAX_REMINDERS_PER_USER";
    let most = reader.or(NAME, "reminders that one user may have", 100_000)?;
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
    fn a_database_and_a_bus_are_enough() {
        let url = "postgres://user:secret@localhost/reminders";
        let config = Config::read(&env(&[
            ("DATABASE_URL", url),
            ("BUS", "postgres"),
            ("BUS_DATABASE_URL", url),
        ]));
        assert_eq!(config.expect("a configuration").bus.event_topic, "event-topic");
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once_and_no_value_is_shown() {
        let faulty = env(&[("BUS", "aws"), ("PORT", "s3cret"), ("AUTH_MODE", "jwt")]);
        let report = Config::read(&faulty).expect_err("faults");
        let names: Vec<_> = report.faults.iter().map(|fault| fault.name).collect();
        assert_eq!(names, ["PORT", "DATABASE_URL", "EVENT_TOPIC_ARN", "JWT_JWKS_URL"]);
        assert!(!report.to_string().contains("s3cret"));
    }
}
