//! The four services: built as their own binaries build them, run, and asked whether they are
//! ready.

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

use crate::{environment::Environment, last_start::LastStart, options::Options, ports::Wish};

/// A plain HTTP client, for addresses of this process.
pub(crate) type HttpClient = Client<HttpConnector, Body>;

/// The databases: one for each service that owns tables, and the bus.
pub(crate) const DATABASES: [&str; 4] = ["reminders", "notifications", "devices", "bus"];

/// How long the schemas and the bus may take to come up.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(25);

/// A service that is built, with its ports bound, and does nothing yet.
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it says whether it is ready.
    pub(crate) admin: SocketAddr,
    /// Serves until the token is cancelled, then drains.
    pub(crate) run:
        Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>,
}

/// The four, and where their APIs are.
pub(crate) struct Services {
    /// All of them.
    pub(crate) all: Vec<Service>,
    /// reminder-service's REST API.
    pub(crate) reminder: SocketAddr,
    /// event-service's internal API.
    pub(crate) event: SocketAddr,
    /// notification-service's REST API.
    pub(crate) notification: SocketAddr,
}

/// Builds a service from its environment; tries its ports in turn.
macro_rules! build {
    ($service:ident, $wish:expr, $environment:expr, $database:expr) => {
        $wish
            .start(|port| {
                let variables = $environment.of(port, $database.clone());
                async move { $service::App::build($service::Config::read(&variables)?).await }
            })
            .await
            .context(stringify!($service))?
    };
}

/// A built service, whatever its type.
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
    /// Builds all four.
    ///
    /// # Errors
    /// When one cannot be built, or a port that was asked for is taken.
    pub(crate) async fn build(
        options: &Options,
        last: &LastStart,
        environment: &Environment,
        cluster: &Cluster,
    ) -> anyhow::Result<Self> {
        let [reminders, notifications, devices, _] = DATABASES.map(|name| cluster.url(name));
        let wish = |option, asked, last, usual| Wish { option, asked, last, usual: Some(usual) };
        let reminder = wish("--reminder-port", options.reminder_port, last.reminder, 3000);
        let event = wish("--event-port", options.event_port, last.event, 3001);
        let notification =
            wish("--notification-port", options.notification_port, last.notification, 3002);
        let scheduler = Wish { option: "", asked: Some(0), last: None, usual: None };

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

/// A client for the services' admin ports and for the console's proxy.
pub(crate) fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Waits until every service says that it is ready.
///
/// # Errors
/// When one is not within the limit; it is named.
pub(crate) async fn ready(
    client: &HttpClient,
    services: &[(&'static str, SocketAddr)],
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    for (name, admin) in services {
        while !is_ready(client, *admin).await {
            anyhow::ensure!(
                Instant::now() < deadline,
                "{name} was not ready within {} s; http://{admin}/readyz names what is missing, --verbose tells more",
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
