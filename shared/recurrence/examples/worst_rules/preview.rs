//! Measured previews.

use std::{
    fmt,
    hint::black_box,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::resource::{UsageWho, getrusage};
use recurrence::{DeliverySchedule, PAGE_STEPS, Refusal, Rule, Series, Zone, canonical_date};

use crate::candidate::{Candidate, Entries, Listed};

/// A measured preview.
#[derive(Debug, Clone)]
pub(crate) struct Preview {
    /// Mean CPU time.
    pub(crate) cpu: Duration,
    /// Steps of the engine; `None` if the rule is refused as it is read.
    steps: Option<u64>,
    answer: Result<usize, String>,
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ms | ", self.cpu.as_secs_f64() * 1e3)?;
        match self.steps {
            Some(steps) => write!(f, "{steps} | ")?,
            None => write!(f, "– | ")?,
        }
        match &self.answer {
            Ok(number) => write!(f, "{number} occurrences"),
            Err(reason) => write!(f, "refused: {}", reason.chars().take(60).collect::<String>()),
        }
    }
}

/// A request with its lists written.
pub(crate) struct Written<'a> {
    candidate: &'a Candidate,
    rrule: String,
    exdates: Vec<String>,
    rdates: Vec<String>,
}

impl<'a> Written<'a> {
    pub(crate) fn new(candidate: &'a Candidate) -> Self {
        let exdates = dates(candidate, candidate.exdates);
        let rdates = dates(candidate, candidate.rdates);
        Self { candidate, rrule: candidate.rrule(), exdates, rdates }
    }

    /// Time of the fastest of some previews, by the functions that the route calls.
    pub(crate) fn time(&self, runs: usize) -> Duration {
        let run = || {
            let begun = Instant::now();
            black_box(self.preview()).ok();
            begun.elapsed()
        };
        (0..runs).map(|_| run()).min().unwrap_or_default()
    }

    /// CPU time, mean of as many previews as take half a second: the system counts in ticks of a
    /// few milliseconds.
    pub(crate) fn measure(&self) -> Preview {
        let (begun, mut runs) = (cpu_time(), 0);
        let mut answer = self.preview();
        while cpu_time() - begun < Duration::from_millis(500) {
            answer = black_box(self.preview());
            runs += 1;
        }
        let cpu = (cpu_time() - begun) / runs.max(1);
        Preview { cpu, steps: self.steps(), answer: answer.map_err(|refusal| refusal.to_string()) }
    }

    fn preview(&self) -> Result<usize, Refusal> {
        let shortest = |dates: &[String]| -> Vec<String> {
            dates.iter().map(|date| canonical_date(date).unwrap_or_default()).collect()
        };
        let Candidate { gap, fold, offsets, .. } = *self.candidate;
        let (exdates, rdates) = (shortest(&self.exdates), shortest(&self.rdates));
        let rule = Rule { rrule: &self.rrule, exdates: &exdates, rdates: &rdates, gap, fold };
        let series = Series::new(at(self.candidate.start), zone(self.candidate), rule)?;
        let schedule = DeliverySchedule::recurring(series, offsets.to_vec());
        let page = schedule.page_after(at(self.candidate.from), self.candidate.limit)?;
        for date in &page {
            let of_earlier = offsets.iter().map(|minutes| schedule.is_of_earlier(*date, *minutes));
            black_box(of_earlier.filter(|is_of_earlier| !is_of_earlier).count());
        }
        Ok(page.len())
    }

    fn steps(&self) -> Option<u64> {
        let series = series(self.candidate, &self.exdates, &self.rdates)?;
        let mut page = series.after(at(self.candidate.from)).within(PAGE_STEPS);
        black_box(page.by_ref().take(self.candidate.limit).count());
        Some(u64::from(series.steps()) + page.steps())
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_default()
}

fn zone(candidate: &Candidate) -> Zone {
    Zone::parse(candidate.zone).unwrap_or(Zone::UTC)
}

fn series(candidate: &Candidate, exdates: &[String], rdates: &[String]) -> Option<Series> {
    let rrule = candidate.rrule();
    let Candidate { gap, fold, .. } = *candidate;
    let rule = Rule { rrule: &rrule, exdates, rdates, gap, fold };
    Series::new(at(candidate.start), zone(candidate), rule).ok()
}

fn dates(candidate: &Candidate, Listed { entries, number }: Listed) -> Vec<String> {
    if number == 0 {
        return Vec::new();
    }
    let from = at(candidate.from);
    let of_rule = || -> Vec<DateTime<Utc>> {
        let series = series(candidate, &[], &[]);
        let found = series.map(|series| series.after(from).within(1_000_000).take(number));
        found.into_iter().flatten().collect()
    };
    let days = || (0..number).map(|day| from + TimeDelta::days(i64::try_from(day).unwrap_or(0)));
    let written = |dates: Vec<DateTime<Utc>>, form: &str| -> Vec<String> {
        dates.into_iter().map(|at| at.format(form).to_string()).collect()
    };
    match entries {
        Entries::Occurrences => written(of_rule(), "%Y-%m-%dT%H:%M:%SZ"),
        Entries::Days => written(of_rule(), "%Y-%m-%d"),
        Entries::Times => written(days().collect(), "%Y-%m-%dT%H:%M"),
        Entries::Long => written(days().collect(), "%Y-%m-%dT%H:%M:%S.%9f+00:00"),
    }
}

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("the usage of this thread");
    let part = |time: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        Duration::from_secs(seconds)
            + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
    };
    part(usage.user_time()) + part(usage.system_time())
}
