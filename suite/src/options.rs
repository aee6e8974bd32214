//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs the whole suite in one process: the four services, a private PostgreSQL, and a sandbox in
/// place of FCM and SES.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "suite",
    version = service::VERSION,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    after_help = "Ports: by default those of the last start, else 3000, 3001, 3002 and 8080, else \
                  the next free ones. A given port must be free; 0 selects any free port.\n\n\
                  Variables: the services read those of the environment, as RETENTION_DAYS or \
                  RATE_LIMIT_PER_SECOND, unless the suite has its own value, as for DATABASE_URL. \
                  `<service> config list` prints all of them."
)]
pub struct Cli {
    /// Task other than running the suite.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of a run.
    #[command(flatten)]
    pub options: Options,
}

/// Other tasks.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Create or update topics, queues and the e-mail template on a local AWS (AWS_ENDPOINT_URL)
    ///
    /// Prints the variables of the services, one NAME=value per line. May be repeated.
    Provision(Provision),
}

/// Options of the resources on a local AWS.
#[derive(Debug, Clone, Args)]
pub struct Provision {
    /// Prefix of every name, as in dev-event-topic
    #[arg(long, default_value = "", value_name = "PREFIX")]
    pub prefix: String,
    /// Sender of the e-mails
    #[arg(long, default_value = "reminders@example.com", value_name = "ADDRESS")]
    pub source_email: String,
}

/// Options of a run.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Data folder: the PostgreSQL cluster, and the ports of the last start [default: .data in the
    /// checkout if run inside of it, else reminders-suite in $XDG_DATA_HOME or ~/.local/share]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Port of the web console
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
    /// Log the work of the services (RUST_LOG selects in detail)
    #[arg(long, short)]
    pub verbose: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn builds_valid_command_line() {
        Cli::command().debug_assert();
    }
}
