//! Form of log lines, and of the lines that are printed beside the log.

use std::{fmt, net::SocketAddr};

use chrono::{SecondsFormat, Utc};
use env_config::{Env, Reader};
use serde_json::{Map, Value, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::TelemetrySettings;
use crate::settings::LogFormat;

/// Services by the crate that they are written in: a process that runs several names the one that
/// wrote the line.
const SERVICES: [(&str, &str); 4] = [
    ("reminder_service", "reminder-service"),
    ("event_service", "event-service"),
    ("notification_scheduler", "notification-scheduler"),
    ("notification_service", "notification-service"),
];

/// Adds the field `service` to every line of another format.
pub(super) struct WithService<F> {
    /// Format of the rest of the line.
    pub(super) inner: F,
    /// Name of the process.
    pub(super) service: &'static str,
    /// Form of the line.
    pub(super) format: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for WithService<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner.format_event(ctx, Writer::new(&mut line), event)?;
        let target = event.metadata().target().split("::").next().unwrap_or_default();
        let hosted = SERVICES.iter().find(|(krate, _)| *krate == target);
        let service = hosted.map_or(self.service, |(_, name)| name);
        match (self.format, line.strip_prefix('{')) {
            (LogFormat::Json, Some(fields)) => {
                write!(writer, "{{\"service\":\"{service}\",{fields}")
            }
            _ => writeln!(writer, "{} service={service}", line.trim_end_matches('\n')),
        }
    }
}

/// Returns the form of the lines that are printed beside the log: JSON if `LOG_FORMAT=json` is
/// set. Without it they are text, although the log is JSON: people and scripts read them.
pub(crate) fn line_format(env: &dyn Env) -> LogFormat {
    Reader::new(env).optional("LOG_FORMAT", "").unwrap_or(LogFormat::Pretty)
}

/// Writes a line in the form of the JSON log.
pub(crate) fn json_line(
    level: &'static str,
    service: &str,
    message: &str,
    fields: Map<String, Value>,
) -> String {
    let mut line = fields;
    line.insert("timestamp".into(), Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true).into());
    line.insert("level".into(), level.into());
    line.insert("service".into(), service.into());
    line.insert("message".into(), message.into());
    Value::Object(line).to_string()
}

impl TelemetrySettings {
    /// Prints the addresses that a service listens on, whatever `RUST_LOG` says: ports may have
    /// been chosen by the system.
    pub fn announce(&self, service: &str, rest: Option<SocketAddr>, admin: SocketAddr) {
        println!("{}", announcement(self.line_format, service, rest, admin));
    }
}

fn announcement(
    format: LogFormat,
    service: &str,
    rest: Option<SocketAddr>,
    admin: SocketAddr,
) -> String {
    let addresses = rest.map_or_else(String::new, |rest| format!("rest={rest} "));
    let message = format!("listening {addresses}admin={admin}");
    if format == LogFormat::Pretty {
        return message;
    }
    let mut fields = Map::from_iter([("admin".to_owned(), json!(admin))]);
    if let Some(rest) = rest {
        fields.insert("rest".to_owned(), json!(rest));
    }
    json_line("INFO", service, &message, fields)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io,
        sync::{Arc, Mutex},
    };

    use axum::{Router, body::Body, http::Request, routing::get};
    use rest::{ApiSettings, Auth, Authenticator, api};
    use tower::ServiceExt as _;
    use tracing_subscriber::{Registry, layer::SubscriberExt as _};

    use super::*;
    use crate::telemetry::log_layer;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Output {
        fn lines(&self) -> Vec<String> {
            let bytes = self.0.lock().expect("not poisoned").clone();
            String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect()
        }
    }

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn settings(format: LogFormat) -> TelemetrySettings {
        TelemetrySettings {
            format,
            line_format: format,
            filter: "debug".into(),
            otlp_endpoint: None,
        }
    }

    fn logged(format: LogFormat, write: impl FnOnce()) -> Vec<String> {
        let (output, settings) = (Output::default(), settings(format));
        let writer = output.clone();
        let layer = log_layer("suite", &settings, move || writer.clone()).expect("a filter");
        tracing::subscriber::with_default(Registry::default().with(layer), write);
        output.lines()
    }

    fn parsed(line: &str) -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[test]
    fn names_the_service_in_json_lines() {
        let lines = logged(LogFormat::Json, || {
            tracing::info!(answer = 42, "from a library");
            tracing::info!(target: "event_service::consumer", "from a service");
        });
        let [library, service] = lines.as_slice() else { panic!("two lines: {lines:?}") };
        assert_eq!(parsed(library)["service"], "suite");
        assert_eq!(parsed(library)["message"], "from a library");
        assert_eq!(parsed(library)["answer"], 42);
        assert_eq!(parsed(service)["service"], "event-service");
    }

    #[test]
    fn names_the_service_at_the_end_of_pretty_lines() {
        let lines = logged(LogFormat::Pretty, || tracing::warn!(answer = 42, "happened"));
        assert!(lines[0].ends_with("happened answer=42 service=suite"), "{lines:?}");
    }

    #[test]
    fn logs_one_line_for_each_request() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let routes = Router::new().route("/notes/{id}", get(async || "a secret body"));
        let authenticator =
            Authenticator::new(Auth::Gateway { secret: None }).expect("an authenticator");
        let app = api(routes, authenticator, &ApiSettings::default());
        let request = Request::get("/notes/secret-id?secret=query")
            .header("x-authenticated-userid", "secret-user")
            .header("x-consumer-username", "secret@example.com")
            .header("x-request-id", "request-1")
            .body(Body::from("a secret body"))
            .expect("a request");
        let lines = logged(LogFormat::Json, || {
            runtime.block_on(app.oneshot(request)).expect("an answer");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = parsed(&lines[0]);
        assert_eq!(line["level"], "DEBUG");
        assert_eq!(line["http.method"], "GET");
        assert_eq!(line["http.route"], "/notes/{id}");
        assert_eq!(line["http.status"], 200);
        assert_eq!(line["request.id"], "request-1");
        assert!(line["latency_ms"].is_number(), "{line}");
        assert!(!lines[0].contains("secret"), "{line}");
    }

    #[test]
    fn announces_ports_as_text_unless_json_is_asked_for() {
        let env = |value: &str| BTreeMap::from([("LOG_FORMAT".to_owned(), value.to_owned())]);
        assert_eq!(line_format(&BTreeMap::new()), LogFormat::Pretty);
        assert_eq!(line_format(&env("json")), LogFormat::Json);
        let (rest, admin) = (([127, 0, 0, 1], 3000).into(), ([127, 0, 0, 1], 9090).into());
        assert_eq!(
            announcement(LogFormat::Pretty, "a-service", Some(rest), admin),
            "listening rest=127.0.0.1:3000 admin=127.0.0.1:9090"
        );
        let line = parsed(&announcement(LogFormat::Json, "a-service", None, admin));
        assert_eq!(line["message"], "listening admin=127.0.0.1:9090");
        assert_eq!((&line["service"], &line["level"]), (&json!("a-service"), &json!("INFO")));
        assert_eq!((&line["admin"], line.get("rest")), (&json!("127.0.0.1:9090"), None));
    }
}
