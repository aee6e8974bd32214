//! Metrics of the process: the recorder, the help texts and the build information.

use std::{
    sync::{Once, OnceLock},
    time::Duration,
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{build_info, process};

/// Period in which samples of histograms are folded into their buckets.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Number that only grows.
    Counter,
    /// Number that grows and falls.
    Gauge,
    /// Distribution of a duration, in seconds.
    Histogram,
}

/// Metric and its help text.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name, as in `/metrics`.
    pub name: &'static str,
    /// Kind, as in `# TYPE`.
    pub kind: Kind,
    /// Text of `# HELP`.
    pub help: &'static str,
}

impl Metric {
    /// Describes a counter.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, help }
    }

    /// Describes a gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help }
    }

    /// Describes a histogram.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, help }
    }

    fn describe(&self) {
        let Self { name, kind, help } = *self;
        match kind {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram => metrics::describe_histogram!(name, help),
        }
    }
}

/// Metrics that this crate records, in whichever service it runs.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "reminders_build_info",
        "Version of each service that this process runs, and the edition of the time zone database \
         in use; 1",
    ),
    Metric::counter(
        "reminders_consumer_batch_retries_total",
        "Repeated attempts to apply a batch in place, after its database failed or a transaction \
         conflicted",
    ),
    Metric::counter(
        "reminders_consumer_batches_split_total",
        "Batches, and parts of batches, that were split to isolate the message that fails",
    ),
    Metric::counter(
        "reminders_consumer_messages_total",
        "Messages received from a queue and settled, by queue and outcome (done, retry, rejected)",
    ),
    Metric::counter("reminders_consumer_panics_total", "Panics of message handlers"),
    Metric::histogram(
        "reminders_database_acquire_duration_seconds",
        "Waiting time for a connection of a pool, by pool; sampled every 5 seconds",
    ),
    Metric::gauge(
        "reminders_database_connections",
        "Open connections to PostgreSQL, by pool and state (used, idle)",
    ),
    Metric::gauge(
        "reminders_database_connections_max",
        "Largest number of connections to PostgreSQL that a pool opens, by pool",
    ),
    Metric::counter(
        "reminders_dead_letters_purged_total",
        "Dead letters deleted after their retention",
    ),
    Metric::histogram(
        "reminders_http_request_duration_seconds",
        "Duration of REST requests, by method, route pattern and status",
    ),
    Metric::counter(
        "reminders_jwks_fetches_total",
        "Fetches of the token issuer's key set, by outcome",
    ),
    Metric::counter(
        "reminders_outbox_backlogged_total",
        "Times that a user exceeded their share, so that their further messages wait",
    ),
    Metric::counter(
        "reminders_outbox_left_to_recovery_total",
        "Messages left to the recovery, because memory was full or their lease was about to expire",
    ),
    Metric::gauge("reminders_outbox_messages", "Rows of the outbox that wait for publication"),
    Metric::gauge(
        "reminders_outbox_oldest_seconds",
        "Age of the oldest row of the outbox that waits for publication",
    ),
    Metric::gauge(
        "reminders_outbox_pace",
        "Messages of one user published per second beyond a burst; falls while the topic is slow",
    ),
    Metric::gauge("reminders_outbox_parked", "Rows that can never be published, by table"),
    Metric::counter(
        "reminders_outbox_parked_total",
        "Messages parked because they can never be published",
    ),
    Metric::counter(
        "reminders_outbox_published_total",
        "Messages of the outbox that the topic acknowledged",
    ),
    Metric::counter(
        "reminders_outbox_recovered_total",
        "Rows of the outbox that the recovery claimed after the process that wrote them did not \
         publish them",
    ),
    Metric::counter("reminders_panics_total", "Panics of requests, tasks and threads"),
];

/// Registers the help texts of this crate's metrics and of a service's own, and adds the
/// service to the build information.
pub fn describe_service(service: &'static str, own: &[Metric]) {
    METRICS.iter().chain(own).for_each(Metric::describe);
    build_info::add(service);
}

/// Renders the metrics of the process for Prometheus, with `reminders_build_info` and `process_*`.
pub(crate) fn render() -> String {
    let edition = time_zone::edition();
    build_info::record(edition);
    let mut text = build_info::without_earlier_editions(&metrics_handle().render(), edition);
    text.push_str(&process::render());
    text
}

/// Returns the process's recorder of metrics, which is installed by the first call.
///
/// # Panics
/// If another recorder was installed in this process: each would lose half of the samples.
pub fn metrics_handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    static UPKEEP: Once = Once::new();
    let handle = HANDLE.get_or_init(|| {
        let seconds = [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            60.0, 300.0, 3600.0,
        ];
        PrometheusBuilder::new()
            .set_buckets(&seconds)
            .and_then(PrometheusBuilder::install_recorder)
            .expect("the buckets are not empty and no other recorder is installed in this process")
    });
    // Samples of histograms accumulate until they are folded into their buckets, which a scrape
    // does; there may be no scrape.
    UPKEEP.call_once(|| {
        let upkeep = std::thread::Builder::new().name("metrics".to_owned());
        let started = upkeep.spawn(move || {
            loop {
                std::thread::sleep(UPKEEP_PERIOD);
                handle.run_upkeep();
            }
        });
        if let Err(error) = started {
            tracing::warn!(
                error = %error,
                "thread for metrics upkeep did not start, memory grows until metrics are scraped"
            );
        }
    });
    handle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_every_metric() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let described = METRICS.iter().map(|metric| (metric.name, format!("{:?}", metric.kind)));
        support::metrics::assert_described(&source, described);
    }

    #[test]
    fn renders_help_type_and_build_info() {
        metrics_handle();
        describe_service("test-service", &[]);
        metrics::counter!("reminders_panics_total").increment(0);
        let text = render();
        for line in [
            "# HELP reminders_panics_total Panics of requests, tasks and threads",
            "# TYPE reminders_panics_total counter",
            "# TYPE reminders_build_info gauge",
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}: {text}");
        }
        let edition = time_zone::edition();
        assert!(text.contains(&format!("service=\"test-service\",tzdata=\"{edition}\"")), "{text}");
    }
}
