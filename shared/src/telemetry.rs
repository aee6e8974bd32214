//! Logs, metrics and traces.
//!
//! Logs go to stdout, never with a token, an address or a body in them. Metrics are rendered for Prometheus on the
//! admin port. Traces are exported by OTLP over HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set; the W3C
//! `traceparent` travels with every message whether or not they are.

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
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

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
        let otlp_endpoint = reader.optional("OTEL_EXPORTER_OTLP_ENDPOINT", "OTLP/HTTP collector of traces");
        if filter.as_deref().is_some_and(|filter| EnvFilter::try_new(filter).is_err()) {
            reader.fault("RUST_LOG", "is malformed: expected a filter such as info,sqlx=warn");
        }
        Some(Self { format: format?, filter: filter?, otlp_endpoint })
    }
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
    let filter = EnvFilter::try_new(&settings.filter).context("RUST_LOG is malformed")?;
    let log: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Json => tracing_subscriber::fmt::layer().json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Pretty => {
            let ansi = std::io::stdout().is_terminal();
            tracing_subscriber::fmt::layer().with_ansi(ansi).with_target(false).with_filter(filter).boxed()
        }
    };
    let provider = settings.otlp_endpoint.as_deref().map(|endpoint| tracer(service, version, endpoint)).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service))
            .with_filter(EnvFilter::new("info,sqlx=off"))
    });
    Registry::default().with(log).with(traces).try_init().context("telemetry was installed before")?;
    metrics_handle();
    report_panics();
    Ok(TelemetryGuard(provider))
}

/// Logs and counts every panic, whatever it ends: a request, a task or a thread. Its message may hold what a user
/// wrote, so it is told by its place.
fn report_panics() {
    metrics::describe_counter!("reminders_panics_total", "Panics, each of which ended a request, a task or a thread");
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, thread = std::thread::current().name(), "a panic ended a request, a task or a thread");
        metrics::counter!("reminders_panics_total").increment(1);
    }));
}

fn tracer(service: &'static str, version: &'static str, endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    // The exporter's HTTP client asks rustls for the process's provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
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
        let seconds =
            [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];
        PrometheusBuilder::new()
            .set_buckets(&seconds)
            .and_then(PrometheusBuilder::install_recorder)
            .expect("the buckets are not empty and no other recorder is installed in this process")
    });
    // Samples of histograms pile up until somebody folds them into their buckets, and perhaps nobody scrapes.
    UPKEEP.call_once(|| {
        let upkeep = std::thread::Builder::new().name("metrics".to_owned());
        let started = upkeep.spawn(move || {
            loop {
                std::thread::sleep(UPKEEP_PERIOD);
                handle.run_upkeep();
            }
        });
        if let Err(error) = started {
            tracing::warn!(error = %error, "no thread for the upkeep of metrics; memory grows until they are scraped");
        }
    });
    handle
}
