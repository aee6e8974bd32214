//! Configuration of event-service, read from environment variables.

use std::time::Duration;

use chrono::TimeDelta;
use db::DbSettings;
use env_config::{Env, Reader, Report};
use rest::{ApiSettings, ExportLimit, Operators};
use service::settings::{BusConfig, Process};

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Environment, addresses, logs.
    pub process: Process,
    /// The notifications database.
    pub database: DbSettings,
    /// The bus and the names on it.
    pub bus: BusConfig,
    /// Settings of the REST API.
    pub api: ApiSettings,
    /// Number of batches of events that are applied concurrently.
    pub concurrency: usize,
    /// Retention of events, and of occurrences that have ended.
    pub retention: TimeDelta,
    /// Holders of the operator token, who may call the API.
    pub operators: Operators,
    /// Time after its release at which an occurrence without an outcome is reconciled.
    pub unsettled_after: Duration,
    /// Largest number of open event streams.
    pub streams: usize,
    /// Largest number of concurrent exports.
    pub exports: usize,
    /// Number of messages of one user that are published in a second.
    pub user_events: u32,
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
        let bus = BusConfig::read(reader, &["EVENT_TOPIC_ARN", "EVENT_QUEUE_URL"]);
        let api = ApiSettings::read_internal(reader);
        let concurrency = reader.or(
            "EVENT_CONCURRENCY",
            "batches of events that are applied at the same time",
            3,
        );
        if concurrency.is_some_and(|count| !(1..=64).contains(&count)) {
            reader.fault("EVENT_CONCURRENCY", "is malformed: expected 1 to 64");
        }
        let retention = service::settings::retention(reader);
        let operators = Operators::read(reader, process.as_ref().map(|process| process.app_env));
        let minutes = reader.or(
            "UNSETTLED_AFTER_MINUTES",
            "minutes after which a released occurrence without an outcome is reconciled",
            60,
        );
        if minutes.is_some_and(|minutes| !(1..=10_080).contains(&minutes)) {
            reader.fault("UNSETTLED_AFTER_MINUTES", "is malformed: expected 1 to 10080");
        }
        let streams = reader.or(
            "EVENT_STREAMS_MAX",
            "largest number of open streams of GET /events/stream, 1 to 1000",
            64,
        );
        if streams.is_some_and(|most| !(1..=1000).contains(&most)) {
            reader.fault("EVENT_STREAMS_MAX", "is malformed: expected 1 to 1000");
        }
        let exports = ExportLimit::read(reader);
        let user_events = service::settings::user_events(reader);
        Some(Self {
            process: process?,
            database: database?,
            bus: bus?,
            api: api?,
            concurrency: concurrency?,
            retention: retention?,
            operators: operators?,
            unsettled_after: Duration::from_secs(60 * minutes?),
            streams: streams?,
            exports: exports?,
            user_events: user_events?,
        })
    }
}
