//! What an image's HEALTHCHECK runs: asks the admin port of the process beside it. There is no
//! shell and no curl in an image.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    cli::EXIT_CONFIG,
    config::{self, Env, Reader},
};

/// How long the answer may take. Readiness asks the database, with a limit of 2 s of its own.
const LIMIT: Duration = Duration::from_secs(3);
/// The most of an answer that is read.
const MOST: u64 = 16 * 1024;

/// Asks `/healthz`, or `/readyz`; what is wrong is printed.
pub(crate) async fn run(name: &str, ready: bool, env: &dyn Env) -> ExitCode {
    let admin = match config::read(env, address) {
        Ok(admin) => admin,
        Err(report) => {
            eprintln!("{name}: {report}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let path = if ready { "/readyz" } else { "/healthz" };
    match timeout(LIMIT, ask(admin, path)).await.unwrap_or_else(|_| bail_in_time()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: http://{admin}{path}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bail_in_time() -> anyhow::Result<()> {
    bail!("no answer within {} s", LIMIT.as_secs())
}

/// Where the admin port is reached from this machine.
fn address(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let bind = reader.or(
        "BIND_ADDRESS",
        "address both listeners bind to",
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    );
    let port = reader.or("ADMIN_PORT", "port of /healthz, /readyz and /metrics", 9090);
    let reached = match bind? {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        bind => bind,
    };
    Some(SocketAddr::new(reached, port?))
}

async fn ask(admin: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut connection = TcpStream::connect(admin).await.context("could not connect")?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.context("could not ask")?;
    let mut answer = Vec::new();
    connection.take(MOST).read_to_end(&mut answer).await.context("could not read the answer")?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    bail!("{}: {}", head.lines().next().unwrap_or("an empty answer"), body.trim())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_unspecified_address_is_reached_by_the_loopback() {
        let of = |bind: &str| {
            let env = BTreeMap::from([("BIND_ADDRESS".to_owned(), bind.to_owned())]);
            config::read(&env, address).expect("an address").to_string()
        };
        assert_eq!(of("0.0.0.0"), "127.0.0.1:9090");
        assert_eq!(of("::"), "[::1]:9090");
        assert_eq!(of("10.0.0.7"), "10.0.0.7:9090");
    }
}
