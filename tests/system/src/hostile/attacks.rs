//! Attacks of the hostile users, each repeated until the end.

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
use crate::{House, Person, Service, written};

const USER: &str = "mallory";
/// The longest that an attack waits for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two rounds of an attack.
const PAUSE: Duration = Duration::from_millis(200);

/// Number of answers, by status or by what happened instead.
#[derive(Debug, Clone, Default)]
pub struct Tally(BTreeMap<String, usize>);

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        for (answer, times) in other.0 {
            *self.0.entry(answer).or_default() += times;
        }
    }

    /// Notes how a request is answered.
    async fn ask(&mut self, request: impl Future<Output = Result<Answer, reqwest::Error>>) {
        match timeout(PATIENCE, request).await {
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

/// The numbers below `count`, as a part of a rule.
fn list(count: u32) -> String {
    (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// A rule that fires each minute by way of everything a rule can say.
fn dense_rule(with_seconds: bool) -> String {
    let seconds = if with_seconds { format!(";BYSECOND={}", list(60)) } else { String::new() };
    format!(
        "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR={};BYMINUTE={}{seconds}",
        list(24),
        list(60)
    )
}

fn body(seconds: i64, more: Value) -> Value {
    let date = written(Utc::now() + TimeDelta::seconds(seconds));
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

/// Starts the attacks.
pub(super) fn begin(
    house: &House,
    attackers: Attackers,
    stop: &CancellationToken,
) -> JoinSet<(&'static str, Tally)> {
    let mallory = house.person(USER);
    let (reminders, notifications) = (mallory.reminders, mallory.notifications);
    let mut attacks = Attacks { tasks: JoinSet::new(), stop: stop.clone() };
    attacks.by_requests("previews of a dense rule", &reminders, "POST", "/reminders/preview?limit=100", || {
        body(60, json!({"notifyOffsets": [0, 1, 2, 3, 4], "recurrence": {"rrule": dense_rule(false)}}))
    });
    attacks.by_requests(
        "previews of a rule each second",
        &reminders,
        "POST",
        "/reminders/preview?limit=100",
        || body(60, json!({"recurrence": {"rrule": dense_rule(true)}})),
    );
    attacks.by_requests("previews that start long ago", &reminders, "POST", "/reminders/preview?limit=100", || {
        let ago = json!({"notifyOffsets": [0, 1, 2, 3, 4], "recurrence": {"rrule": "FREQ=DAILY;COUNT=10000"}});
        body(-9_800 * 86_400, ago)
    });
    attacks.by_requests(
        "previews of a rule in gaps",
        &reminders,
        "POST",
        "/reminders/preview",
        || {
            let rule = format!(
                "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE={0};BYSECOND={0}",
                list(60)
            );
            body(
                60,
                json!({"timeZone": "Europe/Berlin", "recurrence": {"rrule": rule, "gap": "skip"}}),
            )
        },
    );
    attacks.by_requests("100 dense rules", &reminders, "POST", "/reminders/bulk", || {
        bulk(100, &body(5, json!({"recurrence": {"rrule": dense_rule(false)}})))
    });
    attacks.by_requests("1,000 due at once", &reminders, "POST", "/reminders/bulk", || {
        bulk(1_000, &body(3, json!({})))
    });
    attacks.by_requests("birthdays of 1965", &reminders, "POST", "/reminders", || {
        let rule = json!({"date": "1965-05-01T09:00:00Z", "recurrence": {"rrule": "FREQ=YEARLY"}});
        body(0, rule)
    });
    attacks.by_requests(
        "an exclusion of 280,000 zeros",
        &reminders,
        "POST",
        "/reminders/bulk",
        || {
            let exdate = format!("2126-05-02T10:00:00.{}Z", "0".repeat(280_000));
            bulk(1, &body(60, json!({"recurrence": {"rrule": "FREQ=DAILY", "exdates": [exdate]}})))
        },
    );
    attacks.by_requests(
        "nested arrays",
        &reminders,
        "POST",
        "/reminders/bulk",
        || json!({"reminders": vec![nested(20); 50_000]}),
    );
    attacks.by_requests("lists of everything", &reminders, "GET", "/reminders?limit=100", || {
        Value::Null
    });
    attacks.by_requests("exports of everything", &reminders, "GET", "/me/export", || Value::Null);
    for (attack, prefix) in [
        ("devices of another sender", "sender-mismatch"),
        ("devices without APNs' trust", "third-party"),
        ("devices over their quota", "quota-after-1000000000"),
        ("devices that fail", "internal"),
    ] {
        let mut number = 0;
        attacks.by_requests(attack, &notifications, "POST", "/device/register", move || {
            number += 1;
            json!({"fcmToken": format!("{prefix}-{number}"), "type": "ios", "name": "x"})
        });
    }
    attacks.by_text("calendars of dense rules", &reminders, "/reminders/import", calendar());
    attacks.by_text(
        "calendars of empty alarms",
        &reminders,
        "/reminders/import",
        of_empty_alarms(),
    );
    attacks.by_text(
        "calendars of unknown zones",
        &reminders,
        "/reminders/import",
        of_unknown_zones(),
    );
    for (service, process) in Service::ALL
        .into_iter()
        .filter_map(|service| Some((service, house.processes(service).first()?)))
    {
        if service == Service::Scheduler {
            continue;
        }
        let address = process.rest_addr();
        attacks.by_bytes("silent connections", address, 40, Vec::new());
        attacks.by_bytes("half a head", address, 20, raw::half_a_head());
        attacks.by_bytes("invented methods", address, 2, raw::invented_methods(5_000));
        attacks.by_bytes("pings", address, 2, raw::pings(20_000));
        attacks.by_bytes("held bodies", address, 10, raw::held_body(USER));
    }
    if attackers == Attackers::Several {
        several::begin(&mut attacks, house);
    }
    attacks.tasks
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!([]), |inner, _| json!([inner]))
}

fn calendar() -> String {
    let entry = |number: usize| {
        format!(
            "BEGIN:VEVENT\r\nUID:{number}\r\nSUMMARY:x\r\nDTSTART:20300101T000000Z\r\nRRULE:{}\r\nEND:VEVENT\r\n",
            dense_rule(false)
        )
    };
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n",
        (0..1_000).map(entry).collect::<String>()
    )
}

fn event(more: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:x\r\nDTSTART:20300101T000000Z\r\nRRULE:FREQ=DAILY\r\n{more}\
         END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

/// An event of which much is left out, with a long identity by which each note names it.
fn of_empty_alarms() -> String {
    event(&format!(
        "UID:{}\r\n{}",
        "u".repeat(200_000),
        "BEGIN:VALARM\r\nEND:VALARM\r\n".repeat(20_000)
    ))
}

fn of_unknown_zones() -> String {
    let line =
        |number: usize| format!("EXDATE;TZID={}{number}:20300101T000000\r\n", "A/".repeat(60));
    event(&(0..20_000).map(line).collect::<String>())
}

/// Requests of one round of an attack.
type Round = Pin<Box<dyn Future<Output = Tally> + Send>>;

/// Attacks under way.
struct Attacks {
    tasks: JoinSet<(&'static str, Tally)>,
    stop: CancellationToken,
}

impl Attacks {
    /// Makes the same request with another body each time.
    fn by_requests(
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
                tally.ask(client.try_send(method, path, body)).await;
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }

    fn by_text(&mut self, attack: &'static str, client: &Client, path: &'static str, text: String) {
        let (client, stop) = (client.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                tally.ask(client.try_text(path, "text/calendar", text.clone())).await;
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }

    /// Does the same as one user, round by round.
    fn by_person(
        &mut self,
        attack: &'static str,
        person: Person,
        round: impl Fn(Person) -> Round + Send + Sync + 'static,
    ) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                tally.add(round(person.clone()).await);
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }

    /// Makes a request and takes its answer as slowly as it is let.
    fn by_slow_reading(&mut self, attack: &'static str, address: SocketAddr, request: Vec<u8>) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                let answer = raw::trickle(address, &request).await;
                tally.note(answer.unwrap_or_else(|| "nothing, or closed".to_owned()));
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }

    /// Holds so many connections on which these bytes were sent.
    fn by_bytes(
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
                    open.spawn(async move { raw::say(address, &bytes).await });
                }
                for answer in open.join_all().await {
                    tally.note(answer.unwrap_or_else(|| "nothing, or closed".to_owned()));
                }
                sleep(PAUSE).await;
            }
            (attack, tally)
        });
    }
}
