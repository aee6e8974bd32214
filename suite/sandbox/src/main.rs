//! `sandbox`: the stand-ins for FCM and SES as a program.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use sandbox::{Options, Sandbox};
use tokio::signal::unix::{SignalKind, signal};

/// Stand-ins for FCM HTTP v1 and SES that capture the messages they receive.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a service account that gets its access tokens from a sandbox
    ServiceAccount {
        /// Address at which the services reach the sandbox
        #[arg(long, value_name = "URL")]
        url: String,
        /// File to write [default: standard output]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Check that a sandbox listens on this machine; exit status 0 if it does
    Healthcheck {
        /// Port of the sandbox
        #[arg(long, default_value_t = 4500)]
        port: u16,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 for a free one
    #[arg(long, default_value_t = 4500)]
    port: u16,
    /// File to which the service account is written
    #[arg(long, value_name = "FILE")]
    service_account: Option<PathBuf>,
    /// Number of messages to keep
    #[arg(long, default_value_t = 10_000)]
    capacity: usize,
    /// Lifetime of access tokens, in seconds
    #[arg(long, default_value_t = 3_599)]
    token_lifetime: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::ServiceAccount { url, to }) => {
            write_account(&sandbox::service_account(&url), to.as_deref())
        }
        Some(Command::Healthcheck { port }) => is_alive(port).await,
        None => serve(cli.serve).await,
    }
}

async fn serve(arguments: Serve) -> anyhow::Result<()> {
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sandbox = Sandbox::start(Options {
        addr: SocketAddr::new(arguments.host, arguments.port),
        capacity: arguments.capacity,
        token_lifetime: Duration::from_secs(arguments.token_lifetime),
    })
    .await?;
    let file = arguments.service_account;
    if let Some(file) = &file {
        write_account(&sandbox.service_account(), Some(file))?;
    }
    print_usage(&sandbox, file.as_deref());
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}

fn write_account(account: &serde_json::Value, file: Option<&Path>) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(account)?;
    match file {
        Some(file) => {
            fs::write(file, text)
                .with_context(|| format!("write the service account to {}", file.display()))?;
        }
        None => println!("{text}"),
    }
    Ok(())
}

async fn is_alive(port: u16) -> anyhow::Result<()> {
    let connecting = tokio::net::TcpStream::connect(("127.0.0.1", port));
    let connected = tokio::time::timeout(Duration::from_secs(3), connecting)
        .await
        .context("no connection within 3 seconds")?;
    connected.with_context(|| format!("nothing listens on port {port}"))?;
    Ok(())
}

fn print_usage(sandbox: &Sandbox, service_account: Option<&Path>) {
    let url = sandbox.url();
    let account = service_account
        .map_or("(start with --service-account FILE to write it)".to_owned(), |file| {
            file.display().to_string()
        });
    println!("listening rest={0} admin={0}", sandbox.addr());
    println!();
    println!("  FCM_ENDPOINT={url}");
    println!("  FCM_PROJECT_CONFIG={account}");
    println!("  AWS_ENDPOINT_URL={url}   (for SES only: AWS_ENDPOINT_URL_SES)");
    println!();
    println!("  curl {url}/_sandbox/messages      captured messages");
    println!("  curl -N {url}/_sandbox/stream     the same, live");
    println!("  curl {url}/_sandbox/stats         counts");
}
