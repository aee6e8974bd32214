//! The command line of the binaries.

use std::{collections::BTreeMap, time::Duration};

use bus::{BusSettings, Message, Packing};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{
    ministack::MiniStack,
    process::{Command, binary},
    wait_until,
};
use system::{Bus, Service, TestSuite, aws};

/// Time within which a process does what a test waits for.
const LIMIT: Duration = Duration::from_secs(30);

fn without_variables(service: Service) -> Command {
    Command::new(service.binary()).without_ports()
}

#[tokio::test]
async fn prints_help_and_version() {
    for service in Service::ALL {
        let (code, help) = without_variables(service).arg("--help").run().await;
        assert_eq!(code, Some(0));
        for word in ["serve", "migrate", "config", "healthcheck", "DATABASE_URL", "[default: 9090]"]
        {
            assert!(help.contains(word), "{word}: {help}");
        }
        let (code, version) = without_variables(service).arg("--version").run().await;
        assert_eq!(
            (code, version.trim()),
            (Some(0), format!("{} {}", service.binary(), service::VERSION).as_str())
        );
    }
}

#[test]
fn ends_quietly_when_reader_closes_pipe() {
    let commands = [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["config", "list"], 0),
        // Required variables are missing.
        (&["config", "check"], 78),
    ];
    for service in Service::ALL {
        for (arguments, code) in commands {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            let mut command = std::process::Command::new(binary(service.binary()));
            command.args(arguments).env_clear().stdout(writer);
            let output = command.output().expect("the binary runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
            assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
        }
    }
}

#[tokio::test]
async fn names_all_missing_variables_at_start() {
    for service in Service::ALL {
        let (code, report) = without_variables(service).env("PORT", "s3cret").run().await;
        assert_eq!(code, Some(78), "{report}");
        for name in ["BUS", "DATABASE_URL", "PORT"] {
            assert!(report.contains(name), "{name}: {report}");
        }
        assert!(!report.contains("s3cret"), "{report}");
    }
}

#[tokio::test]
async fn refuses_aws_bus_without_topics_and_queues() {
    let expected = [
        (Service::Reminders, &["EVENT_TOPIC_ARN"][..]),
        (Service::Events, &["EVENT_TOPIC_ARN", "EVENT_QUEUE_URL"]),
        (Service::Scheduler, &["NOTIFICATION_TOPIC_ARN"]),
        (
            Service::Notifications,
            &[
                "EVENT_TOPIC_ARN",
                "NOTIFICATION_QUEUE_URL",
                "FCM_PROJECT_CONFIG",
                "SES_SOURCE_EMAIL",
            ],
        ),
    ];
    for (service, names) in expected {
        let (code, report) = without_variables(service)
            .env("BUS", "aws")
            .env("DATABASE_URL", "postgres://u:p@127.0.0.1/x")
            .run()
            .await;
        assert_eq!(code, Some(78), "{report}");
        for name in names {
            assert!(report.contains(name), "{}: {name}: {report}", service.binary());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_configuration_without_showing_values() {
    let suite = TestSuite::without_services(Bus::Postgres).await;
    for service in Service::ALL {
        let (code, table) =
            suite.command(service).arg("config").arg("check").without_ports().run().await;
        assert_eq!(code, Some(0), "{table}");
        assert!(table.contains("DATABASE_URL") && !table.contains("system_"), "{table}");
        let (code, list) =
            suite.command(service).arg("config").arg("list").without_ports().run().await;
        assert_eq!(code, Some(0));
        let listed: Vec<BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(&list).expect("JSON");
        assert!(
            listed.iter().any(|setting| setting["name"] == "BUS" && setting["required"] == true)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_every_variable_in_example_file() {
    let example = include_str!("../../../.env.example");
    let suite = TestSuite::without_services(Bus::Postgres).await;
    for service in Service::ALL {
        let (_, list) =
            suite.command(service).arg("config").arg("list").without_ports().run().await;
        let listed: Vec<BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(&list).expect("JSON");
        for setting in listed {
            let name = setting["name"].as_str().expect("a name");
            let is_listed = example
                .lines()
                .any(|line| line.trim_start_matches("# ").starts_with(&format!("{name}=")));
            assert!(is_listed, "{name} of {} is not in .env.example", service.binary());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stays_unready_until_schema_is_migrated() {
    let suite = TestSuite::without_services(Bus::Postgres).await;
    for service in Service::ALL {
        let empty = support::postgres::database("unmigrated").await;
        let waiting = suite.command(service).env("DATABASE_URL", empty.url()).start().await;
        let admin = support::http::Client::new(waiting.admin_url());
        assert_eq!(admin.get("/healthz").await.status, 200);
        assert_eq!(admin.get("/readyz").await.status, 503, "{}", service.binary());
        assert_eq!(waiting.terminate().await, Some(0), "{}", service.binary());

        let ready = suite.command(service).start().await;
        ready.wait_until_ready(Duration::from_secs(30)).await;
        let metrics = support::http::Client::new(ready.admin_url()).get("/metrics").await;
        assert_eq!(metrics.status, 200);
        assert_eq!(ready.terminate().await, Some(0), "{}", service.binary());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_health_of_process_on_same_host() {
    let suite = TestSuite::without_services(Bus::Postgres).await;
    for service in Service::ALL {
        let empty = support::postgres::database("unmigrated").await;
        let process = suite.command(service).env("DATABASE_URL", empty.url()).start().await;
        let port = process.admin_addr().port().to_string();
        let ask = || without_variables(service).env("ADMIN_PORT", &port).arg("healthcheck");
        assert_eq!(ask().run().await, (Some(0), String::new()), "{}", service.binary());
        let (code, output) = ask().arg("--ready").run().await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("503") && output.contains("database"), "{output}");

        process.kill().await;
        let (code, output) = ask().run().await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("could not connect"), "{output}");
    }
}

/// Lines of a log that are JSON, each with its service.
fn json_lines(service: Service, log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect(line);
        assert_eq!(line["service"], service.binary(), "{line}");
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
        line
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_json_lines_from_the_first_to_the_last() {
    let suite = TestSuite::without_services(Bus::Postgres).await;
    for service in Service::ALL {
        let mut process = suite
            .command(service)
            .envs([("LOG_FORMAT", "json"), ("RUST_LOG", "debug")])
            .without_ports()
            .start()
            .await;
        let announced = |log: &str| {
            let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
            let lines = json_lines(service, whole);
            lines.into_iter().find(|line| line.get("admin").is_some())
        };
        wait_until(LIMIT, async || announced(&process.log()).is_some()).await;
        let ports = announced(&process.log()).expect("the line that names the ports");
        if let Some(rest) = ports["rest"].as_str() {
            let client = support::http::Client::new(format!("http://{rest}"));
            client.get("/openapi.json?secret=query").await;
            let answered = r#""message":"request answered""#;
            wait_until(LIMIT, async || process.log().contains(answered)).await;
        }
        process.signal(Signal::SIGTERM);
        assert_eq!(process.ended(LIMIT).await, Some(0));
        let lines = json_lines(service, &process.log());
        let requests = lines.iter().filter(|line| line["message"] == "request answered");
        for request in requests {
            assert_eq!(request["http.route"], "/openapi.json", "{request}");
            assert_eq!(
                (&request["http.method"], &request["level"]),
                (&json!("GET"), &json!("DEBUG"))
            );
            assert!(request["request.id"].is_string() && request["latency_ms"].is_number());
        }
        assert!(!process.log().contains("secret=query"));
    }
}

#[tokio::test]
async fn reports_faults_as_one_json_line_when_asked() {
    for service in Service::ALL {
        let (code, report) =
            without_variables(service).env("LOG_FORMAT", "json").env("PORT", "s3cret").run().await;
        assert_eq!(code, Some(78), "{report}");
        let [line] = json_lines(service, &report).try_into().expect("one line");
        let faults = line["faults"].as_array().expect("a list");
        for name in ["BUS", "DATABASE_URL", "PORT"] {
            assert!(faults.iter().any(|fault| fault["variable"] == name), "{name}: {line}");
        }
        assert!(!report.contains("s3cret"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describes_every_metric_it_exposes() {
    let suite = TestSuite::without_services(Bus::Postgres).await;
    for service in Service::ALL {
        let process = suite.command(service).start().await;
        process.wait_until_ready(LIMIT).await;
        let client = support::http::Client::new(process.admin_url());
        let metrics = client.get("/metrics").await.body.as_str().expect("text").to_owned();
        let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<_> = types.filter_map(|line| line.split(' ').next()).collect();
        for name in &names {
            assert!(name.starts_with("reminders_") || name.starts_with("process_"), "{name}");
            assert!(metrics.contains(&format!("# HELP {name} ")), "{name} has no help text");
        }
        for name in [
            "reminders_build_info",
            "reminders_database_connections",
            "reminders_database_connections_max",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
        ] {
            assert!(names.contains(&name), "{name} of {}: {metrics}", service.binary());
        }
        process.kill().await;
    }
}

/// The manifests are checked against these files (tests/verify).
#[tokio::test]
async fn each_config_json_is_the_binarys_own_list() {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for service in Service::ALL {
        let (_, list) = without_variables(service).arg("config").arg("list").run().await;
        let mut listed: Vec<BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(&list).expect("JSON");
        for setting in &mut listed {
            setting.remove("set");
        }
        let current = format!("{}\n", serde_json::to_string_pretty(&listed).expect("JSON"));
        let file = workspace.join(service.binary()).join("config.json");
        if std::env::var_os("UPDATE_CONFIG").is_some() {
            std::fs::write(&file, &current).expect("written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == current, "{} is out of date: run `make config`", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_messages_when_aws_is_provisioned_again() {
    let ministack = MiniStack::start().await;
    let first = aws::with_suite(ministack.endpoint(), &["--prefix", "dev-"]).await;
    assert!(first["EVENT_TOPIC_ARN"].ends_with(":dev-event-topic"), "{first:?}");
    let bus =
        bus::connect(&BusSettings::Aws(aws::settings(ministack.endpoint())), &Packing::default())
            .await
            .expect("a bus");
    let message = Message { body: "kept".to_owned(), attributes: BTreeMap::new() };
    bus.publish(&first["EVENT_TOPIC_ARN"], &[message]).await.expect("published");

    assert_eq!(aws::with_suite(ministack.endpoint(), &["--prefix", "dev-"]).await, first);
    let received = bus
        .receive(&first["EVENT_QUEUE_URL"], 10, Duration::from_secs(30), Duration::from_secs(5))
        .await;
    let bodies: Vec<_> =
        received.expect("the queue is there").into_iter().map(|received| received.body).collect();
    assert_eq!(bodies, ["kept"]);
}

#[tokio::test]
async fn refuses_to_provision_real_aws() {
    let (code, output) = Command::new("suite").without_ports().arg("provision").run().await;
    assert_eq!(code, Some(1));
    assert!(output.contains("AWS_ENDPOINT_URL") && output.contains("Terraform"), "{output}");
}
