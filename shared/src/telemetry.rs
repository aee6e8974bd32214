//! Logs, metrics and traces.
//!
//! Logs go to stdout, never with a token, an address or a body in them. Metrics are rendered for
//! Prometheus on the admin port. Traces are exported by OTLP over HTTP when
//! `OTEL_EXPORTER_OTLP_ENDPOINT` is set; the W3C `traceparent` travels with every message whether
//! or not they are.

mod traceparent;

use std::{
    io::IsTerminal,
    sync::{Once, OnceLock},
    time::Duration,
};

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use url::Url;

pub use traceparent::Traceparent;

use crate::config::{LogFormat, Reader};

/// How often samples of histograms are folded into their buckets.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// How the process speaks of itself.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// The look of log lines.
    pub format: LogFormat,
    /// A `tracing` filter, such as `info,sqlx=warn`.
    pub filter: String,
    /// Where traces go, if anywhere.
    pub otlp_endpoint: Option<String>,
}

impl TelemetrySettings {
    /// Reads `LOG_FORMAT RUST_LOG OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let format = reader.or("LOG_FORMAT", "pretty or json", LogFormat::Json);
        let filter = reader.or("RUST_LOG", "log filter", "info".to_owned());
        let otlp_endpoint = otlp_endpoint(reader)?;
        if filter.as_deref().is_some_and(|filter| EnvFilter::try_new(filter).is_err()) {
            reader.fault("RUST_LOG", "is malformed: expected a filter such as info,sqlx=warn");
        }
        Some(Self { format: format?, filter: filter?, otlp_endpoint })
    }
}

/// Reads the collector's address; the outer option is empty when it is malformed, which is a fault.
fn otlp_endpoint(reader: &mut Reader<'_>) -> Option<Option<String>> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let Some(text) = reader.optional::<String>(NAME, "OTLP/HTTP collector of traces") else {
        return Some(None);
    };
    // Said here: what the exporter says of a malformed address quotes it, and it may hold a
    // password.
    let is_usable = Url::parse(&text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !is_usable {
        reader.fault(NAME, "is malformed: expected an http or https URL");
        return None;
    }
    Some(Some(text))
}

/// Flushes the traces that are still buffered when it is dropped.
pub struct TelemetryGuard(Option<SdkTracerProvider>);

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
            eprintln!("some traces were not exported: {error}");
        }
    }
}

/// Installs logging, tracing and metrics for the whole process.
///
/// # Errors
/// When the filter or the collector's address is malformed, or telemetry was installed before.
pub fn init(
    service: &'static str,
    version: &'static str,
    settings: &TelemetrySettings,
) -> anyhow::Result<TelemetryGuard> {
    let filter = EnvFilter::try_new(&settings.filter).context("RUST_LOG is malformed")?.and(cap());
    let log: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Json => {
            tracing_subscriber::fmt::layer().json().flatten_event(true).with_filter(filter).boxed()
        }
        LogFormat::Pretty => {
            let ansi = std::io::stdout().is_terminal();
            tracing_subscriber::fmt::layer()
                .with_ansi(ansi)
                .with_target(false)
                .with_filter(filter)
                .boxed()
        }
    };
    let provider = settings
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| tracer(service, version, endpoint))
        .transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service))
            .with_filter(EnvFilter::new("info,sqlx=off"))
    });
    Registry::default()
        .with(log)
        .with(traces)
        .try_init()
        .context("telemetry was installed before")?;
    metrics_handle();
    report_panics();
    Ok(TelemetryGuard(provider))
}

/// Logs and counts every panic, whatever it ends: a request, a task or a thread. Its message may
/// hold what a user wrote, so it is told by its place.
fn report_panics() {
    metrics::describe_counter!(
        "reminders_panics_total",
        "Panics, each of which ended a request, a task or a thread"
    );
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            location,
            thread = std::thread::current().name(),
            "panic in a request, task or thread"
        );
        metrics::counter!("reminders_panics_total").increment(1);
    }));
}

/// Targets of this workspace, whose logs hold no token, address or body at any level.
const OWN_TARGETS: [&str; 14] = [
    "shared",
    "recurrence",
    "jwt_crypto",
    "reminder_service",
    "event_service",
    "notification_scheduler",
    "notification_service",
    "suite",
    "sandbox",
    "provision",
    "private_postgres",
    "bench",
    "support",
    "system",
];

/// Bound that RUST_LOG cannot lift: other crates log bodies of messages, headers with tokens and
/// values of statements at `debug` and `trace`, and sqlx quotes parameters of a URL at `warn`.
fn cap() -> Targets {
    let own = OWN_TARGETS.map(|target| (target, LevelFilter::TRACE));
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(own)
        .with_target("sqlx_postgres::options", LevelFilter::ERROR)
}

fn tracer(
    service: &'static str,
    version: &'static str,
    endpoint: &str,
) -> anyhow::Result<SdkTracerProvider> {
    // The exporter's HTTP client asks rustls for the process's provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .map_err(|_| {
            anyhow::anyhow!("OTEL_EXPORTER_OTLP_ENDPOINT: no exporter can be made for this address")
        })?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let version = opentelemetry::KeyValue::new("service.version", version);
    let resource = Resource::builder().with_service_name(service).with_attribute(version).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The process's metrics, installed on first use and rendered by the admin port.
///
/// # Panics
/// When another recorder was installed in this process: two would each lose half of the figures.
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
    // Samples of histograms pile up until somebody folds them into their buckets, and perhaps
    // nobody scrapes.
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
    use std::{
        collections::BTreeMap,
        io,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::config;

    #[test]
    fn never_prints_a_malformed_collector() {
        for address in ["http//user:hunter2@collector", "hunter2", "ftp://hunter2/"] {
            let env =
                BTreeMap::from([("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), address.to_owned())]);
            let report =
                config::read(&env, TelemetrySettings::read).expect_err("a fault").to_string();
            assert!(
                report.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && !report.contains("hunter2"),
                "{report}"
            );
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn keeps_details_of_other_crates_out_of_the_log() {
        let written = Written::default();
        let writer = written.clone();
        let filter = EnvFilter::new("trace,aws_smithy_runtime=trace,sqlx=trace").and(cap());
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_filter(filter);
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            tracing::trace!(target: "aws_smithy_runtime::client", "a secret body");
            tracing::debug!(target: "hyper::proto", "a secret header");
            tracing::debug!(target: "sqlx::query", "a secret value");
            tracing::warn!(target: "sqlx_postgres::options::parse", "a secret parameter");
            tracing::warn!(target: "sqlx::query", "a slow statement");
            tracing::trace!(target: "shared::outbox", "our own");
        });
        let text =
            String::from_utf8(written.0.lock().expect("not poisoned").clone()).expect("UTF-8");
        assert!(text.contains("a slow statement") && text.contains("our own"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
