//! Tests of a running service while all permits for the expansion of rules are held.

use std::{collections::BTreeMap, time::Duration};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use support::{
    http::{Answer, Client},
    postgres::{self, Database},
    wait_until,
};
use tokio_util::sync::CancellationToken;

use crate::{App, Config, usecases::compute};

const LIMIT: Duration = Duration::from_secs(20);

async fn start(database: &Database) -> (Client, CancellationToken) {
    let url = database.url();
    let pairs = [
        ("DATABASE_URL", url),
        ("BUS", "postgres"),
        ("BUS_DATABASE_URL", url),
        ("PORT", "0"),
        ("ADMIN_PORT", "0"),
        ("BIND_ADDRESS", "127.0.0.1"),
    ];
    let env: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let config = Config::read(&env).expect("a configuration");
    crate::migrate(&config).await.expect("the schema");
    let app = App::build(config).await.expect("the service is built");
    let client =
        Client::new(format!("http://{}", app.rest_addr())).as_user("ada", "ada@example.com");
    let shutdown = CancellationToken::new();
    tokio::spawn(app.run(shutdown.clone()));
    wait_until(LIMIT, async || match client.get("/reminders").await {
        Answer { status: 200, .. } => Ok(()),
        answer => Err(answer.body),
    })
    .await;
    (client, shutdown)
}

fn daily(start: TimeDelta) -> Value {
    let date = (Utc::now() + start).to_rfc3339();
    let recurrence = json!({"rrule": "FREQ=DAILY"});
    json!({"date": date, "message": "Tablets", "channels": ["push"], "recurrence": recurrence})
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_no_transaction_while_rules_are_read() {
    let database = postgres::database("rules_outside").await;
    let (ada, shutdown) = start(&database).await;
    let id = ada.post("/reminders", &daily(TimeDelta::hours(1))).await.expect(201).id();
    let pool = database.pool().await;
    // Created three days ago, so that there is an occurrence to snooze.
    let sql = "update reminders set date = date - interval '3 days',
                   created_at = created_at - interval '3 days', scheduled_at = null";
    sqlx::query(sql).execute(&pool).await.expect("it is moved");

    for (method, path, body) in [
        ("POST", "/snooze", json!({"minutes": 5})),
        ("POST", "/acknowledge", json!({})),
        ("GET", "", Value::Null),
        ("PATCH", "", json!({"title": "Blue ones"})),
        ("PATCH", "", json!({"recurrence": {"rrule": "FREQ=WEEKLY"}})),
        ("POST", "", daily(TimeDelta::hours(-30))),
    ] {
        let permits = compute::all_permits().await;
        let (client, url) = (ada.clone(), format!("/reminders/{id}{path}"));
        let call = tokio::spawn(async move {
            let body = Some(&body).filter(|body| !body.is_null());
            client.try_send(method.parse().expect("a method"), &url, body).await
        });
        wait_until(LIMIT, async || compute::is_in_use()).await;
        wait_until(LIMIT, async || {
            let sql = "select count(*) from pg_stat_activity
                       where datname = current_database() and state like 'idle in transaction%'";
            let open: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.expect("a count");
            if open == 0 { Ok(()) } else { Err(format!("{method} {path} has a transaction open")) }
        })
        .await;
        drop(permits);
        call.await.expect("it does not panic").expect("an answer").expect(200);
    }
    shutdown.cancel();
}
