//! The four services: built as their own binaries build them, run, and checked for readiness.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use axum::body::Body;
use futures::future::BoxFuture;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use private_postgres::Cluster;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{environment::Environment, last_start::LastStart, options::Options, ports::PortChoice};

/// HTTP client without TLS, for addresses of this process.
pub(crate) type HttpClient = Client<HttpConnector, Body>;

/// Databases: one for each service that owns tables, and one for the bus.
pub(crate) const DATABASES: [&str; 4] = ["reminders", "notifications", "devices", "bus"];

/// Longest time until all services are ready.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Pause between two checks of readiness.
const PAUSE: Duration = Duration::from_millis(25);

/// A service that is built and has bound its ports, but does not run yet.
pub(crate) struct Service {
    /// Name of the service.
    pub(crate) name: &'static str,
    /// Address of its admin listener.
    pub(crate) admin: SocketAddr,
    /// Serves until the token is cancelled, then drains.
    pub(crate) run:
        Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>,
}

/// The four services, and the addresses of their APIs.
pub(crate) struct Services {
    /// All services.
    pub(crate) all: Vec<Service>,
    /// reminder-service's REST API.
    pub(crate) reminder: SocketAddr,
    /// event-service's internal API.
    pub(crate) event: SocketAddr,
    /// notification-service's REST API.
    pub(crate) notification: SocketAddr,
}

/// Builds a service from its environment, on the first free candidate of its port.
macro_rules! build {
    ($service:ident, $choice:expr, $environment:expr, $database:expr) => {
        $choice
            .start(|port| {
                let variables = $environment.of_service(port, $database.clone());
                async move { $service::App::build($service::Config::read(&variables)?).await }
            })
            .await
            .context(stringify!($service))?
    };
}

/// Wraps a built service.
macro_rules! service {
    ($name:literal, $app:ident) => {
        Service {
            name: $name,
            admin: $app.admin_addr(),
            run: Box::new(|shutdown| Box::pin($app.run(shutdown))),
        }
    };
}

impl Services {
    /// Builds all four services.
    ///
    /// # Errors
    /// If one cannot be built, or a requested port is in use.
    pub(crate) async fn build(
        options: &Options,
        last: &LastStart,
        environment: &Environment,
        cluster: &Cluster,
    ) -> anyhow::Result<Self> {
        let [reminders, notifications, devices, _] = DATABASES.map(|name| cluster.url(name));
        let choice = |option, requested, last, usual| PortChoice {
            option,
            requested,
            last,
            usual: Some(usual),
        };
        let reminder = choice("--reminder-port", options.reminder_port, last.reminder, 3000);
        let event = choice("--event-port", options.event_port, last.event, 3001);
        let notification =
            choice("--notification-port", options.notification_port, last.notification, 3002);
        let scheduler = PortChoice { option: "", requested: Some(0), last: None, usual: None };

        let event = build!(event_service, event, environment, notifications);
        let scheduler = build!(notification_scheduler, scheduler, environment, notifications);
        let notification = build!(notification_service, notification, environment, devices);
        let environment = environment.with_peers(event.rest_addr(), notification.rest_addr());
        let reminder = build!(reminder_service, reminder, environment, reminders);
        Ok(Self {
            reminder: reminder.rest_addr(),
            event: event.rest_addr(),
            notification: notification.rest_addr(),
            all: vec![
                service!("reminder-service", reminder),
                service!("event-service", event),
                service!("notification-scheduler", scheduler),
                service!("notification-service", notification),
            ],
        })
    }
}

/// Builds a client for the admin listeners and for the proxy of the console.
pub(crate) fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Waits until every service is ready.
///
/// # Errors
/// If one is not ready in time; the error names it.
pub(crate) async fn ready(
    client: &HttpClient,
    services: &[(&'static str, SocketAddr)],
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    for (name, admin) in services {
        while !is_ready(client, *admin).await {
            anyhow::ensure!(
                Instant::now() < deadline,
                "{name} was not ready within {} s; http://{admin}/readyz names the reason, \
                 --verbose logs the details",
                READY_LIMIT.as_secs()
            );
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

async fn is_ready(client: &HttpClient, admin: SocketAddr) -> bool {
    let Ok(uri) = format!("http://{admin}/readyz").parse() else { return false };
    client.get(uri).await.is_ok_and(|response| response.status().is_success())
}
