//! Memory of a process, from `/proc`.

use std::fs;

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident set size (`VmRSS`): pages that are shared with other processes count whole.
    pub resident_kib: u64,
    /// Largest resident set size so far (`VmHWM`).
    pub peak_kib: u64,
    /// Proportional set size (`Pss`): shared pages are divided among the processes that share
    /// them. `None` if the kernel does not report it.
    pub proportional_kib: Option<u64>,
}

impl Memory {
    /// Reads the memory of a process; `None` if it does not run (any more).
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Some(Self {
            resident_kib: kib(&status, "VmRSS:")?,
            peak_kib: kib(&status, "VmHWM:")?,
            proportional_kib: kib(&rollup, "Pss:"),
        })
    }
}

/// The value of the line `name   value kB` (proc(5)).
fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_memory_of_this_process() {
        let own = Memory::of(std::process::id().cast_signed()).expect("this process runs");
        assert!(own.resident_kib > 0 && own.peak_kib >= own.resident_kib, "{own:?}");
    }

    #[test]
    fn reads_value_by_name() {
        let text = "VmHWM:\t   10332 kB\nVmRSS:\t    9984 kB\n";
        assert_eq!((kib(text, "VmRSS:"), kib(text, "Pss:")), (Some(9_984), None));
    }
}
