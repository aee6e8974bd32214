//! Memory of processes, from `/proc`.

use std::fs;

use anyhow::Context as _;

use crate::machine::{first_number, value_of};

/// A process's memory, in MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Memory {
    /// Resident, pages shared with others counted whole.
    pub(crate) rss: f64,
    /// Resident, shared pages divided among those who share them; none where the kernel does not
    /// tell.
    pub(crate) pss: Option<f64>,
    /// The highest that `rss` has been.
    pub(crate) peak: f64,
}

impl Memory {
    pub(crate) fn of(pid: i32) -> anyhow::Result<Self> {
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's memory")?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let mib = |text: &str, name: &str| {
            value_of(text, name).and_then(|value| first_number(&value)).map(|kib| kib / 1024.0)
        };
        Ok(Self {
            rss: mib(&status, "VmRSS").context("the kernel does not tell VmRSS")?,
            pss: mib(&rollup, "Pss"),
            peak: mib(&status, "VmHWM").context("the kernel does not tell VmHWM")?,
        })
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        let pss = self.pss.zip(other.pss).map(|(a, b)| a + b);
        Self { rss: self.rss + other.rss, pss, peak: self.peak + other.peak }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory() {
        let own = Memory::of(std::process::id() as i32).expect("this process is there");
        assert!(own.rss > 0.0 && own.peak >= own.rss);
    }

    #[test]
    fn sums_tell_a_share_only_if_all_do() {
        let known = Memory { rss: 1.0, pss: Some(0.5), peak: 2.0 };
        let unknown = Memory { pss: None, ..known };
        assert_eq!(known.and(known), Memory { rss: 2.0, pss: Some(1.0), peak: 4.0 });
        assert_eq!(known.and(unknown).pss, None);
    }
}
