//! Logs, metrics and traces.
//!
//! Logs go to stdout, never with a token, an address or a body in them. Metrics are rendered for
//! Prometheus on the admin port. Traces are exported by OTLP over HTTP when
//! `OTEL_EXPORTER_OTLP_ENDPOINT` is set; the W3C `traceparent` travels with every message whether
//! or not they are.

mod build_info;
mod log;
mod metrics;
mod process;
mod trace_context;

use std::io::IsTerminal;

use anyhow::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, LevelFilter, Targets},
    fmt::{MakeWriter, format, format::JsonFields},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use url::Url;

pub(crate) use log::{json_line, line_format};
pub(crate) use metrics::render;
pub use metrics::{Kind, METRICS, Metric, describe_service, metrics_handle};
pub use trace_context::{set_parent, traceparent_of};

use log::WithService;

use crate::settings::LogFormat;
use env_config::Reader;

/// Settings of logs and traces.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// Form of log lines.
    pub format: LogFormat,
    /// Form of lines that are printed beside the log: JSON only if `LOG_FORMAT=json` is set.
    pub line_format: LogFormat,
    /// Filter of `tracing`, such as `info,sqlx=warn`.
    pub filter: String,
    /// Collector of traces; without one none are exported.
    pub otlp_endpoint: Option<String>,
}

impl TelemetrySettings {
    /// Reads `LOG_FORMAT RUST_LOG OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let format = reader.or("LOG_FORMAT", "form of log lines: pretty or json", LogFormat::Json);
        let given = reader.optional("LOG_FORMAT", "form of log lines: pretty or json");
        let filter =
            reader.or("RUST_LOG", "log filter, such as debug or info,sqlx=warn", "info".to_owned());
        let otlp_endpoint = otlp_endpoint(reader)?;
        if filter.as_deref().is_some_and(|filter| EnvFilter::try_new(filter).is_err()) {
            reader.fault("RUST_LOG", "is malformed: expected a filter such as info,sqlx=warn");
        }
        let line_format = given.unwrap_or(LogFormat::Pretty);
        Some(Self { format: format?, line_format, filter: filter?, otlp_endpoint })
    }
}

/// Reads the collector's address; the outer option is `None` if it is malformed, which is a fault.
fn otlp_endpoint(reader: &mut Reader<'_>) -> Option<Option<String>> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let Some(text) = reader
        .optional::<String>(NAME, "collector of traces (OTLP over HTTP); unset, none are sent")
    else {
        return Some(None);
    };
    // Checked here, because the exporter's error quotes a malformed address, which may contain a
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
            tracing::warn!(error = %error, "traces were not exported at the end of the process");
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
    let log = log_layer(service, settings, std::io::stdout)?;
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

/// Builds the layer that writes log lines.
fn log_layer<W>(
    service: &'static str,
    settings: &TelemetrySettings,
    writer: W,
) -> anyhow::Result<Box<dyn Layer<Registry> + Send + Sync>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&settings.filter).context("RUST_LOG is malformed")?.and(cap());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match settings.format {
        LogFormat::Json => {
            let inner = format().json().flatten_event(true);
            let lines = WithService { inner, service, format: LogFormat::Json };
            layer.fmt_fields(JsonFields::new()).event_format(lines).with_filter(filter).boxed()
        }
        LogFormat::Pretty => {
            let ansi = std::io::stdout().is_terminal();
            let inner = format().with_ansi(ansi).with_target(false);
            let lines = WithService { inner, service, format: LogFormat::Pretty };
            layer.with_ansi(ansi).event_format(lines).with_filter(filter).boxed()
        }
    })
}

/// Logs and counts every panic, of a request, a task or a thread. Its message may contain text of a
/// user, so only its location is logged.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            location,
            thread = std::thread::current().name(),
            "panic in a request, task or thread"
        );
        ::metrics::counter!("reminders_panics_total").increment(1);
    }));
}

/// Targets of this workspace, whose logs hold no token, address or body at any level.
const OWN_TARGETS: [&str; 22] = [
    "backoff",
    "bus",
    "contract",
    "db",
    "env_config",
    "fcm",
    "jwt_crypto",
    "recurrence",
    "rest",
    "service",
    "time_zone",
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

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// A crate that is not listed logs nothing below the level of foreign crates.
    #[test]
    fn lists_every_crate_as_own_target() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
        let (_, members) = manifest.split_once("members = [").expect("the members");
        let (members, _) = members.split_once(']').expect("the end of the members");
        let folders = members.split('"').skip(1).step_by(2);
        for folder in folders.filter(|folder| !folder.starts_with("tests/")) {
            let manifest = std::fs::read_to_string(root.join(folder).join("Cargo.toml"));
            let manifest = manifest.expect("the manifest of a member");
            let (_, name) = manifest.split_once("name = \"").expect("a name");
            let name = name.split('"').next().unwrap_or_default().replace('-', "_");
            assert!(OWN_TARGETS.contains(&name.as_str()), "{name} is missing in OWN_TARGETS");
        }
    }

    #[test]
    fn never_prints_a_malformed_collector() {
        for address in ["http//user:hunter2@collector", "hunter2", "ftp://hunter2/"] {
            let env =
                BTreeMap::from([("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), address.to_owned())]);
            let report =
                env_config::read(&env, TelemetrySettings::read).expect_err("a fault").to_string();
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
            tracing::trace!(target: "service::outbox", "our own");
        });
        let text =
            String::from_utf8(written.0.lock().expect("not poisoned").clone()).expect("UTF-8");
        assert!(text.contains("a slow statement") && text.contains("our own"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
