//! Attacks of the hostile users. Each is repeated until the end of the test.

mod several;

use std::{collections::BTreeMap, fmt, net::SocketAddr, pin::Pin, time::Duration};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use support::http::{Answer, Client};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Attackers, raw};
use crate::{Service, TestSuite, TestUser, rfc3339};

const USER: &str = "mallory";
/// Longest time that an attack waits for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Pause between two rounds of an attack.
const PAUSE: Duration = Duration::from_millis(200);

/// Number of answers by status, or by error.
#[derive(Debug, Clone, Default)]
pub struct Tally(BTreeMap<String, usize>);

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        for (answer, times) in other.0 {
            *self.0.entry(answer).or_default() += times;
        }
    }

    /// Waits for the answer to a request and counts it.
    async fn record(&mut self, request: impl Future<Output = Result<Answer, reqwest::Error>>) {
        match timeout(ANSWER_LIMIT, request).await {
            Ok(Ok(answer)) => self.note(answer.status.to_string()),
            Ok(Err(_)) => self.note("no answer"),
            Err(_) => self.note("no answer in time"),
        }
    }

    fn note(&mut self, answer: impl Into<String>) {
        *self.0.entry(answer.into()).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers = self.0.iter().map(|(answer, times)| format!("{times} × {answer}"));
        f.write_str(&answers.collect::<Vec<_>>().join(", "))
    }
}

/// Lists the numbers below `count`, for a rule.
fn list(count: u32) -> String {
    (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// Builds a rule that has an instance in each minute, with as many parts as possible.
fn dense_rule(with_seconds: bool) -> String {
    let seconds = if with_seconds { format!(";BYSECOND={}", list(60)) } else { String::new() };
    format!(
        "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR={};BYMINUTE={}{seconds}",
        list(24),
        list(60)
    )
}

fn body(seconds: i64, more: Value) -> Value {
    let date = rfc3339(Utc::now() + TimeDelta::seconds(seconds));
    let mut body =
        json!({"date": date, "title": "x", "message": "x", "channels": ["push", "email"]});
    if let (Some(fields), Some(more)) = (body.as_object_mut(), more.as_object()) {
        fields.extend(more.clone());
    }
    body
}

fn bulk(count: usize, entry: &Value) -> Value {
    json!({"reminders": vec![entry.clone(); count]})
}

/// A rule whose local times are all skipped at a change of the clocks.
fn rule_in_gap() -> Value {
    let rule =
        format!("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE={0};BYSECOND={0}", list(60));
    json!({"timeZone": "Europe/Berlin", "recurrence": {"rrule": rule, "gap": "skip"}})
}

/// Starts the attacks.
pub(super) fn begin(
    suite: &TestSuite,
    attackers: Attackers,
    stop: &CancellationToken,
) -> JoinSet<(&'static str, Tally)> {
    let mallory = suite.user(USER);
    let (reminders, notifications) = (mallory.reminders, mallory.notifications);
    let mut attacks = Attacks { tasks: JoinSet::new(), stop: stop.clone() };
    let preview = "/reminders/preview?limit=100";
    let offsets = [0, 1, 2, 3, 4];
    attacks.repeat("previews of a dense rule", &reminders, "POST", preview, move || {
        let rule = json!({"rrule": dense_rule(false)});
        body(60, json!({"notifyOffsets": offsets, "recurrence": rule}))
    });
    attacks.repeat("previews of a rule each second", &reminders, "POST", preview, || {
        body(60, json!({"recurrence": {"rrule": dense_rule(true)}}))
    });
    attacks.repeat("previews that start long ago", &reminders, "POST", preview, move || {
        let rule = json!({"rrule": "FREQ=DAILY;COUNT=10000"});
        body(-9_800 * 86_400, json!({"notifyOffsets": offsets, "recurrence": rule}))
    });
    attacks.repeat("previews of a rule in gaps", &reminders, "POST", "/reminders/preview", || {
        body(60, rule_in_gap())
    });
    attacks.repeat("100 dense rules", &reminders, "POST", "/reminders/bulk", || {
        bulk(100, &body(5, json!({"recurrence": {"rrule": dense_rule(false)}})))
    });
    attacks.repeat("1,000 due at once", &reminders, "POST", "/reminders/bulk", || {
        bulk(1_000, &body(3, json!({})))
    });
    attacks.repeat("birthdays of 1965", &reminders, "POST", "/reminders", || {
        let rule = json!({"date": "1965-05-01T09:00:00Z", "recurrence": {"rrule": "FREQ=YEARLY"}});
        body(0, rule)
    });
    attacks.repeat("an exclusion of 280,000 zeros", &reminders, "POST", "/reminders/bulk", || {
        let exdate = format!("2126-05-02T10:00:00.{}Z", "0".repeat(280_000));
        bulk(1, &body(60, json!({"recurrence": {"rrule": "FREQ=DAILY", "exdates": [exdate]}})))
    });
    attacks.repeat(
        "nested arrays",
        &reminders,
        "POST",
        "/reminders/bulk",
        || json!({"reminders": vec![nested(20); 50_000]}),
    );
    attacks
        .repeat("lists of everything", &reminders, "GET", "/reminders?limit=100", || Value::Null);
    attacks.repeat("exports of everything", &reminders, "GET", "/me/export", || Value::Null);
    for (attack, prefix) in [
        ("devices of another sender", "sender-mismatch"),
        ("devices that APNs refuses", "third-party"),
        ("devices beyond their quota", "quota-after-1000000000"),
        ("devices that fail", "internal"),
    ] {
        let mut number = 0;
        attacks.repeat(attack, &notifications, "POST", "/device/register", move || {
            number += 1;
            json!({"fcmToken": format!("{prefix}-{number}"), "type": "ios", "name": "x"})
        });
    }
    attacks.repeat_import(
        "calendars of dense rules",
        &reminders,
        "/reminders/import",
        calendar_of_dense_rules(),
    );
    attacks.repeat_import(
        "calendars of empty alarms",
        &reminders,
        "/reminders/import",
        calendar_of_empty_alarms(),
    );
    attacks.repeat_import(
        "calendars of unknown zones",
        &reminders,
        "/reminders/import",
        calendar_of_unknown_zones(),
    );
    for (service, process) in Service::ALL
        .into_iter()
        .filter_map(|service| Some((service, suite.processes(service).first()?)))
    {
        if service == Service::Scheduler {
            continue;
        }
        let address = process.rest_addr();
        attacks.repeat_connections("silent connections", address, 40, Vec::new());
        attacks.repeat_connections("half a head", address, 20, raw::half_a_head());
        attacks.repeat_connections("invented methods", address, 2, raw::invented_methods(5_000));
        attacks.repeat_connections("pings", address, 2, raw::pings(20_000));
        attacks.repeat_connections("held bodies", address, 10, raw::held_body(USER));
    }
    if attackers == Attackers::Several {
        several::begin(&mut attacks, suite);
    }
    attacks.tasks
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!([]), |inner, _| json!([inner]))
}

fn calendar(entries: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{entries}END:VCALENDAR\r\n")
}

/// A calendar entry with further lines.
fn event(lines: &str) -> String {
    format!("BEGIN:VEVENT\r\nSUMMARY:x\r\nDTSTART:20300101T000000Z\r\n{lines}END:VEVENT\r\n")
}

fn calendar_of_dense_rules() -> String {
    let entry = |number| event(&format!("UID:{number}\r\nRRULE:{}\r\n", dense_rule(false)));
    calendar(&(0..1_000).map(entry).collect::<String>())
}

/// An entry with many parts that are not imported, and a long UID, which every note repeats.
fn calendar_of_empty_alarms() -> String {
    calendar(&event(&format!(
        "UID:{}\r\nRRULE:FREQ=DAILY\r\n{}",
        "u".repeat(200_000),
        "BEGIN:VALARM\r\nEND:VALARM\r\n".repeat(20_000)
    )))
}

fn calendar_of_unknown_zones() -> String {
    let line =
        |number: usize| format!("EXDATE;TZID={}{number}:20300101T000000\r\n", "A/".repeat(60));
    let lines: String = (0..20_000).map(line).collect();
    calendar(&event(&format!("RRULE:FREQ=DAILY\r\n{lines}")))
}

/// Requests of one round of an attack.
type Round = Pin<Box<dyn Future<Output = Tally> + Send>>;

/// Running attacks.
struct Attacks {
    tasks: JoinSet<(&'static str, Tally)>,
    stop: CancellationToken,
}

impl Attacks {
    /// Repeats a request, with another body each time.
    fn repeat(
        &mut self,
        attack: &'static str,
        client: &Client,
        method: &'static str,
        path: &'static str,
        mut body: impl FnMut() -> Value + Send + 'static,
    ) {
        let (client, stop) = (client.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                let body = body();
                let body = Some(&body).filter(|body| !body.is_null());
                let method = method.parse().expect("a method");
                tally.record(client.try_send(method, path, body)).await;
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }

    /// Repeats an import of a calendar.
    fn repeat_import(
        &mut self,
        attack: &'static str,
        client: &Client,
        path: &'static str,
        text: String,
    ) {
        let (client, stop) = (client.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                tally.record(client.try_text(path, "text/calendar", text.clone())).await;
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }

    /// Repeats a round of requests as one user.
    fn repeat_as_user(
        &mut self,
        attack: &'static str,
        user: TestUser,
        round: impl Fn(TestUser) -> Round + Send + Sync + 'static,
    ) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                tally.add(round(user.clone()).await);
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }

    /// Repeats a request and reads its answer as slowly as possible.
    fn repeat_slow_read(&mut self, attack: &'static str, address: SocketAddr, request: Vec<u8>) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                let answer = raw::read_slowly(address, &request).await;
                tally.note(answer.unwrap_or_else(|| "no answer".to_owned()));
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }

    /// Repeatedly opens `connections`, sends these bytes on each, and keeps them open.
    fn repeat_connections(
        &mut self,
        attack: &'static str,
        address: SocketAddr,
        connections: usize,
        bytes: Vec<u8>,
    ) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                let mut open = JoinSet::new();
                for _ in 0..connections {
                    let bytes = bytes.clone();
                    open.spawn(async move { raw::send_and_hold(address, &bytes).await });
                }
                for answer in open.join_all().await {
                    tally.note(answer.unwrap_or_else(|| "no answer".to_owned()));
                }
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }
}
