//! Health check of an image (`HEALTHCHECK`): requests the admin port of the process in the same
//! container, as an image contains neither a shell nor curl.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use env_config::{Env, Reader};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::cli::{EXIT_CONFIG, complain};

/// Time limit of the response. The readiness check queries the database with its own limit of 2 s.
const LIMIT: Duration = Duration::from_secs(3);
/// Most bytes of a response that are read.
const MAX_BYTES: u64 = 16 * 1024;

/// Requests `/healthz` or `/readyz`, and prints what is wrong.
pub(crate) async fn run(name: &str, ready: bool, env: &dyn Env) -> ExitCode {
    let admin = match env_config::read(env, address) {
        Ok(admin) => admin,
        Err(report) => {
            complain(&format!("{name}: {report}"));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let path = if ready { "/readyz" } else { "/healthz" };
    match timeout(LIMIT, request(admin, path)).await.unwrap_or_else(|_| bail_in_time()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{name}: http://{admin}{path}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn bail_in_time() -> anyhow::Result<()> {
    bail!("no answer within {} s", LIMIT.as_secs())
}

/// Address of the admin port from this machine.
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

async fn request(admin: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut connection = TcpStream::connect(admin).await.context("could not connect")?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.context("could not send the request")?;
    let mut answer = Vec::new();
    connection
        .take(MAX_BYTES)
        .read_to_end(&mut answer)
        .await
        .context("could not read the response")?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    bail!("{}: {}", head.lines().next().unwrap_or("empty response"), body.trim())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn reaches_unspecified_address_by_loopback() {
        let of = |bind: &str| {
            let env = BTreeMap::from([("BIND_ADDRESS".to_owned(), bind.to_owned())]);
            env_config::read(&env, address).expect("an address").to_string()
        };
        assert_eq!(of("0.0.0.0"), "127.0.0.1:9090");
        assert_eq!(of("::"), "[::1]:9090");
        assert_eq!(of("10.0.0.7"), "10.0.0.7:9090");
    }
}
