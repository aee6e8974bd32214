//! The commands that every binary has, and the frame of its life around them.

use std::{future::Future, process::ExitCode};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::{
    VERSION,
    config::{self, Env, Process, ProcessEnv, Reader, Report},
    healthcheck, open_files, shutdown, telemetry,
};

/// Exit status of a start that the configuration forbids (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

#[derive(Debug, Parser)]
#[command(
    version,
    disable_help_subcommand = true,
    after_help = "Configured by environment variables; `config check` lists them."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a binary is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM, then drain (the default)
    Serve,
    /// Bring the database and the bus up to date, then exit
    Migrate,
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask the process that serves on this machine whether it is alive; exit status 0 if so
    Healthcheck {
        /// Ask whether it is ready to work
        #[arg(long)]
        ready: bool,
    },
}

/// What is asked about the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Print every variable, whether it is set, and every fault; never a value
    Check,
    /// Print every variable as JSON
    List,
}

/// A service, as its command line sees it.
pub trait Service {
    /// Its name: of the binary, in logs and in traces.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// Everything it is told by the environment.
    type Config: Send;

    /// Reads the configuration; faults are noted in the reader.
    fn read(reader: &mut Reader<'_>) -> Option<Self::Config>;

    /// The part of the configuration that every process has.
    fn process(config: &Self::Config) -> &Process;

    /// Brings what the service owns up to date.
    fn migrate(config: &Self::Config) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Commands that this service has beside those of every binary; no configuration is read for
    /// them.
    #[must_use]
    fn own_commands() -> Vec<clap::Command> {
        Vec::new()
    }

    /// Carries out one of its own commands.
    ///
    /// # Errors
    /// A [`Report`] when the configuration forbids it; anything else is a failure.
    fn run_own(command: &str, _arguments: &ArgMatches, _env: &dyn Env) -> anyhow::Result<()> {
        anyhow::bail!("there is no command `{command}`")
    }

    /// Serves until the token is cancelled, then drains.
    fn serve(
        config: Self::Config,
        shutdown: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The life of a service's process: command line, configuration, telemetry, work, drain, exit
/// status.
pub async fn run<S: Service>() -> ExitCode {
    let matches = command_line::<S>().get_matches();
    if let Some((name, arguments)) = matches.subcommand().filter(|(name, _)| is_own::<S>(name)) {
        return own::<S>(name, arguments, &ProcessEnv);
    }
    let command = Command::of(&matches);
    if let Command::Config(what) = command {
        return describe::<S>(what, &ProcessEnv);
    }
    if let Command::Healthcheck { ready } = command {
        return healthcheck::run(S::NAME, ready, &ProcessEnv).await;
    }
    let config = match config::read(&ProcessEnv, S::read) {
        Ok(config) => config,
        Err(report) => {
            eprintln!("{}: {report}", S::NAME);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let _telemetry = match telemetry::init(S::NAME, VERSION, &S::process(&config).telemetry) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("{}: {error:#}", S::NAME);
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

async fn serve<S: Service>(config: S::Config) -> anyhow::Result<()> {
    open_files::raise_limit();
    S::serve(config, shutdown::on_signal()?).await
}

fn describe<S: Service>(what: ConfigCommand, env: &dyn Env) -> ExitCode {
    let report = config::list(env, S::read);
    match what {
        ConfigCommand::List => println!("{}", serde_json::json!(report.settings)),
        ConfigCommand::Check => println!("{}", report.table()),
    }
    if report.faults.is_empty() || what == ConfigCommand::List {
        return ExitCode::SUCCESS;
    }
    eprintln!("{}: {report}", S::NAME);
    ExitCode::from(EXIT_CONFIG)
}

fn own<S: Service>(name: &str, arguments: &ArgMatches, env: &dyn Env) -> ExitCode {
    let Err(error) = S::run_own(name, arguments, env) else { return ExitCode::SUCCESS };
    eprintln!("{}: {error:#}", S::NAME);
    if error.is::<Report>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
}

fn is_own<S: Service>(name: &str) -> bool {
    S::own_commands().iter().any(|command| command.get_name() == name)
}

fn command_line<S: Service>() -> clap::Command {
    Cli::command().name(S::NAME).about(S::ABOUT).version(VERSION).subcommands(S::own_commands())
}

impl Command {
    /// What the command line asks for; prints a usage error and exits where it cannot be read.
    fn of(matches: &ArgMatches) -> Self {
        let cli = Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
        cli.command.unwrap_or(Self::Serve)
    }
}
