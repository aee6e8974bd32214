//! One user, and then several, who do everything at once that costs much, beside another who is
//! reminded of something twice a second.
//!
//! Measured is what the other user and the operators notice: whether the other's requests are
//! answered as they should be and how soon, how late the reminders arrive, how much memory each
//! process takes, whether one was restarted, and how fast health answers.

mod attacks;
mod raw;
mod watch;

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use support::eventually;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Bus, House, LIMIT, Person, Service, person::whole_millis, whole_seconds, written};
pub use attacks::Tally;
use watch::Watch;

/// Time between two reminders of the other user.
const EVERY: Duration = Duration::from_millis(500);
/// Reminders between two exports of the other user.
const EXPORT_AFTER: usize = 4;
/// Requests of the other user of which one may be refused.
const REFUSABLE: usize = 100;
/// Time from the creation of one to its due time.
const AHEAD: TimeDelta = TimeDelta::seconds(4);

/// The result for one process.
#[derive(Debug, Clone)]
pub struct ProcessReport {
    /// The binary.
    pub name: &'static str,
    /// The most memory it took (resident), in MiB.
    pub peak_mib: u64,
    /// The limit of its manifest, in MiB.
    pub limit_mib: u64,
    /// The slowest answer of `/healthz`; none when one was missing.
    pub slowest_health: Option<Duration>,
    /// `true` if it still runs.
    pub runs: bool,
}

/// The result.
#[derive(Debug, Clone)]
pub struct Report {
    /// Reminders of the other user that were answered with 201.
    pub made: usize,
    /// Requests of the other user that were answered otherwise: status, or what happened instead.
    pub refused: Vec<String>,
    /// Time in which each of the other user's requests was answered, ascending.
    pub answered: Vec<Duration>,
    /// Exports that the other user asked for, and those that came whole.
    pub exports: (usize, usize),
    /// Greatest lateness in each tenth of the time.
    pub worst: Vec<TimeDelta>,
    /// Lateness of each of the other user's deliveries, ascending.
    pub lateness: Vec<TimeDelta>,
    /// Deliveries of the other user that did not arrive.
    pub lost: usize,
    /// Requests that the hostile user made, by attack, and how they were answered.
    pub attacks: Vec<(&'static str, Tally)>,
    /// Each process.
    pub processes: Vec<ProcessReport>,
}

impl Report {
    /// The lateness that this part (0 to 1) of the deliveries does not exceed.
    #[must_use]
    pub fn lateness_at(&self, part: f64) -> TimeDelta {
        let last = self.lateness.len().saturating_sub(1);
        self.lateness.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
    }

    /// The time within which this part (0 to 1) of the other user's requests was answered.
    #[must_use]
    pub fn answered_at(&self, part: f64) -> Duration {
        let last = self.answered.len().saturating_sub(1);
        self.answered.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
    }

    /// Everything that breaks a promise but times, which a busy machine may cause as well.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.lost > 0 {
            broken.push(format!("{} deliveries of the other user did not arrive", self.lost));
        }
        let (refused, answered) = (self.refused.len(), self.answered.len());
        if refused >= answered || refused > (answered / REFUSABLE).max(1) {
            broken.push(format!(
                "requests of the other user were refused: {}",
                self.refused.join(", ")
            ));
        }
        if matches!(self.exports, (1.., 0)) {
            broken.push(format!("none of {} exports of the other user came", self.exports.0));
        }
        for process in &self.processes {
            if !process.runs {
                broken.push(format!("{} ended", process.name));
            }
            if process.peak_mib > process.limit_mib {
                broken.push(format!(
                    "{} took {} of {} MiB",
                    process.name, process.peak_mib, process.limit_mib
                ));
            }
            if process.slowest_health.is_none() {
                broken.push(format!("{}: /healthz did not answer", process.name));
            }
        }
        broken
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |part| self.lateness_at(part).num_milliseconds();
        writeln!(
            f,
            "the other user: {} made, {} refused, {} lost; late by p50 {} ms, p99 {} ms, at most {} ms",
            self.made,
            self.refused.len(),
            self.lost,
            ms(0.5),
            ms(0.99),
            ms(1.0)
        )?;
        let answered = |part| self.answered_at(part).as_millis();
        let (asked, came) = self.exports;
        writeln!(
            f,
            "  answered in p50 {} ms, p99 {} ms, at most {} ms; {came} of {asked} exports",
            answered(0.5),
            answered(0.99),
            answered(1.0)
        )?;
        let worst: Vec<String> =
            self.worst.iter().map(|late| late.num_milliseconds().to_string()).collect();
        writeln!(f, "  late at most in each tenth of the time (ms): {}", worst.join(", "))?;
        for process in &self.processes {
            let health = process
                .slowest_health
                .map_or("missing".to_owned(), |slowest| format!("{} ms", slowest.as_millis()));
            writeln!(
                f,
                "  {:<24} {:>4} of {} MiB, /healthz at most {health}",
                process.name, process.peak_mib, process.limit_mib
            )?;
        }
        for (attack, tally) in &self.attacks {
            writeln!(f, "  {attack:<40} {tally}")?;
        }
        Ok(())
    }
}

/// Who attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attackers {
    /// One user.
    One,
    /// Several more users beside that one, who attack in other ways as well.
    Several,
}

/// Lets hostile users work for a time and measures.
///
/// # Panics
/// When the suite does not start.
pub async fn run(
    bus: Bus,
    attackers: Attackers,
    length: Duration,
    mut progress: impl FnMut(&str),
) -> Report {
    let house = House::start(bus).await;
    let person = house.person("grace");
    person.registers("token-of-grace", "android").await;
    let stop = CancellationToken::new();
    let watch = Watch::begin(&house, &stop);
    let attacks = attacks::begin(&house, attackers, &stop);

    let mut other = OtherUser::new(person);
    let began = Instant::now();
    let mut tick = tokio::time::interval(EVERY);
    while began.elapsed() < length {
        tick.tick().await;
        other.calls().await;
        progress(&format!(
            "{:>4} s of {}: {} made",
            began.elapsed().as_secs(),
            length.as_secs(),
            other.made.len()
        ));
    }
    let last = Utc::now() + AHEAD;
    eventually(LIMIT, async || Utc::now() > last).await;
    stop.cancel();
    progress("the hostile user has gone; waiting for what is still under way");
    let (mut lateness, lost) = arrivals(&house, &other.made, &other.person.email).await;
    let tenths = lateness.chunks(lateness.len().div_ceil(10).max(1));
    let worst = tenths.filter_map(|tenth| tenth.iter().max().copied()).collect();
    lateness.sort_unstable();
    let attacks = finished(attacks).await;
    let OtherUser { made, refused, mut answered, exports, .. } = other;
    answered.sort_unstable();
    let processes = watch.end(&house).await;
    Report {
        made: made.len(),
        refused,
        answered,
        exports,
        worst,
        lateness,
        lost,
        attacks,
        processes,
    }
}

/// The other user, who asks for nothing unusual.
struct OtherUser {
    person: Person,
    calls: usize,
    made: Vec<(String, DateTime<Utc>)>,
    refused: Vec<String>,
    answered: Vec<Duration>,
    exports: (usize, usize),
}

impl OtherUser {
    fn new(person: Person) -> Self {
        let (made, refused, answered) = (Vec::new(), Vec::new(), Vec::new());
        Self { person, calls: 0, made, refused, answered, exports: (0, 0) }
    }

    /// Makes a reminder; every other one recurs, and is previewed before. An export is asked for
    /// now and then.
    async fn calls(&mut self) {
        let title = format!("tablets {}", self.calls);
        let recurs = self.calls % 2 == 1;
        // Rules know no milliseconds.
        let due_at = if recurs {
            whole_seconds(Utc::now() + AHEAD)
        } else {
            whole_millis(Utc::now() + AHEAD)
        };
        let mut body = json!({"date": written(due_at), "title": title, "message": "with water", "channels": ["push", "email"]});
        if recurs {
            body["timeZone"] = json!("Europe/Berlin");
            body["recurrence"] = json!({"rrule": "FREQ=DAILY;COUNT=2"});
            self.call(Method::POST, "/reminders/preview", Some(&body), 200).await;
        }
        // Answered late, its first occurrence may have been past when it was made: a rule goes on
        // with the next.
        if self.call(Method::POST, "/reminders", Some(&body), 201).await
            && (!recurs || Utc::now() < due_at)
        {
            self.made.push((title, due_at));
        }
        if self.calls.is_multiple_of(EXPORT_AFTER) {
            let export = self.person.reminders.try_send(Method::GET, "/me/export", None).await;
            let came = export.is_ok_and(|answer| answer.body["complete"] == true);
            self.exports = (self.exports.0 + 1, self.exports.1 + usize::from(came));
        }
        self.calls += 1;
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        expected: u16,
    ) -> bool {
        let asked = Instant::now();
        let answer = self.person.reminders.try_send(method.clone(), path, body).await;
        self.answered.push(asked.elapsed());
        let answered = match answer {
            Ok(answer) if answer.status == expected => return true,
            // It was read when its only time of delivery was past: that is a matter of time, not a
            // refusal.
            Ok(answer) if answer.reason() == Some("INVALID_DUEDATE") => return false,
            Ok(answer) => format!("{} {}", answer.status, answer.body["error"]["message"]),
            Err(error) => error.without_url().to_string(),
        };
        self.refused.push(format!("{method} {path}: {answered}"));
        false
    }
}

async fn finished(mut attacks: JoinSet<(&'static str, Tally)>) -> Vec<(&'static str, Tally)> {
    let mut tallies = BTreeMap::<&'static str, Tally>::new();
    while let Some(tally) = attacks.join_next().await {
        let (attack, tally) = tally.expect("an attack does not panic");
        tallies.entry(attack).or_default().add(tally);
    }
    tallies.into_iter().collect()
}

/// Returns the lateness of each delivery, in the order of their times, and the number that did not
/// come in two minutes more: the emulator of AWS takes as long for what the hostile user made
/// before.
async fn arrivals(
    house: &House,
    made: &[(String, DateTime<Utc>)],
    email: &str,
) -> (Vec<TimeDelta>, usize) {
    let mut lateness = Vec::new();
    let began = Instant::now();
    loop {
        lateness.clear();
        let captured = house.sandbox.captured();
        for (title, due_at) in made {
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
        // On AWS the e-mails are the emulator's, which does not say when they came.
        let channels = if house.bus_kind() == Bus::Aws { 1 } else { 2 };
        let lost = made.len() * channels - lateness.len();
        if lost == 0 || began.elapsed() > 2 * LIMIT {
            return (lateness, lost);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Returns the memory limit in the manifest of a service, in MiB.
///
/// # Panics
/// When the manifest does not say.
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
