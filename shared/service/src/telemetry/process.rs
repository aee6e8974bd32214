//! Standard `process_*` metrics, read from `/proc` at each scrape. Elsewhere than on Linux there
//! are none.

use std::{fmt::Write as _, fs};

use nix::sys::resource::{Resource, getrlimit};

/// Ticks per second in which the kernel reports times of processes (`USER_HZ`), the same on every
/// architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Figures {
    cpu_seconds: Option<f64>,
    start_seconds: Option<f64>,
    threads: Option<f64>,
    virtual_bytes: Option<f64>,
    resident_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

/// Renders the metrics of this process in the text format of Prometheus. A figure that cannot be
/// read is left out.
pub(super) fn render() -> String {
    read().render()
}

fn read() -> Figures {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut figures =
        parse(&text("/proc/self/stat"), &text("/proc/self/status"), &text("/proc/stat"));
    // The folder is itself open while it is read.
    figures.open_fds =
        fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1) as f64);
    figures.max_fds = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft as f64);
    figures
}

/// Parses `/proc/self/stat`, `/proc/self/status` and `/proc/stat` (proc(5)).
fn parse(stat: &str, status: &str, system: &str) -> Figures {
    // The second field, the name of the program, may contain blanks and parentheses; the third
    // follows its last parenthesis.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| rest.split_whitespace().collect());
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let line = |text: &str, key: &str| -> Option<f64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let (utime, stime, started) = (ticks(14), ticks(15), ticks(22));
    Figures {
        cpu_seconds: utime.zip(stime).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
        start_seconds: started
            .zip(line(system, "btime "))
            .map(|(started, boot)| boot + started / TICKS_PER_SECOND),
        threads: line(status, "Threads:"),
        virtual_bytes: line(status, "VmSize:").map(|kib| kib * 1024.0),
        resident_bytes: line(status, "VmRSS:").map(|kib| kib * 1024.0),
        open_fds: None,
        max_fds: None,
    }
}

impl Figures {
    fn render(&self) -> String {
        let metrics = [
            ("cpu_seconds_total", "counter", "CPU time spent, in seconds", self.cpu_seconds),
            (
                "start_time_seconds",
                "gauge",
                "Start of the process, in Unix time",
                self.start_seconds,
            ),
            ("threads", "gauge", "Threads of the process", self.threads),
            ("virtual_memory_bytes", "gauge", "Virtual memory", self.virtual_bytes),
            ("resident_memory_bytes", "gauge", "Resident memory", self.resident_bytes),
            ("open_fds", "gauge", "Open file descriptors", self.open_fds),
            ("max_fds", "gauge", "Largest number of open file descriptors", self.max_fds),
        ];
        let mut text = String::new();
        for (name, kind, help, value) in metrics {
            if let Some(value) = value {
                // Writing to a string does not fail.
                let _ = write!(
                    text,
                    "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\n\
                     process_{name} {value}\n\n"
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 9 0 1000 4096 2";
    const STATUS: &str = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t9\n";

    #[test]
    fn reads_figures_behind_a_strange_program_name() {
        let figures = parse(STAT, STATUS, "cpu 1 2 3\nbtime 1700000000\n");
        assert_eq!(figures.cpu_seconds, Some(2.0));
        assert_eq!(figures.start_seconds, Some(1_700_000_010.0));
        assert_eq!(figures.threads, Some(9.0));
        assert_eq!(figures.virtual_bytes, Some(2_097_152.0));
        assert_eq!(figures.resident_bytes, Some(1_048_576.0));
    }

    #[test]
    fn leaves_out_figures_that_cannot_be_read() {
        assert_eq!(parse("", "", ""), Figures::default());
        assert_eq!(parse("7 (a) S 1", "VmRSS: much", "btime"), Figures::default());
        assert_eq!(Figures::default().render(), "");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn renders_every_figure_of_this_process() {
        let text = render();
        assert_eq!(text.matches("# HELP process_").count(), 7, "{text}");
        assert_eq!(text.matches("# TYPE process_").count(), 7, "{text}");
    }
}
