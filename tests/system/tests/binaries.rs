//! The command line that every binary has.

use std::{collections::BTreeMap, time::Duration};

use support::process::Command;
use system::{Bus, House, Service};

fn bare(service: Service) -> Command {
    Command::new(service.binary()).without_ports()
}

#[tokio::test]
async fn help_and_version_answer_at_once() {
    for service in Service::ALL {
        let (code, help) = bare(service).arg("--help").run().await;
        assert_eq!(code, Some(0));
        for command in ["serve", "migrate", "config"] {
            assert!(help.contains(command), "{help}");
        }
        let (code, version) = bare(service).arg("--version").run().await;
        assert_eq!(
            (code, version.trim()),
            (Some(0), format!("{} {}", service.binary(), env!("CARGO_PKG_VERSION")).as_str())
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
            &["EVENT_TOPIC_ARN", "NOTIFICATION_QUEUE_URL", "FCM_PROJECT_CONFIG", "SES_SOURCE_EMAIL"],
        ),
    ];
    for (service, names) in expected {
        let (code, report) =
            bare(service).env("BUS", "aws").env("DATABASE_URL", "postgres://u:p@127.0.0.1/x").run().await;
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
        let (code, table) = house.command(service).arg("config").arg("check").without_ports().run().await;
        assert_eq!(code, Some(0), "{table}");
        assert!(table.contains("DATABASE_URL") && !table.contains("system_"), "{table}");
        let (code, list) = house.command(service).arg("config").arg("list").without_ports().run().await;
        assert_eq!(code, Some(0));
        let listed: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(&list).expect("JSON");
        assert!(listed.iter().any(|setting| setting["name"] == "BUS" && setting["required"] == true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_variable_is_in_the_example_file() {
    let example = include_str!("../../../.env.example");
    let house = House::empty(Bus::Postgres).await;
    for service in Service::ALL {
        let (_, list) = house.command(service).arg("config").arg("list").without_ports().run().await;
        let listed: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(&list).expect("JSON");
        for setting in listed {
            let name = setting["name"].as_str().expect("a name");
            let there = example.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{name}=")));
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
