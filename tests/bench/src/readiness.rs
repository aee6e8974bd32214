//! Readiness of a service, measured to the millisecond.

use std::{net::SocketAddr, time::Duration};

use http::Method;
use support::process::{Addresses, Running};

use crate::load::{Connection, request};

/// Pause between two looks at a process that starts: the resolution of the cold start.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

/// Waits until `/readyz` answers 200. Returns the addresses and the time since the start.
///
/// # Errors
/// If the process ends, or is not ready within 30 seconds.
pub(crate) async fn wait_until_ready(running: &Running) -> anyhow::Result<(Addresses, Duration)> {
    let addresses = running.listening(PAUSE).await?;
    let admin = addresses.admin()?;
    loop {
        let last = match is_ready(admin).await {
            Ok(true) => return Ok((addresses, running.age())),
            Ok(false) => "it is not ready".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        running.ensure_starting(&last)?;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn is_ready(admin: SocketAddr) -> anyhow::Result<bool> {
    let request = request(Method::GET, admin, "/readyz", "bench", "");
    let (status, _) = Connection::open(admin).await?.call(request).await?;
    Ok(status.is_success())
}
