//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measure the suite: real processes, a durable PostgreSQL, a fast provider, all on this machine.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Options {
    /// Only these rows (all by default)
    #[arg(long, value_delimiter = ',', value_name = "ROW,…")]
    pub(crate) only: Vec<RowId>,

    /// Reminders of a burst, and events
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub(crate) n: u32,

    /// Runs of each row, of which the median is told
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,

    /// Seconds of the steady rows and of each API row
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,

    /// Small numbers: whether it works, not how fast it is
    #[arg(long)]
    pub(crate) quick: bool,

    /// Where the figures go as JSON lines, added to what is there
    #[arg(long, value_name = "FILE", default_value = "target/bench.jsonl")]
    pub(crate) json: PathBuf,

    /// Tell also which statements PostgreSQL spends its time in (it costs a little of it)
    #[arg(long)]
    pub(crate) statements: bool,

    /// End with an error when a figure is worse than what is due
    #[arg(long)]
    pub(crate) check: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the binary does beside benching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Be the fast provider
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
    /// Reminders due evenly, 1,000 a second
    Lateness,
    /// Memory, idle and at its peak
    Memory,
    /// Events applied by event-service
    Events,
    /// POST and GET of reminders
    Api,
    /// From exec to ready
    Start,
    /// The load generator against the provider alone: what the bench itself can do
    Generator,
}

impl Options {
    /// Whether a row is wanted. The generator's is wanted by name only: it says nothing of the
    /// services.
    pub(crate) fn wants(&self, row: RowId) -> bool {
        if self.only.is_empty() { row != RowId::Generator } else { self.only.contains(&row) }
    }

    /// Reminders of a burst.
    pub(crate) fn count(&self) -> u32 {
        if self.quick { self.n.min(1_000) } else { self.n }
    }

    /// Runs of a row.
    pub(crate) fn runs(&self) -> u32 {
        if self.quick { 1 } else { self.runs }
    }

    /// Seconds of a row that lasts `usual`.
    pub(crate) fn seconds(&self, usual: u64) -> u64 {
        self.seconds.unwrap_or(if self.quick { 2 } else { usual }).max(1)
    }
}
