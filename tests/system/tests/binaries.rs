//! The command line that every binary has.

use std::{collections::BTreeMap, time::Duration};

use shared::bus::{BusSettings, Message};
use support::{ministack::MiniStack, process::Command};
use system::{Bus, House, Service, aws};

fn bare(service: Service) -> Command {
    Command::new(service.binary()).without_ports()
}

#[tokio::test]
async fn help_and_version_answer_at_once() {
    for service in Service::ALL {
        let (code, help) = bare(service).arg("--help").run().await;
        assert_eq!(code, Some(0));
        for command in ["serve", "migrate", "config", "healthcheck"] {
            assert!(help.contains(command), "{help}");
        }
        let (code, version) = bare(service).arg("--version").run().await;
        assert_eq!(
            (code, version.trim()),
            (Some(0), format!("{} {}", service.binary(), shared::VERSION).as_str())
        );
    }
}

#[tokio::test]
async fn a_start_without_configuration_names_everything_that_is_missing() {
    for service in Service::ALL {
        let (code, report) = bare(service).env("PORT", "s3cret").run().await;
        assert_eq!(code, Some(78), "{report}");
        for name in ["BUS", "DATABASE_URL", "PORT"] {
            assert!(report.contains(name), "{name}: {report}");
        }
        assert!(!report.contains("s3cret"), "{report}");
    }
}

#[tokio::test]
async fn aws_without_its_topics_and_queues_is_refused() {
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
        let (code, report) = bare(service)
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
async fn config_check_shows_the_variables_and_no_value() {
    let house = House::empty(Bus::Postgres).await;
    for service in Service::ALL {
        let (code, table) =
            house.command(service).arg("config").arg("check").without_ports().run().await;
        assert_eq!(code, Some(0), "{table}");
        assert!(table.contains("DATABASE_URL") && !table.contains("system_"), "{table}");
        let (code, list) =
            house.command(service).arg("config").arg("list").without_ports().run().await;
        assert_eq!(code, Some(0));
        let listed: Vec<BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(&list).expect("JSON");
        assert!(
            listed.iter().any(|setting| setting["name"] == "BUS" && setting["required"] == true)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_variable_is_in_the_example_file() {
    let example = include_str!("../../../.env.example");
    let house = House::empty(Bus::Postgres).await;
    for service in Service::ALL {
        let (_, list) =
            house.command(service).arg("config").arg("list").without_ports().run().await;
        let listed: Vec<BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(&list).expect("JSON");
        for setting in listed {
            let name = setting["name"].as_str().expect("a name");
            let there = example
                .lines()
                .any(|line| line.trim_start_matches("# ").starts_with(&format!("{name}=")));
            assert!(there, "{name} of {} is not in .env.example", service.binary());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_waits_unready_for_its_schema_and_drains_on_sigterm() {
    let house = House::empty(Bus::Postgres).await;
    for service in Service::ALL {
        let empty = support::postgres::database("unmigrated").await;
        let waiting = house.command(service).env("DATABASE_URL", empty.url()).start().await;
        let admin = support::http::Client::new(waiting.admin_url());
        assert_eq!(admin.get("/healthz").await.status, 200);
        assert_eq!(admin.get("/readyz").await.status, 503, "{}", service.binary());
        assert_eq!(waiting.terminate().await, Some(0), "{}", service.binary());

        let ready = house.command(service).start().await;
        ready.ready(Duration::from_secs(30)).await;
        let metrics = support::http::Client::new(ready.admin_url()).get("/metrics").await;
        assert_eq!(metrics.status, 200);
        assert_eq!(ready.terminate().await, Some(0), "{}", service.binary());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_asks_the_process_beside_it() {
    let house = House::empty(Bus::Postgres).await;
    for service in Service::ALL {
        let empty = support::postgres::database("unmigrated").await;
        let process = house.command(service).env("DATABASE_URL", empty.url()).start().await;
        let port = process.admin_addr().port().to_string();
        let ask = || bare(service).env("ADMIN_PORT", &port).arg("healthcheck");
        assert_eq!(ask().run().await, (Some(0), String::new()), "{}", service.binary());
        let (code, said) = ask().arg("--ready").run().await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("503") && said.contains("database"), "{said}");

        process.kill().await;
        let (code, said) = ask().run().await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("could not connect"), "{said}");
    }
}

/// What manifests are checked against (tests/verify): without a variable of the environment set.
#[tokio::test]
async fn each_config_json_is_the_binarys_own_list() {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for service in Service::ALL {
        let (_, list) = bare(service).arg("config").arg("list").run().await;
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
        assert!(committed == current, "{} is behind: `make config` writes it", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_aws_may_be_set_up_again_and_keeps_what_lies_in_it() {
    let ministack = MiniStack::start().await;
    let first = aws::by_the_suite(ministack.endpoint(), &["--prefix", "dev-"]).await;
    assert!(first["EVENT_TOPIC_ARN"].ends_with(":dev-event-topic"), "{first:?}");
    let bus = shared::bus::connect(&BusSettings::Aws(aws::settings(ministack.endpoint())))
        .await
        .expect("a bus");
    let message = Message { body: "kept".to_owned(), attributes: BTreeMap::new() };
    bus.publish(&first["EVENT_TOPIC_ARN"], &[message]).await.expect("published");

    assert_eq!(aws::by_the_suite(ministack.endpoint(), &["--prefix", "dev-"]).await, first);
    let took = bus
        .receive(&first["EVENT_QUEUE_URL"], 10, Duration::from_secs(30), Duration::from_secs(5))
        .await;
    let bodies: Vec<_> =
        took.expect("the queue is there").into_iter().map(|received| received.body).collect();
    assert_eq!(bodies, ["kept"]);
}

#[tokio::test]
async fn provision_never_touches_aws_itself() {
    let (code, said) = Command::new("suite").without_ports().arg("provision").run().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("AWS_ENDPOINT_URL") && said.contains("Terraform"), "{said}");
}
