//! Listeners of a process, the loop that accepts connections, and their shutdown.
//!
//! Connections have limits ([`ServerSettings`]): their number is bounded, and none waits for its
//! client forever. All connections of a listener share one router.

mod activity;
mod bodies;
mod connection;
mod error_responses;
mod frame_limit;
mod permits;
mod settings;
mod socket;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Context;
use axum::{Router, middleware::from_fn_with_state};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    activity::Activity,
    connection::{Accepted, Listener},
    permits::ConnectionPermits,
};
use super::{
    AllowedOrigins,
    admin::{self, Readiness},
    guard::{AllowedHosts, Guard, refuse_other_sites},
};
use crate::{open_files, settings::Process};

pub use bodies::BodyTimedOut;
pub use settings::ServerSettings;

/// Time limit for open connections to finish while the process drains.
const DRAIN: Duration = Duration::from_secs(15);
/// Pause after a connection could not be accepted, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bound listeners that are not yet served.
#[derive(Debug)]
pub struct Listeners {
    /// Listener of the REST API; `None` if the service has none.
    pub rest: Option<TcpListener>,
    /// Listener of health and metrics.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds the configured ports.
    ///
    /// # Errors
    /// If a port is in use; the message names its variable.
    pub async fn bind(process: &Process, with_rest: bool) -> anyhow::Result<Self> {
        let rest =
            if with_rest { Some(bind(process.bind, process.port, "PORT").await?) } else { None };
        Ok(Self { rest, admin: bind(process.bind, process.admin_port, "ADMIN_PORT").await? })
    }

    /// Address of the REST API.
    #[must_use]
    pub fn rest_addr(&self) -> Option<SocketAddr> {
        self.rest.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Address of the admin port.
    ///
    /// # Errors
    /// If the socket has no address.
    pub fn admin_addr(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }
}

async fn bind(address: IpAddr, port: u16, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((address, port))
        .await
        .with_context(|| format!("{variable}: cannot listen on port {port}"))
}

/// Serves a router (HTTP/1.1 and h2c) until the token is cancelled, then waits a bounded time for
/// open requests.
///
/// # Errors
/// If the listener has no address.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &ServerSettings,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let shared = Arc::new(Listener {
        // Finished once here, so that each clone is only a reference.
        router: router.with_state(()),
        settings: settings.clone(),
        shutdown: shutdown.clone(),
        abort: CancellationToken::new(),
    });
    let connections = TaskTracker::new();
    tokio::select! {
        () = accept(&listener, &shared, &connections) => {}
        () = shutdown.cancelled() => {}
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "drain limit was reached, open connections are closed"
        );
        shared.abort.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// Accepts connections until it is dropped.
async fn accept(listener: &TcpListener, shared: &Arc<Listener>, connections: &TaskTracker) {
    let permits = ConnectionPermits::new(open_files::connections(shared.settings.max_connections));
    let mut id = 0;
    loop {
        let (stream, peer): (TcpStream, SocketAddr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_client(&error) => continue,
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "accept failed, an idle connection is closed"
                );
                permits.evict_one();
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        id += 1;
        let activity = Activity::new();
        let permit = permits.acquire(id, &activity).await;
        connections.spawn(connection::run(
            Arc::clone(shared),
            Accepted { stream, peer, activity, permit },
        ));
    }
}

/// Returns whether the client closed the connection before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves health and metrics on a thread of their own until the token is cancelled, so that they
/// respond even if the rest of the process is busy. Readiness checks run in the runtime of the
/// caller.
///
/// # Errors
/// If the thread cannot be started, or its listener fails.
pub async fn serve_admin(
    listener: TcpListener,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = admin::routes(readiness);
    // On a loopback address, web pages in a browser of the same machine can reach the port.
    let router = if listener.local_addr()?.ip().is_loopback() {
        let guard = Guard::new(AllowedHosts::loopback(), AllowedOrigins::None);
        router.layer(from_fn_with_state(guard, refuse_other_sites))
    } else {
        router
    };
    let listener = listener.into_std()?;
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let served =
            runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener)?;
                    serve(listener, router, &ServerSettings::admin(), shutdown).await
                })
            });
        // The receiver is dropped if the process no longer waits.
        let _ = ended.send(served);
    })?;
    end.await.map_err(|_| io::Error::other("the thread of the admin port panicked"))?
}
