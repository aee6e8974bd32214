//! Prints how fast occurrences are found: `cargo run --release -p recurrence --example throughput`.
//!
//! For each rule: occurrences a second of one walk, and microseconds to read the rule, to find the
//! next occurrence from 2060 on, and to find the latest before then.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use recurrence::{Fold, Gap, Rule, Series, Zone};

fn all(most: u32) -> String {
    (0..most).map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// Mean time of some work, repeated for a quarter of a second.
fn mean<T>(mut work: impl FnMut() -> T) -> Duration {
    let (started, mut times) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_millis(250) {
        black_box(work());
        times += 1;
    }
    started.elapsed() / times
}

fn main() {
    let start: DateTime<Utc> = DateTime::from_timestamp(1_780_300_800, 0).unwrap_or_default();
    let later: DateTime<Utc> = DateTime::from_timestamp(2_855_865_600, 0).unwrap_or_default();
    let dense =
        format!("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR={};BYMINUTE={}", all(24), all(60));
    let chosen = format!("{dense};BYSETPOS=1,-1");
    let rules = [
        "FREQ=DAILY",
        "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYHOUR=8,20",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
        "FREQ=MINUTELY",
        "FREQ=DAILY;COUNT=10000",
        "FREQ=HOURLY;BYHOUR=9,17;COUNT=10000",
        "FREQ=MINUTELY;INTERVAL=1439;BYHOUR=3;BYMINUTE=0",
        "FREQ=MINUTELY;INTERVAL=10079;BYDAY=MO;BYHOUR=3;BYMINUTE=0",
        "FREQ=HOURLY;INTERVAL=719;BYMONTHDAY=29;BYHOUR=3",
        "FREQ=DAILY;INTERVAL=365;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=DAILY;INTERVAL=9973;BYMONTH=1;BYMONTHDAY=1",
        "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=3;BYMINUTE=0;BYSECOND=0",
        "FREQ=HOURLY;INTERVAL=23;BYHOUR=9;COUNT=10000",
        dense.as_str(),
        chosen.as_str(),
    ];
    println!("{:>14} {:>9} {:>9} {:>9}  rule", "occurrences/s", "read µs", "next µs", "latest µs");
    for rrule in rules {
        let Ok(zone) = Zone::parse("Europe/Berlin") else { return };
        let read = || {
            let rule =
                Rule { rrule, exdates: &[], rdates: &[], gap: Gap::Shift, fold: Fold::First };
            Series::new(start, zone, rule)
        };
        let Ok(series) = read() else {
            println!("{:>14} {rrule}", "refused");
            continue;
        };
        let (walk, walked) = (Instant::now(), series.after(start).take(20_000).count());
        let rate = walked as f64 / walk.elapsed().as_secs_f64();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let next = micros(mean(|| series.after(later).next()));
        let latest = micros(mean(|| series.last_until(later)));
        let shown: String = rrule.chars().take(60).collect();
        println!("{rate:>14.0} {:>9.1} {next:>9.1} {latest:>9.1}  {shown}", micros(mean(read)));
    }
}
