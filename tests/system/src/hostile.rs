//! Hostile-user test: one or several users send expensive requests all the time, beside an ordinary
//! user who creates two reminders per second.
//!
//! The test measures the effects on the ordinary user and on the operators: status and time of the
//! answers, lateness of the reminders, memory of each process, restarts, and the time of
//! `/healthz`.

mod attacks;
mod raw;
mod watch;

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use support::wait_until;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Bus, LIMIT, Service, TestSuite, TestUser, rfc3339, test_user::truncate_to_millis,
    truncate_to_seconds,
};
pub use attacks::Tally;
use watch::Watch;

/// Time between two reminders of the ordinary user.
const INTERVAL: Duration = Duration::from_millis(500);
/// Reminders between two exports of the ordinary user.
const EXPORT_AFTER: usize = 4;
/// Number of requests of the ordinary user of which one may be refused.
const REQUESTS_PER_REFUSAL: usize = 100;
/// Time from the creation of a reminder to its due time.
const LEAD_TIME: TimeDelta = TimeDelta::seconds(4);

/// Result for one process.
#[derive(Debug, Clone)]
pub struct ProcessReport {
    /// Name of the binary.
    pub name: &'static str,
    /// Largest resident memory, in MiB.
    pub peak_mib: u64,
    /// Memory limit in its manifest, in MiB.
    pub limit_mib: u64,
    /// Slowest answer of `/healthz`; `None` if one is missing.
    pub slowest_health: Option<Duration>,
    /// `true` if the process still runs.
    pub runs: bool,
}

/// Result of the test.
#[derive(Debug, Clone)]
pub struct Report {
    /// Number of reminders of the ordinary user that were created.
    pub created: usize,
    /// Requests of the ordinary user that were refused: status and message, or error.
    pub refused: Vec<String>,
    /// Response times of the ordinary user's requests, ascending.
    pub response_times: Vec<Duration>,
    /// Number of exports that the ordinary user requested, and number of complete ones.
    pub exports: (usize, usize),
    /// Greatest lateness in each tenth of the test.
    pub worst: Vec<TimeDelta>,
    /// Lateness of the ordinary user's deliveries, ascending.
    pub lateness: Vec<TimeDelta>,
    /// Number of deliveries of the ordinary user that did not arrive.
    pub lost: usize,
    /// Answers to the hostile users, by attack.
    pub attacks: Vec<(&'static str, Tally)>,
    /// Result for each process.
    pub processes: Vec<ProcessReport>,
}

impl Report {
    /// Percentile of the lateness, for a fraction from 0 to 1.
    #[must_use]
    pub fn lateness_at(&self, fraction: f64) -> TimeDelta {
        let last = self.lateness.len().saturating_sub(1);
        self.lateness.get((last as f64 * fraction).round() as usize).copied().unwrap_or_default()
    }

    /// Percentile of the response times, for a fraction from 0 to 1.
    #[must_use]
    pub fn response_time_at(&self, fraction: f64) -> Duration {
        let last = self.response_times.len().saturating_sub(1);
        self.response_times
            .get((last as f64 * fraction).round() as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Violations of the guarantees, apart from times, which a busy machine may cause too.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        if self.lost > 0 {
            violations
                .push(format!("{} deliveries of the ordinary user did not arrive", self.lost));
        }
        let (refused, answered) = (self.refused.len(), self.response_times.len());
        if refused >= answered || refused > (answered / REQUESTS_PER_REFUSAL).max(1) {
            violations.push(format!(
                "requests of the ordinary user were refused: {}",
                self.refused.join(", ")
            ));
        }
        if matches!(self.exports, (1.., 0)) {
            violations.push(format!(
                "none of {} exports of the ordinary user was complete",
                self.exports.0
            ));
        }
        for process in &self.processes {
            if !process.runs {
                violations.push(format!("{} ended", process.name));
            }
            if process.peak_mib > process.limit_mib {
                violations.push(format!(
                    "{} used {} MiB of {} MiB",
                    process.name, process.peak_mib, process.limit_mib
                ));
            }
            if process.slowest_health.is_none() {
                violations.push(format!("{}: /healthz did not answer", process.name));
            }
        }
        violations
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |fraction| self.lateness_at(fraction).num_milliseconds();
        writeln!(
            f,
            "ordinary user: {} reminders created, {} requests refused, {} deliveries lost; \
             lateness p50 {} ms, p99 {} ms, max {} ms",
            self.created,
            self.refused.len(),
            self.lost,
            ms(0.5),
            ms(0.99),
            ms(1.0)
        )?;
        let response = |fraction| self.response_time_at(fraction).as_millis();
        let (requested, complete) = self.exports;
        writeln!(
            f,
            "  response time p50 {} ms, p99 {} ms, max {} ms; \
             {complete} of {requested} exports complete",
            response(0.5),
            response(0.99),
            response(1.0)
        )?;
        let worst: Vec<String> =
            self.worst.iter().map(|late| late.num_milliseconds().to_string()).collect();
        writeln!(f, "  max lateness in each tenth of the test (ms): {}", worst.join(", "))?;
        for process in &self.processes {
            let health = process
                .slowest_health
                .map_or("missing".to_owned(), |slowest| format!("{} ms", slowest.as_millis()));
            writeln!(
                f,
                "  {:<24} {:>4} of {} MiB, /healthz max {health}",
                process.name, process.peak_mib, process.limit_mib
            )?;
        }
        for (attack, tally) in &self.attacks {
            writeln!(f, "  {attack:<40} {tally}")?;
        }
        Ok(())
    }
}

/// Number of hostile users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attackers {
    /// One user.
    One,
    /// That user and several others, with further attacks.
    Several,
}

/// Runs the attacks for a time and measures their effects.
///
/// # Panics
/// If the suite does not start.
pub async fn run(
    bus: Bus,
    attackers: Attackers,
    length: Duration,
    mut progress: impl FnMut(&str),
) -> Report {
    let suite = TestSuite::start(bus).await;
    let user = suite.user("grace");
    user.register_device("token-of-grace", "android").await;
    let stop = CancellationToken::new();
    let watch = Watch::begin(&suite, &stop);
    let attacks = attacks::begin(&suite, attackers, &stop);

    let mut ordinary = OrdinaryUser::new(user);
    let began = Instant::now();
    let mut tick = tokio::time::interval(INTERVAL);
    while began.elapsed() < length {
        tick.tick().await;
        ordinary.send_requests().await;
        progress(&format!(
            "{:>4} s of {}: {} reminders created",
            began.elapsed().as_secs(),
            length.as_secs(),
            ordinary.created.len()
        ));
    }
    let last = Utc::now() + LEAD_TIME;
    wait_until(LIMIT, async || Utc::now() > last).await;
    stop.cancel();
    progress("the attacks have ended; waiting for the remaining deliveries");
    let (mut lateness, lost) =
        measure_lateness(&suite, &ordinary.created, &ordinary.user.email).await;
    let tenths = lateness.chunks(lateness.len().div_ceil(10).max(1));
    let worst = tenths.filter_map(|tenth| tenth.iter().max().copied()).collect();
    lateness.sort_unstable();
    let attacks = tallies(attacks).await;
    let OrdinaryUser { created, refused, mut response_times, exports, .. } = ordinary;
    response_times.sort_unstable();
    let processes = watch.end(&suite).await;
    Report {
        created: created.len(),
        refused,
        response_times,
        exports,
        worst,
        lateness,
        lost,
        attacks,
        processes,
    }
}

/// The ordinary user, who sends no unusual request.
struct OrdinaryUser {
    user: TestUser,
    rounds: usize,
    created: Vec<(String, DateTime<Utc>)>,
    refused: Vec<String>,
    response_times: Vec<Duration>,
    exports: (usize, usize),
}

impl OrdinaryUser {
    fn new(user: TestUser) -> Self {
        let (created, refused, response_times) = (Vec::new(), Vec::new(), Vec::new());
        Self { user, rounds: 0, created, refused, response_times, exports: (0, 0) }
    }

    /// Creates a reminder; every second one recurs and is previewed before. Every fourth time it
    /// requests an export as well.
    async fn send_requests(&mut self) {
        let title = format!("tablets {}", self.rounds);
        let recurs = self.rounds % 2 == 1;
        // The precision of rules is one second.
        let due_at = if recurs {
            truncate_to_seconds(Utc::now() + LEAD_TIME)
        } else {
            truncate_to_millis(Utc::now() + LEAD_TIME)
        };
        let mut body = json!({
            "date": rfc3339(due_at),
            "title": title,
            "message": "with water",
            "channels": ["push", "email"],
        });
        if recurs {
            body["timeZone"] = json!("Europe/Berlin");
            body["recurrence"] = json!({"rrule": "FREQ=DAILY;COUNT=2"});
            self.call(Method::POST, "/reminders/preview", Some(&body), 200).await;
        }
        // If the answer came late, the first occurrence of a rule may have been past at the
        // creation, and the rule begins with the next one.
        if self.call(Method::POST, "/reminders", Some(&body), 201).await
            && (!recurs || Utc::now() < due_at)
        {
            self.created.push((title, due_at));
        }
        if self.rounds.is_multiple_of(EXPORT_AFTER) {
            let export = self.user.reminders.try_send(Method::GET, "/me/export", None).await;
            let is_complete = export.is_ok_and(|answer| answer.body["complete"] == true);
            self.exports = (self.exports.0 + 1, self.exports.1 + usize::from(is_complete));
        }
        self.rounds += 1;
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        expected: u16,
    ) -> bool {
        let sent = Instant::now();
        let answer = self.user.reminders.try_send(method.clone(), path, body).await;
        self.response_times.push(sent.elapsed());
        let answer = match answer {
            Ok(answer) if answer.status == expected => return true,
            // The request was processed after its due time, which is late, but not a refusal.
            Ok(answer) if answer.reason() == Some("INVALID_DUEDATE") => return false,
            Ok(answer) => format!("{} {}", answer.status, answer.body["error"]["message"]),
            Err(error) => error.without_url().to_string(),
        };
        self.refused.push(format!("{method} {path}: {answer}"));
        false
    }
}

async fn tallies(mut attacks: JoinSet<(&'static str, Tally)>) -> Vec<(&'static str, Tally)> {
    let mut tallies = BTreeMap::<&'static str, Tally>::new();
    while let Some(tally) = attacks.join_next().await {
        let (attack, tally) = tally.expect("an attack does not panic");
        tallies.entry(attack).or_default().add(tally);
    }
    tallies.into_iter().collect()
}

/// Returns the lateness of the deliveries in order of their due times, and the number of those that
/// did not arrive within two more minutes, which the emulator of AWS needs for the messages of the
/// hostile users.
async fn measure_lateness(
    suite: &TestSuite,
    created: &[(String, DateTime<Utc>)],
    email: &str,
) -> (Vec<TimeDelta>, usize) {
    let mut lateness = Vec::new();
    let began = Instant::now();
    loop {
        lateness.clear();
        let captured = suite.sandbox.captured();
        for (title, due_at) in created {
            let push = captured.iter().find(|message| {
                message.push().is_some_and(|push| push.title.as_ref() == Some(title))
            });
            let mail = captured.iter().find(|message| {
                message.email().is_some_and(|mail| {
                    &mail.subject == title && mail.to.iter().any(|to| to == email)
                })
            });
            lateness.extend(push.into_iter().chain(mail).map(|message| message.at - *due_at));
        }
        // On AWS the emulator accepts the e-mails, and does not report their time.
        let channels = if suite.bus_kind() == Bus::Aws { 1 } else { 2 };
        let lost = created.len() * channels - lateness.len();
        if lost == 0 || began.elapsed() > 2 * LIMIT {
            return (lateness, lost);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Returns the memory limit in the manifest of a service, in MiB.
///
/// # Panics
/// If the manifest has none.
fn memory_limit(service: Service) -> u64 {
    let file = format!(
        "{}/../../k8s/base/services/{}/deployment.yaml",
        env!("CARGO_MANIFEST_DIR"),
        service.binary()
    );
    let manifest = std::fs::read_to_string(&file).expect("the manifest is there");
    let limit = manifest
        .lines()
        .find_map(|line| line.trim().strip_prefix("limits: {memory: ")?.strip_suffix("Mi}"));
    limit.and_then(|mib| mib.parse().ok()).expect("the manifest limits the memory")
}
