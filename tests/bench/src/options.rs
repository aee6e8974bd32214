//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures the suite: real processes, a durable PostgreSQL and a fast provider on this machine.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Options {
    /// Measure only these rows [default: all but generator]
    #[arg(long, value_delimiter = ',', value_name = "ROW,…")]
    pub(crate) only: Vec<RowId>,

    /// Number of reminders of a burst, and of events
    #[arg(long, default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub(crate) n: u32,

    /// Runs of each row, of which the median is reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,

    /// Duration of the lateness row and of each API row
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,

    /// Reminders due in a second of the lateness row
    #[arg(long, default_value_t = 1_000, value_name = "PER SECOND")]
    #[arg(value_parser = clap::value_parser!(u32).range(10..=1_000))]
    pub(crate) rate: u32,

    /// Use small numbers, to check that the benchmark works
    #[arg(long)]
    pub(crate) quick: bool,

    /// File to which the figures are appended as JSON lines
    #[arg(long, value_name = "FILE", default_value = "target/bench.jsonl")]
    pub(crate) json: PathBuf,

    /// Report the most expensive SQL statements as well (slows PostgreSQL down a little)
    #[arg(long)]
    pub(crate) statements: bool,

    /// Exit with an error if a figure misses its bound
    #[arg(long)]
    pub(crate) check: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Other task of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Run the fast provider
    #[command(hide = true)]
    Provider,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowId {
    /// Reminders due at one instant
    Burst,
    /// The same with 50 ms of latency at the provider
    Latency,
    /// Reminders due at an even rate
    Lateness,
    /// Memory, idle and at its peak
    Memory,
    /// CPU while nothing is due
    Idle,
    /// Events applied by event-service
    Events,
    /// POST and GET of /reminders
    Api,
    /// Cold start of each service, from exec to ready
    Start,
    /// The load generator against the provider alone: the limit of the bench itself
    Generator,
}

impl Options {
    /// Returns `true` if a row is selected. The generator must be selected by name: it does not
    /// measure the services.
    pub(crate) fn wants(&self, row: RowId) -> bool {
        if self.only.is_empty() { row != RowId::Generator } else { self.only.contains(&row) }
    }

    /// Number of reminders of a burst.
    pub(crate) fn count(&self) -> u32 {
        if self.quick { self.n.min(1_000) } else { self.n }
    }

    /// Number of runs of a row.
    pub(crate) fn runs(&self) -> u32 {
        if self.quick { 1 } else { self.runs }
    }

    /// Duration of a row, in seconds; `usual` by default.
    pub(crate) fn seconds(&self, usual: u64) -> u64 {
        self.seconds.unwrap_or(if self.quick { 2 } else { usual }).max(1)
    }
}
