//! Attacks by several users, each with an allowance of its own.

use std::{net::SocketAddr, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Attacks, Round, Tally, body, bulk, dense_rule, list, raw};
use crate::{House, Person, Service};

/// Users of one attack.
const USERS: usize = 3;
/// Users that change what they have as often as they may.
const FLOODING: usize = 2;
/// Users that hold exports: one more than a process writes at once.
const EXPORTERS: usize = 5;
/// Seconds of a time that is too far ahead to be delivered.
const FAR: i64 = 400 * 86_400;

/// Starts every attack.
pub(super) fn begin(attacks: &mut Attacks, house: &House) {
    let person = |role: &str, number: usize| house.person(&format!("mallory-{role}-{number}"));
    for number in 0..USERS {
        let user = person("rules", number).reminders;
        attacks.by_requests(
            "previews in a gap, by several",
            &user,
            "POST",
            "/reminders/preview",
            in_a_gap,
        );
        attacks.by_requests("rules in a gap, by several", &user, "POST", "/reminders/bulk", || {
            bulk(100, &in_a_gap())
        });
        attacks.by_requests("previews by several", &user, "POST", "/reminders/preview?limit=100", || {
            body(60, json!({"notifyOffsets": [0, 1, 2, 3, 4], "recurrence": {"rrule": dense_rule(true)}}))
        });
        attacks.by_requests("dense rules by several", &user, "POST", "/reminders/bulk", || {
            bulk(20, &body(FAR, json!({"recurrence": {"rrule": dense_rule(false)}})))
        });
    }
    for number in 0..FLOODING {
        attacks.by_person("erasures", person("erased", number), erases);
        attacks.by_person("snoozes", person("snoozes", number), snoozes);
    }
    for (attack, file) in [
        ("calendars of senseless lines", calendar_with(&"a:\r\n".repeat(900_000))),
        ("calendars of properties", calendar_with(&event(&"X-A:a\r\n".repeat(400_000)))),
    ] {
        attacks.by_text(attack, &person("calendars", 0).reminders, "/reminders/import", file);
    }
    let address =
        |service| house.processes(service).first().map(support::process::Running::rest_addr);
    if let Some(address) = address(Service::Notifications) {
        for number in 0..USERS {
            let request = raw::get("/notifications/stream", &person("streams", number).id);
            for _ in 0..12 {
                attacks.by_slow_reading("streams", address, request.clone());
            }
        }
    }
    if let Some(address) = address(Service::Reminders) {
        for number in 0..EXPORTERS {
            let person = person("exports", number);
            attacks.by_person(
                "exports taken slowly",
                person.clone(),
                holds_exports(address, &person),
            );
        }
    }
}

/// A rule whose every local time is left out by a change of the clocks.
fn in_a_gap() -> Value {
    let rule =
        format!("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE={0};BYSECOND={0}", list(60));
    body(FAR, json!({"timeZone": "Europe/Berlin", "recurrence": {"rrule": rule, "gap": "skip"}}))
}

fn event(lines: &str) -> String {
    format!(
        "BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:x\r\nDTSTART:20300101T000000Z\r\n{lines}END:VEVENT\r\n"
    )
}

fn calendar_with(entries: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{entries}END:VCALENDAR\r\n")
}

/// Makes a reminder and has everything erased.
fn erases(person: Person) -> Round {
    Box::pin(async move {
        let mut tally = Tally::default();
        let made = body(FAR, json!({}));
        tally.ask(person.reminders.try_send(Method::POST, "/reminders", Some(&made))).await;
        tally.ask(person.reminders.try_send(Method::DELETE, "/me", None)).await;
        tally
    })
}

/// Puts off what was just delivered, many times.
fn snoozes(person: Person) -> Round {
    Box::pin(async move {
        let mut tally = Tally::default();
        let due = body(1, json!({"channels": ["push"], "recurrence": {"rrule": "FREQ=MINUTELY"}}));
        let made = person.reminders.try_send(Method::POST, "/reminders", Some(&due)).await;
        let Some(made) = made.ok().filter(|answer| answer.status == 201) else { return tally };
        sleep(Duration::from_secs(2)).await;
        for minutes in 1..=100 {
            let (path, until) =
                (format!("/reminders/{}/snooze", made.id()), json!({"minutes": minutes}));
            tally.ask(person.reminders.try_send(Method::POST, &path, Some(&until))).await;
        }
        tally
    })
}

/// Makes long reminders, and then takes an export of them as slowly as it is let.
fn holds_exports(
    address: SocketAddr,
    person: &Person,
) -> impl Fn(Person) -> Round + Send + Sync + use<> {
    let long = bulk(1_000, &body(FAR, json!({"message": "x".repeat(2_000), "channels": ["push"]})));
    let request = raw::get("/me/export", &person.id);
    move |person: Person| -> Round {
        let (long, request) = (long.clone(), request.clone());
        Box::pin(async move {
            let mut tally = Tally::default();
            let listed = person.reminders.try_send(Method::GET, "/reminders?limit=1", None).await;
            if listed.is_ok_and(|answer| {
                answer.body["reminders"]["total"].as_i64().is_some_and(|total| total < 2_000)
            }) {
                tally
                    .ask(person.reminders.try_send(Method::POST, "/reminders/bulk", Some(&long)))
                    .await;
            }
            let answer = raw::trickle(address, &request).await;
            tally.note(answer.unwrap_or_else(|| "nothing, or closed".to_owned()));
            tally
        })
    }
}
