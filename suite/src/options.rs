//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Reminders from the POST to the phone and the mailbox, in one process: the four services, a
/// private PostgreSQL, and a sandbox in place of FCM and SES.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "suite",
    version = shared::VERSION,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    after_help = "Ports are those of the last start, else 3000, 3001, 3002 and 8080, else the next free ones. A port \
                  that is given must be free; 0 takes any."
)]
pub struct Cli {
    /// Another task than running the suite.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How the suite runs.
    #[command(flatten)]
    pub options: Options,
}

/// Other tasks.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make topics, queues and e-mail on a local AWS (AWS_ENDPOINT_URL), or bring them up to date
    ///
    /// Prints the services' variables, one NAME=value a line. May be repeated.
    Provision(Provision),
}

/// What to make on a local AWS.
#[derive(Debug, Clone, Args)]
pub struct Provision {
    /// In front of every name, as in dev-event-topic
    #[arg(long, default_value = "", value_name = "PREFIX")]
    pub prefix: String,
    /// Who the e-mails are from
    #[arg(long, default_value = "reminders@example.com", value_name = "ADDRESS")]
    pub source_email: String,
}

/// How the suite runs.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Folder of the data: the database's cluster, and what the last start used [default: .data in
    /// the checkout while run inside of it, else reminders-suite in $XDG_DATA_HOME or
    /// ~/.local/share]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Port of the console page
    #[arg(long, value_name = "PORT")]
    pub console_port: Option<u16>,
    /// Port of reminder-service's REST API
    #[arg(long, value_name = "PORT")]
    pub reminder_port: Option<u16>,
    /// Port of event-service's internal API
    #[arg(long, value_name = "PORT")]
    pub event_port: Option<u16>,
    /// Port of notification-service's REST API
    #[arg(long, value_name = "PORT")]
    pub notification_port: Option<u16>,
    /// Port of the sandbox FCM and SES
    #[arg(long, value_name = "PORT")]
    pub sandbox_port: Option<u16>,
    /// Log what the services do (RUST_LOG chooses more finely)
    #[arg(long, short)]
    pub verbose: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
