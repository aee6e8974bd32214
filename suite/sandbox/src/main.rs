//! `sandbox`: the stand-ins for FCM and SES as a program of their own.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use sandbox::{Options, Sandbox};
use tokio::signal::unix::{SignalKind, signal};

/// Stand-ins for FCM HTTP v1 and SES that capture what arrives.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// The port to listen on; 0 for a free one.
    #[arg(long, default_value_t = 4500)]
    port: u16,
    /// Where to write the service account whose tokens the sandbox issues.
    #[arg(long, value_name = "FILE")]
    service_account: Option<PathBuf>,
    /// How many messages are kept.
    #[arg(long, default_value_t = 10_000)]
    capacity: usize,
    /// How long access tokens live, in seconds.
    #[arg(long, default_value_t = 3_599)]
    token_lifetime: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sandbox = Sandbox::start(Options {
        addr: SocketAddr::new(arguments.host, arguments.port),
        capacity: arguments.capacity,
        token_lifetime: Duration::from_secs(arguments.token_lifetime),
    })
    .await?;
    let file = arguments.service_account;
    if let Some(file) = &file {
        let account = serde_json::to_string_pretty(&sandbox.service_account())?;
        std::fs::write(file, account).with_context(|| format!("write the service account to {}", file.display()))?;
    }
    print_how_to_use(&sandbox, file.as_deref());
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}

fn print_how_to_use(sandbox: &Sandbox, service_account: Option<&std::path::Path>) {
    let url = sandbox.url();
    let account =
        service_account.map_or("(start with --service-account FILE)".to_owned(), |file| file.display().to_string());
    println!("listening rest={0} admin={0}", sandbox.addr());
    println!();
    println!("  FCM_ENDPOINT={url}");
    println!("  FCM_PROJECT_CONFIG={account}");
    println!("  AWS_ENDPOINT_URL={url}   (for SES alone: AWS_ENDPOINT_URL_SES)");
    println!();
    println!("  curl {url}/_sandbox/messages      what arrived");
    println!("  curl -N {url}/_sandbox/stream     the same, live");
    println!("  curl {url}/_sandbox/stats         counts");
}
