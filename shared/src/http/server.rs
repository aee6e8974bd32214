//! The two listeners of a process and how they end.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Process;

/// How long open connections may take to finish once the process drains.
const DRAIN: Duration = Duration::from_secs(15);

/// Bound, not yet served.
#[derive(Debug)]
pub struct Listeners {
    /// The REST API's; none where a service has no REST API.
    pub rest: Option<TcpListener>,
    /// Health and metrics.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds what a process is told to serve.
    ///
    /// # Errors
    /// When a port is taken; the message names its variable.
    pub async fn bind(process: &Process, with_rest: bool) -> anyhow::Result<Self> {
        let rest = if with_rest { Some(bind(process.bind, process.port, "PORT").await?) } else { None };
        Ok(Self { rest, admin: bind(process.bind, process.admin_port, "ADMIN_PORT").await? })
    }

    /// Where the REST API listens.
    #[must_use]
    pub fn rest_addr(&self) -> Option<SocketAddr> {
        self.rest.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where the admin port listens.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }
}

async fn bind(address: IpAddr, port: u16, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((address, port)).await.with_context(|| format!("{variable}: cannot listen on port {port}"))
}

/// Serves a router (HTTP/1.1 and h2c) until the token is cancelled, then lets open requests finish for a bounded time.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    let cancelled = shutdown.clone();
    let serving = axum::serve(ListenerNoDelay(listener), router)
        .with_graceful_shutdown(async move { cancelled.cancelled().await });
    let serving = tokio::spawn(async move { serving.await });
    shutdown.cancelled().await;
    match timeout(DRAIN, serving).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(std::io::Error::other(error)),
        Err(_) => {
            tracing::warn!("some connections were still open when the time to drain ended");
            Ok(())
        }
    }
}

/// Small answers must not wait for Nagle's algorithm.
struct ListenerNoDelay(TcpListener);

impl axum::serve::Listener for ListenerNoDelay {
    type Io = tokio::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "TCP_NODELAY could not be set");
        }
        (stream, address)
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
