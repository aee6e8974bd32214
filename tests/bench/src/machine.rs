//! Description of the machine, without which a figure has no meaning.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    time::Instant,
};

use anyhow::Context as _;
use serde::Serialize;

use crate::stats::percentile;

/// Writes by which the disk is measured.
const FLUSHES: usize = 100;

/// Properties of the machine that influence the figures.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) memory_gib: f64,
    /// Median time of writing and flushing 8 KiB, for which a commit waits.
    pub(crate) flush_us: f64,
    pub(crate) postgres: String,
}

impl Machine {
    /// Inspects this machine, and the disk of `dir`.
    pub(crate) fn inspect(dir: &Path, postgres: String) -> anyhow::Result<Self> {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory_kib =
            value_of(&text("/proc/meminfo"), "MemTotal").and_then(|value| first_number(&value));
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: value_of(&text("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_gib: memory_kib.unwrap_or(0.0) / 1024.0 / 1024.0,
            flush_us: flush_us(dir).context("measure the disk")?,
            postgres,
        })
    }
}

/// The value of the first line `name : value`.
fn value_of(text: &str, name: &str) -> Option<String> {
    let of = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(of)
}

/// The number that a text begins with.
fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

fn flush_us(dir: &Path) -> std::io::Result<f64> {
    let path = dir.join("flush");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let begun = Instant::now();
        file.write_all(&[7; 8192])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_micros());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(percentile(&times, 50.0).unwrap_or(0) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_values_by_name() {
        let text = "model\t\t: 1\nmodel name\t: A CPU\nMemTotal:       24684960 kB\n";
        assert_eq!(value_of(text, "model name").as_deref(), Some("A CPU"));
        assert_eq!(
            value_of(text, "MemTotal").and_then(|value| first_number(&value)),
            Some(24_684_960.0)
        );
        assert_eq!(value_of(text, "nothing"), None);
    }
}
