//! Searches for the previews that take the most CPU time, and prints the worst 20 as a table:
//! `make worst-rules ARGS="--seconds 60"`. Fails if one takes longer than a preview may.
//!
//! The search climbs: it changes one part of a request at a time, and keeps a change that makes the
//! preview more expensive. It begins again with a random request when no change does.

mod candidate;
mod chance;
mod preview;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use candidate::Candidate;
use chance::Chance;
use preview::{Preview, Written};

/// Longest CPU time of a preview.
const LIMIT: Duration = Duration::from_millis(5);
/// Number of requests that are printed.
const SHOWN: usize = 20;
/// Changes without effect after which the search begins again.
const PATIENCE: u32 = 60;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seconds, mut seed) = (60, 1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--seconds", Some(value)) => seconds = value,
            ("--seed", Some(value)) => seed = value,
            _ => {
                eprintln!("usage: worst_rules [--seconds NUMBER] [--seed NUMBER]");
                return ExitCode::from(2);
            }
        }
    }
    let worst = search(Duration::from_secs(seconds), &mut Chance::new(seed));
    println!("| CPU | steps | answer | request |\n| --- | --- | --- | --- |");
    for (candidate, preview) in &worst {
        println!("| {preview} | {candidate} |");
    }
    let longest = worst.first().map_or(Duration::ZERO, |(_, preview)| preview.cpu);
    if longest <= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The most expensive requests that are found in a time, one of each shape.
fn search(time: Duration, chance: &mut Chance) -> Vec<(Candidate, Preview)> {
    let begun = Instant::now();
    let mut worst: BTreeMap<String, (Duration, Candidate)> = BTreeMap::new();
    let mut tried = 0_u64;
    while begun.elapsed() < time {
        let (best, longest) = climb(chance, &mut tried);
        let known = worst.entry(best.shape()).or_default();
        if known.0 < longest {
            *known = (longest, best);
        }
    }
    eprintln!("{tried} requests");
    let mut worst: Vec<_> = worst.into_values().collect();
    worst.sort_by_key(|(longest, _)| std::cmp::Reverse(*longest));
    let mut worst: Vec<_> = worst
        .into_iter()
        .take(2 * SHOWN)
        .map(|(_, candidate)| {
            let preview = Written::new(&candidate).measure();
            (candidate, preview)
        })
        .collect();
    worst.sort_by_key(|(_, preview)| std::cmp::Reverse(preview.cpu));
    worst.truncate(SHOWN);
    worst
}

/// Changes a random request for as long as this makes its preview take longer.
fn climb(chance: &mut Chance, tried: &mut u64) -> (Candidate, Duration) {
    let mut best = Candidate::random(chance);
    let mut longest = Written::new(&best).time(3);
    let mut patience = PATIENCE;
    while patience > 0 {
        let changed = best.changed(chance);
        let written = Written::new(&changed);
        *tried += 1;
        // Measured again, as another process may have disturbed it.
        let found = written.time(1);
        let found = if found > longest { written.time(3) } else { found };
        if found > longest {
            (best, longest, patience) = (changed, found, PATIENCE);
        } else {
            patience -= 1;
        }
    }
    (best, longest)
}
