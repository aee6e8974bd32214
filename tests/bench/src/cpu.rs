//! CPU time by process, from `/proc`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// Unit of `/proc` (`USER_HZ`): a hundredth of a second on every architecture in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processes whose time is measured: by name, and a PostgreSQL server with its children.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) processes: Vec<(&'static str, i32)>,
    pub(crate) postmaster: Option<i32>,
}

/// CPU seconds between two moments.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Usage {
    /// Time by process.
    pub(crate) processes: Vec<(&'static str, f64)>,
    /// Time of PostgreSQL with all its processes.
    pub(crate) postgres: f64,
    /// The same by purpose: a database, or one of the server's background tasks.
    pub(crate) postgres_by_use: BTreeMap<String, f64>,
    /// Time of all other processes of the machine: if it is high, the row is not reliable.
    pub(crate) others: f64,
    /// Wall-clock time.
    pub(crate) wall: Duration,
}

/// A measurement under way.
#[derive(Debug)]
pub(crate) struct Meter {
    watched: Watched,
    begun: Instant,
    first: Reading,
}

impl Meter {
    pub(crate) fn start(watched: Watched) -> anyhow::Result<Self> {
        let first = Reading::take(&watched)?;
        Ok(Self { watched, begun: Instant::now(), first })
    }

    pub(crate) fn read(&self) -> anyhow::Result<Usage> {
        let last = Reading::take(&self.watched)?;
        Ok(last.since(&self.first, self.begun.elapsed()))
    }
}

/// CPU time of one process, in ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ticks {
    own: u64,
    /// Time of children that have ended and were waited for.
    children: u64,
}

#[derive(Debug, Default)]
struct Reading {
    processes: Vec<(&'static str, u64)>,
    postmaster: u64,
    backends: HashMap<i32, (String, u64)>,
    machine: u64,
}

impl Reading {
    fn take(watched: &Watched) -> anyhow::Result<Self> {
        let mut reading = Self { machine: machine()?, ..Self::default() };
        for (name, pid) in &watched.processes {
            let ticks = ticks(*pid).with_context(|| format!("{name} (process {pid}) is gone"))?;
            reading.processes.push((name, ticks.own));
        }
        if let Some(postmaster) = watched.postmaster {
            let ticks = ticks(postmaster).context("PostgreSQL is gone")?;
            reading.postmaster = ticks.own + ticks.children;
            let children =
                fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"))
                    .context("list PostgreSQL's processes")?;
            reading.backends =
                children.split_whitespace().filter_map(|pid| backend(pid.parse().ok()?)).collect();
        }
        Ok(reading)
    }

    fn since(&self, first: &Self, wall: Duration) -> Usage {
        let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
        let sum = |reading: &Self| {
            reading.postmaster + reading.backends.values().map(|(_, ticks)| ticks).sum::<u64>()
        };
        let processes: Vec<_> = (self.processes.iter().zip(&first.processes))
            .map(|((name, last), (_, first))| (*name, seconds(last.saturating_sub(*first))))
            .collect();
        let postgres = seconds(sum(self).saturating_sub(sum(first)));
        let mut postgres_by_use = BTreeMap::new();
        for (pid, (purpose, ticks)) in &self.backends {
            let before = first.backends.get(pid).map_or(0, |(_, ticks)| *ticks);
            *postgres_by_use.entry(purpose.clone()).or_insert(0.0) +=
                seconds(ticks.saturating_sub(before));
        }
        let alive: f64 = postgres_by_use.values().sum();
        // The server itself, and those of its processes that ended meanwhile.
        *postgres_by_use.entry("server".to_owned()).or_insert(0.0) += (postgres - alive).max(0.0);
        let ours: f64 = postgres + processes.iter().map(|(_, seconds)| seconds).sum::<f64>();
        let others = (seconds(self.machine.saturating_sub(first.machine)) - ours).max(0.0);
        Usage { processes, postgres, postgres_by_use, others, wall }
    }
}

fn ticks(pid: i32) -> Option<Ticks> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads fields 14 to 17 of `/proc/PID/stat`. The second field, the name, may contain anything, and
/// ends at the last parenthesis.
fn parse_stat(stat: &str) -> Option<Ticks> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    let mut two = || Some(times.next()? + times.next()?);
    Some(Ticks { own: two()?, children: two()? })
}

fn backend(pid: i32) -> Option<(i32, (String, u64))> {
    let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    Some((pid, (purpose(&title), ticks(pid)?.own)))
}

/// Purpose of a process of PostgreSQL, from its title: the database of a client's session, or a
/// background task.
fn purpose(title: &str) -> String {
    let title = title.trim_end_matches('\0').trim();
    let rest = title.strip_prefix("postgres: ").unwrap_or(title);
    let words: Vec<_> = rest.split_whitespace().collect();
    match words.as_slice() {
        [_user, database, client, ..] if client.contains('(') || *client == "[local]" => {
            short(database).to_owned()
        }
        ["autovacuum", ..] => "autovacuum".to_owned(),
        // A process that starts or ends has no title.
        [] => "server".to_owned(),
        _ => words.join(" "),
    }
}

/// Name of a database without the name of its group of rows.
fn short(database: &str) -> &str {
    database.rsplit_once('_').map_or(database, |(_, short)| short)
}

/// Busy ticks of the whole machine: all but idle time and time that waits for disks.
fn machine() -> anyhow::Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    parse_machine(&stat).context("/proc/stat is not as expected")
}

fn parse_machine(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    let busy = [0, 1, 2, 5, 6, 7];
    Some(busy.iter().filter_map(|field| fields.get(*field)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_after_any_process_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 7 3 20 10 20 0 1 0 99";
        assert_eq!(parse_stat(stat), Some(Ticks { own: 10, children: 30 }));
        assert_eq!(parse_stat("42 (x) S 1"), None);
    }

    #[test]
    fn counts_all_but_idle_time_as_busy() {
        assert_eq!(parse_machine("cpu  1 2 4 1000 1000 8 16 32 0 0\ncpu0 1"), Some(63));
    }

    #[test]
    fn finds_purpose_of_postgres_process_in_title() {
        assert_eq!(purpose("postgres: postgres burst_bus 127.0.0.1(4711) idle\0"), "bus");
        assert_eq!(purpose("postgres: background writer \0"), "background writer");
        assert_eq!(purpose(""), "server");
        assert_eq!(purpose("postgres: autovacuum worker bench_1_bus\0"), "autovacuum");
    }

    #[test]
    fn counts_time_of_ended_processes_as_servers() {
        let backends = |list: &[(i32, u64)]| {
            list.iter().map(|(pid, ticks)| (*pid, ("bus".to_owned(), *ticks))).collect()
        };
        let first = Reading {
            postmaster: 100,
            backends: backends(&[(1, 50), (2, 70)]),
            ..Reading::default()
        };
        // Process 2 ended after 30 more ticks: the server has waited for all its 100.
        let last = Reading {
            postmaster: 200,
            backends: backends(&[(1, 60), (3, 5)]),
            machine: 100,
            ..Reading::default()
        };
        let usage = last.since(&first, Duration::from_secs(1));
        assert!((usage.postgres - 0.45).abs() < 1e-9);
        assert!((usage.postgres_by_use["bus"] - 0.15).abs() < 1e-9);
        assert!((usage.postgres_by_use["server"] - 0.30).abs() < 1e-9);
        assert!((usage.others - 0.55).abs() < 1e-9);
    }
}
