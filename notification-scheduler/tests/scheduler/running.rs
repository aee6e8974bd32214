//! Whole schedulers.

use std::{collections::BTreeMap, time::Duration};

use contract::EventType;
use notification_scheduler::{App, Config, tasks::scheduler::Settings};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::{http::Client, wait_until};
use tokio_util::sync::CancellationToken;

use crate::fixture::{TestService, bus, bus_with_queue, drain, occurrences, test_service};

const LIMIT: Duration = Duration::from_secs(30);

async fn nothing_is_pending(service: &TestService) {
    wait_until(LIMIT, async || service.count("pending").await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_due_once_and_marks_it() {
    let service = test_service().await;
    let bus = service.bus().await;
    service.make(1_200, "-1 minute").await;
    service.make(100, "300 milliseconds").await;
    service.make(1, "1 hour").await;
    let shutdown = CancellationToken::new();
    let schedulers = [
        service.scheduler(bus.clone()),
        service.scheduler(bus.clone()),
        service.scheduler(bus.clone()),
    ];
    let running = schedulers.map(|scheduler| {
        let shutdown = shutdown.clone();
        tokio::spawn(async move { scheduler.run(shutdown).await })
    });
    wait_until(LIMIT, async || service.count("state = 'released'").await == 1_300).await;
    shutdown.cancel();
    for scheduler in running {
        scheduler.await.expect("drained");
    }
    let events = drain(&bus).await;
    assert_eq!((events.len(), occurrences(&events).len()), (1_300, 1_300));
    assert!(
        events
            .iter()
            .all(|event| event.event_type == EventType::NotificationSend && event.version == 3)
    );
    assert_eq!(service.count("pending and lease_until = '-infinity'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_others_beside_one_users_backlog() {
    let service = test_service().await;
    let bus = service.bus().await;
    service.make_of("crowd", 5_000, "-1 minute").await;
    let scheduler = service.scheduler(bus.clone());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { scheduler.run(stop).await });
    wait_until(LIMIT, async || service.count("state = 'released'").await >= 500).await;
    service.make_of("another", 20, "-1 second").await;
    let others = "state = 'released' and user_key = occurrence_user_key('another', 'normal')";
    wait_until(LIMIT, async || service.count(others).await == 20).await;
    // All of the others' were released while most of the backlog waited.
    let waiting = service.count("pending").await;
    assert!(waiting > 2_000, "{waiting} of 5000 were waiting");
    nothing_is_pending(&service).await;
    shutdown.cancel();
    running.await.expect("drained");
    assert_eq!(drain(&bus).await.len(), 5_020);
}

/// Waits until the schedulers of a database are asleep: in two seconds, one that polls has forty
/// transactions. PostgreSQL counts them up to ten seconds late.
async fn wait_for_sleep(service: &TestService) {
    let announced = "select count(*) from scheduler_sleep where asleep_until > now()";
    let commits = "select xact_commit from pg_stat_database where datname = current_database()";
    let read = async |sql: &'static str| {
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&service.pool).await.expect("read")
    };
    let is_asleep = async || {
        let before = read(commits).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let polled = read(commits).await - before;
        read(announced).await > 0 && polled < 20
    };
    wait_until(LIMIT, is_asleep).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sleeps_until_something_is_due_or_planned() {
    let service = test_service().await;
    let scheduler = service.scheduler(service.bus().await);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { scheduler.run(stop).await });
    wait_for_sleep(&service).await;

    // One that is due during the sleep, and then one that is due before that.
    service.make(1, "3 seconds").await;
    service.make(1, "1 second").await;
    wait_until(LIMIT, async || service.count("state = 'released'").await == 2).await;
    let late = "state = 'released' and released_at > due_at + interval '1 second'";
    assert_eq!(service.count(late).await, 0);

    // One that somebody plans without waking the scheduler.
    wait_for_sleep(&service).await;
    service.make_silently("user-1", 1, "0 seconds").await;
    nothing_is_pending(&service).await;
    shutdown.cancel();
    running.await.expect("drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_ahead_within_milliseconds() {
    let service = test_service().await;
    let bus = service.bus().await;
    let scheduler = service.scheduler(bus);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { scheduler.run(stop).await });
    for due in ["211 milliseconds", "333 milliseconds", "457 milliseconds"] {
        service.make(1, due).await;
    }
    nothing_is_pending(&service).await;
    shutdown.cancel();
    running.await.expect("drained");
    let sql = "select min(extract(epoch from released_at - due_at))::float8,
        max(extract(epoch from released_at - due_at))::float8 from occurrences";
    let (earliest, latest): (f64, f64) =
        sqlx::query_as(sql).fetch_one(&service.pool).await.expect("times");
    // The upper bound is generous for a machine that runs other tests; the benchmark measures the
    // real one.
    let ahead = Settings::CLAIM_AHEAD.as_secs_f64();
    assert!((-ahead..0.0).contains(&earliest) && latest < 1.0, "{earliest} {latest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_expired_without_publishing() {
    let service = test_service().await;
    let bus = service.bus().await;
    service.make(3, "-2 hours").await;
    service.make(2, "-1 minute").await;
    let scheduler = service.scheduler(bus.clone());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { scheduler.run(stop).await });
    nothing_is_pending(&service).await;
    shutdown.cancel();
    running.await.expect("drained");
    assert_eq!(
        (service.count("state = 'suppressed'").await, service.count("state = 'released'").await),
        (3, 2)
    );
    assert_eq!(drain(&bus).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_leases_when_topic_is_unreachable() {
    let service = test_service().await;
    service.make(10, "-1 minute").await;
    let nowhere = bus("postgres://nobody@127.0.0.1:9/none").await;
    let scheduler = service.scheduler(nowhere);
    let shutdown = CancellationToken::new();
    let (stop, running) = (shutdown.clone(), scheduler.clone());
    let running = tokio::spawn(async move { running.run(stop).await });
    wait_until(LIMIT, async || {
        service.count("fence > 0 and pending and lease_until <= now()").await == 10
    })
    .await;
    assert!(!scheduler.topic_answers());
    shutdown.cancel();
    running.await.expect("drained");
    assert_eq!(service.count("pending and lease_until <= now()").await, 10);

    let bus = service.bus().await;
    let shutdown = CancellationToken::new();
    let (stop, scheduler) = (shutdown.clone(), service.scheduler(bus.clone()));
    let running = tokio::spawn(async move { scheduler.run(stop).await });
    nothing_is_pending(&service).await;
    shutdown.cancel();
    running.await.expect("drained");
    assert_eq!(drain(&bus).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn recovers_when_database_is_back() {
    let service = test_service().await;
    let other = support::postgres::database("bus").await;
    let scheduler = service.scheduler(bus_with_queue(other.url()).await);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { scheduler.run(stop).await });

    let mut admin =
        PgConnection::connect(&support::postgres::cluster_url().await.expect("the cluster"))
            .await
            .expect("connects");
    let name = service.database.name();
    let away = format!("alter database {name} allow_connections false");
    sqlx::raw_sql(AssertSqlSafe(away)).execute(&mut admin).await.expect("closed");
    let ended =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    sqlx::raw_sql(AssertSqlSafe(ended)).execute(&mut admin).await.expect("ended");
    let back = format!("alter database {name} allow_connections true");
    sqlx::raw_sql(AssertSqlSafe(back)).execute(&mut admin).await.expect("open");

    wait_until(LIMIT, async || sqlx::query("select 1").execute(&service.pool).await.is_ok()).await;
    service.make(10, "-1 minute").await;
    nothing_is_pending(&service).await;
    shutdown.cancel();
    running.await.expect("drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_health_and_drains() {
    // As `main` does, before anything is counted.
    service::telemetry::metrics_handle();
    let service = test_service().await;
    let variables = [
        ("DATABASE_URL", service.database.url()),
        ("BUS", "postgres"),
        ("BUS_DATABASE_URL", service.database.url()),
        ("BIND_ADDRESS", "127.0.0.1"),
        ("ADMIN_PORT", "0"),
    ];
    let env: BTreeMap<String, String> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::read(&env).expect("complete");
    notification_scheduler::migrate(&config).await.expect("the topic is made");
    service.bus().await;
    let app = App::build(config).await.expect("bound");
    let admin = Client::new(format!("http://{}", app.admin_addr()));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(app.run(shutdown.clone()));
    wait_until(LIMIT, async || admin.get("/readyz").await.status == 200).await;
    service.make(5, "-1 minute").await;
    nothing_is_pending(&service).await;
    let metrics = admin.get("/metrics").await.body;
    assert!(
        metrics.as_str().is_some_and(|text| text.contains("reminders_scheduler_lateness_seconds")),
        "{metrics}"
    );
    shutdown.cancel();
    running.await.expect("no panic").expect("drained");
}
