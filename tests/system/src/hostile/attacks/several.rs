//! Attacks by several users, each with rate limits of its own.

use std::{net::SocketAddr, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Attacks, Round, Tally, body, bulk, calendar, dense_rule, event, raw, rule_in_gap};
use crate::{Service, TestSuite, TestUser};

/// Number of users of one attack.
const USERS: usize = 3;
/// Number of users that snooze or erase as often as they may.
const FLOODING: usize = 2;
/// Number of users that read exports slowly: one more than a process writes at once.
const EXPORTERS: usize = 5;
/// Seconds until a due time that the test does not reach.
const FAR: i64 = 400 * 86_400;

/// Starts the attacks.
pub(super) fn begin(attacks: &mut Attacks, suite: &TestSuite) {
    let user = |role: &str, number: usize| suite.user(&format!("mallory-{role}-{number}"));
    for number in 0..USERS {
        let user = user("rules", number).reminders;
        attacks.repeat(
            "previews in a gap, by several",
            &user,
            "POST",
            "/reminders/preview",
            in_gap,
        );
        attacks.repeat("rules in a gap, by several", &user, "POST", "/reminders/bulk", || {
            bulk(100, &in_gap())
        });
        let preview = "/reminders/preview?limit=100";
        attacks.repeat("previews by several", &user, "POST", preview, || {
            let rule = json!({"rrule": dense_rule(true)});
            body(60, json!({"notifyOffsets": [0, 1, 2, 3, 4], "recurrence": rule}))
        });
        attacks.repeat("dense rules by several", &user, "POST", "/reminders/bulk", || {
            bulk(20, &body(FAR, json!({"recurrence": {"rrule": dense_rule(false)}})))
        });
    }
    for number in 0..FLOODING {
        attacks.repeat_as_user("erasures", user("erased", number), erase);
        attacks.repeat_as_user("snoozes", user("snoozes", number), snooze);
    }
    let properties = format!("UID:1\r\n{}", "X-A:a\r\n".repeat(400_000));
    for (attack, file) in [
        ("calendars of invalid lines", calendar(&"a:\r\n".repeat(900_000))),
        ("calendars of properties", calendar(&event(&properties))),
    ] {
        attacks.repeat_import(attack, &user("calendars", 0).reminders, "/reminders/import", file);
    }
    let address =
        |service| suite.processes(service).first().map(support::process::Running::rest_addr);
    if let Some(address) = address(Service::Notifications) {
        for number in 0..USERS {
            let request = raw::get("/notifications/stream", &user("streams", number).id);
            for _ in 0..12 {
                attacks.repeat_slow_read("streams", address, request.clone());
            }
        }
    }
    if let Some(address) = address(Service::Reminders) {
        for number in 0..EXPORTERS {
            let user = user("exports", number);
            attacks.repeat_as_user(
                "exports read slowly",
                user.clone(),
                read_exports_slowly(address, &user),
            );
        }
    }
}

/// A reminder with such a rule.
fn in_gap() -> Value {
    body(FAR, rule_in_gap())
}

/// Creates a reminder and erases all data of the user.
fn erase(user: TestUser) -> Round {
    Box::pin(async move {
        let mut tally = Tally::default();
        let made = body(FAR, json!({}));
        tally.record(user.reminders.try_send(Method::POST, "/reminders", Some(&made))).await;
        tally.record(user.reminders.try_send(Method::DELETE, "/me", None)).await;
        tally
    })
}

/// Snoozes a reminder that was just delivered, many times.
fn snooze(user: TestUser) -> Round {
    Box::pin(async move {
        let mut tally = Tally::default();
        let due = body(1, json!({"channels": ["push"], "recurrence": {"rrule": "FREQ=MINUTELY"}}));
        let made = user.reminders.try_send(Method::POST, "/reminders", Some(&due)).await;
        let Some(made) = made.ok().filter(|answer| answer.status == 201) else { return tally };
        sleep(Duration::from_secs(2)).await;
        for minutes in 1..=100 {
            let (path, until) =
                (format!("/reminders/{}/snooze", made.id()), json!({"minutes": minutes}));
            tally.record(user.reminders.try_send(Method::POST, &path, Some(&until))).await;
        }
        tally
    })
}

/// Creates long reminders, and then reads an export of them as slowly as possible.
fn read_exports_slowly(
    address: SocketAddr,
    user: &TestUser,
) -> impl Fn(TestUser) -> Round + Send + Sync + use<> {
    let long = bulk(1_000, &body(FAR, json!({"message": "x".repeat(2_000), "channels": ["push"]})));
    let request = raw::get("/me/export", &user.id);
    move |user: TestUser| -> Round {
        let (long, request) = (long.clone(), request.clone());
        Box::pin(async move {
            let mut tally = Tally::default();
            let listed = user.reminders.try_send(Method::GET, "/reminders?limit=1", None).await;
            if listed.is_ok_and(|answer| {
                answer.body["reminders"]["total"].as_i64().is_some_and(|total| total < 2_000)
            }) {
                tally
                    .record(user.reminders.try_send(Method::POST, "/reminders/bulk", Some(&long)))
                    .await;
            }
            let answer = raw::read_slowly(address, &request).await;
            tally.note(answer.unwrap_or_else(|| "no answer".to_owned()));
            tally
        })
    }
}
