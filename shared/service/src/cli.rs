//! Commands that every binary has, and the life of its process around them.

use std::{
    collections::BTreeMap,
    future::Future,
    io::{self, Write},
    process::ExitCode,
};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use env_config::{Env, ProcessEnv, Reader, Report};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::{
    VERSION, healthcheck, open_files,
    settings::{LogFormat, Process},
    shutdown, telemetry,
};

/// Exit status after a fault of the configuration (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

#[derive(Debug, Parser)]
#[command(
    version,
    disable_help_subcommand = true,
    after_help = "Configured by environment variables: see --help, or `config check` for their \
    state."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// Command of a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM, then drain (the default)
    Serve,
    /// Create or update the tables, topics and queues that the service needs, then exit
    Migrate,
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check that the service on this machine is alive; the exit status is 0 if it is
    Healthcheck {
        /// Check that it is ready, too
        #[arg(long)]
        ready: bool,
    },
}

/// Form in which the configuration is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Print each variable with its state, and all faults; values are never printed
    Check,
    /// Print each variable as JSON
    List,
}

/// Service that a binary runs.
pub trait Service {
    /// Name of the binary, and of the service in logs and traces.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// Configuration, read from the environment.
    type Config: Send;

    /// Reads the configuration; the reader collects its faults.
    fn read(reader: &mut Reader<'_>) -> Option<Self::Config>;

    /// Returns the part of the configuration that every process has.
    fn process(config: &Self::Config) -> &Process;

    /// Creates or updates the tables, topics and queues that the service owns.
    fn migrate(config: &Self::Config) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Returns the commands that this service has beside those of every binary; no configuration is
    /// read for them.
    #[must_use]
    fn own_commands() -> Vec<clap::Command> {
        Vec::new()
    }

    /// Runs one of the service's own commands.
    ///
    /// # Errors
    /// A [`Report`] if the configuration has faults; any other error is a failure.
    fn run_own(
        command: &str,
        _arguments: &ArgMatches,
        _env: &dyn Env,
    ) -> impl Future<Output = anyhow::Result<()>> + Send {
        let error = anyhow::anyhow!("there is no command `{command}`");
        async { Err(error) }
    }

    /// Serves until the token is cancelled, then drains.
    fn serve(
        config: Self::Config,
        shutdown: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Runs a service's process: reads the command line and the configuration, sets up telemetry,
/// serves, drains, and returns the exit status.
pub async fn run<S: Service>() -> ExitCode {
    let matches = command_line::<S>().get_matches();
    if let Some((name, arguments)) = matches.subcommand().filter(|(name, _)| is_own::<S>(name)) {
        return own::<S>(name, arguments, &ProcessEnv).await;
    }
    let command = Command::of(&matches);
    if let Command::Config(form) = command {
        return describe::<S>(form, &ProcessEnv);
    }
    if let Command::Healthcheck { ready } = command {
        return healthcheck::run(S::NAME, ready, &ProcessEnv).await;
    }
    let config = match env_config::read(&ProcessEnv, S::read) {
        Ok(config) => config,
        Err(report) => {
            complain(&refusal(S::NAME, &ProcessEnv, &report));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let _telemetry = match telemetry::init(S::NAME, VERSION, &S::process(&config).telemetry) {
        Ok(guard) => guard,
        Err(error) => {
            complain(&failure(S::NAME, &ProcessEnv, &format!("{error:#}")));
            return ExitCode::FAILURE;
        }
    };
    let result = match command {
        Command::Migrate => S::migrate(&config).await,
        _ => serve::<S>(config).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "service failed, the process exits");
            ExitCode::FAILURE
        }
    }
}

/// Words a configuration that forbids the start, in the form of the lines beside the log.
fn refusal(service: &str, env: &dyn Env, report: &Report) -> String {
    match telemetry::line_format(env) {
        LogFormat::Pretty => format!("{service}: {report}"),
        LogFormat::Json => {
            telemetry::json_line("ERROR", service, &report.summary(), report.fields())
        }
    }
}

/// Words a failure before the log is set up.
fn failure(service: &str, env: &dyn Env, message: &str) -> String {
    match telemetry::line_format(env) {
        LogFormat::Pretty => format!("{service}: {message}"),
        LogFormat::Json => telemetry::json_line("ERROR", service, message, Map::new()),
    }
}

async fn serve<S: Service>(config: S::Config) -> anyhow::Result<()> {
    open_files::raise_limit();
    S::serve(config, shutdown::on_signal()?).await
}

fn describe<S: Service>(form: ConfigCommand, env: &dyn Env) -> ExitCode {
    let report = env_config::list(env, S::read);
    let text = match form {
        ConfigCommand::List => serde_json::json!(report.settings).to_string(),
        ConfigCommand::Check => report.table(),
    };
    if let Err(error) = print(&text) {
        complain(&format!("{}: the configuration was not printed: {error}", S::NAME));
        return ExitCode::FAILURE;
    }
    if report.faults.is_empty() || form == ConfigCommand::List {
        return ExitCode::SUCCESS;
    }
    complain(&format!("{}: {report}", S::NAME));
    ExitCode::from(EXIT_CONFIG)
}

/// Writes a line to stdout. A reader that has closed the pipe, such as `head`, needs no more of it.
///
/// # Errors
/// If the line cannot be written for another reason.
pub fn print(line: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line to stderr, if possible. `eprintln!` would panic if stderr is closed.
pub fn complain(line: &str) {
    let _unwritable = writeln!(io::stderr().lock(), "{line}");
}

async fn own<S: Service>(name: &str, arguments: &ArgMatches, env: &dyn Env) -> ExitCode {
    let Err(error) = S::run_own(name, arguments, env).await else { return ExitCode::SUCCESS };
    complain(&format!("{}: {error:#}", S::NAME));
    if error.is::<Report>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
}

fn is_own<S: Service>(name: &str) -> bool {
    S::own_commands().iter().any(|command| command.get_name() == name)
}

fn command_line<S: Service>() -> clap::Command {
    let command = Cli::command()
        .name(S::NAME)
        .about(S::ABOUT)
        .version(VERSION)
        .subcommands(S::own_commands());
    // A start must not pay for the list of variables.
    if std::env::args_os().any(|argument| argument == "--help") {
        let variables = env_config::list(&BTreeMap::new(), S::read).help();
        return command.after_long_help(variables);
    }
    command
}

impl Command {
    /// Reads the command; prints a usage error and exits if there is none that is known.
    fn of(matches: &ArgMatches) -> Self {
        let cli = Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
        cli.command.unwrap_or(Self::Serve)
    }
}
