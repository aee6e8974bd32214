//! The command `republish`.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Parser;
use db::DbSettings;
use env_config::Env;
use service::cli;
use uuid::Uuid;

use crate::{
    domain::reconciliation::Difference,
    usecases::{Problem, Progress, republish_reminders},
};

/// Write events of reminders that event-service does not have as they are
///
/// Writes an event to the outbox for each of some differences between reminders and event-service's
/// notifications, 500 in each transaction. reminder-service publishes them as soon as it runs. The
/// command may be repeated without harm. restore-reconcile.sh compares the databases after a
/// restore, and runs it.
///
/// A difference is a line of five columns in the text format of PostgreSQL's COPY: its kind, the id
/// of the reminder, its user, the user's e-mail address or \N, and the version that event-service
/// knows or \N. By kind:
///
///   missing, behind  reminder:updated with the version that the reminder has
///   ahead, silent    reminder:updated; first the reminder gets the version after the known one
///   unknown          reminder:deleted, unless the reminder exists
///
/// The exit status is 1 if the event of a reminder cannot be written; the others are written.
#[derive(Debug, Parser)]
#[command(
    name = "republish",
    verbatim_doc_comment,
    after_help = "Needs the variables of the database only: DATABASE_URL, or DB_HOST and others."
)]
pub(crate) struct Arguments {
    /// File with the differences; `-` is the standard input
    #[arg(default_value = "-")]
    differences: PathBuf,
    /// Count the events and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments, env: &dyn Env) -> anyhow::Result<()> {
    let database = env_config::read(env, DbSettings::read)?;
    let differences = parse(&read(&arguments.differences)?)?;
    let pool = database.pool("reminder-service republish");
    let mut progress = Lines { done: 0, total: differences.len() };
    let counts = republish_reminders(&pool, &differences, arguments.dry_run, &mut progress)
        .await
        .context("stopped; finished batches are written, run the command again")?;
    cli::print(&format!(
        "{}: {} reminder:updated, {} reminder:deleted; {} reminders changed meanwhile",
        if arguments.dry_run { "would write" } else { "wrote" },
        counts.updated,
        counts.deleted,
        counts.changed,
    ))?;
    anyhow::ensure!(
        counts.failed == 0,
        "the events of {} reminders cannot be written (see above)",
        counts.failed
    );
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("cannot read the standard input")?;
        return Ok(text);
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Vec<Difference>> {
    let lines = text.split_terminator('\n').enumerate();
    lines
        .map(|(number, line)| line.parse().with_context(|| format!("line {}", number + 1)))
        .collect()
}

/// Progress as lines on the standard error.
struct Lines {
    done: usize,
    total: usize,
}

impl Progress for Lines {
    fn done(&mut self, differences: usize) {
        self.done += differences;
        cli::complain(&format!("{} of {} differences", self.done, self.total));
    }

    fn failed(&mut self, id: Uuid, problem: &Problem) {
        cli::complain(&format!("reminder {id}: its event cannot be written: {problem}"));
    }
}
