//! Lifecycle of the process: starts all parts in order, watches them, and stops them in reverse
//! order.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use private_postgres::Cluster;
use sandbox::Sandbox;
use service::{
    http::ServerSettings,
    telemetry::{self, TelemetrySettings},
};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    banner::{Banner, progress},
    console, data,
    environment::{Environment, LogEnv},
    interrupt,
    last_start::LastStart,
    options::Options,
    ports::PortChoice,
    services::{self, DATABASES, Services},
};

/// Longest time that the services may drain. A service that is stopped then is stopped as by a
/// crash, which loses nothing.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Runs the suite until Ctrl-C or SIGTERM.
///
/// # Errors
/// If a part cannot be started, or ends by itself.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let settings = env_config::read(&LogEnv { verbose: options.verbose }, TelemetrySettings::read)?;
    let _telemetry = telemetry::init("suite", service::VERSION, &settings)?;
    service::open_files::raise_limit();
    let shutdown = interrupt::listen().context("could not listen for signals")?;
    let begun = Instant::now();

    let data = data::prepare(options.data.as_deref())?;
    let last = LastStart::read(&data);
    let cluster = tokio::select! {
        cluster = start_cluster(&data, &last) => cluster?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let mut suite = Suite { tasks: JoinSet::new(), cluster, sandbox: None, shutdown };
    let result = suite.start_and_watch(&options, &data, &last, begun).await;
    suite.stop().await?;
    result
}

async fn start_cluster(data: &Path, last: &LastStart) -> anyhow::Result<Cluster> {
    progress(if last.pid == 0 {
        "starting PostgreSQL; the first start creates the cluster (a few seconds)"
    } else {
        "starting PostgreSQL"
    });
    let mut options = private_postgres::Options::new(data.join("postgres"));
    // The shutdown writes all data since the last checkpoint, and the user waits for it.
    options.settings.push(("checkpoint_timeout".to_owned(), "1min".to_owned()));
    match Cluster::start(options).await {
        Ok(cluster) => Ok(cluster),
        Err(private_postgres::Error::InUse { .. }) => Err(anyhow!(
            "another suite uses {} ({}): stop it, or choose another folder with --data",
            data.display(),
            last.describe()
        )),
        Err(error) => Err(error).context("could not start PostgreSQL"),
    }
}

/// The running parts.
struct Suite {
    /// Services and console, by name. Each ends when the token is cancelled.
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    /// Stopped after the tasks, which write to it while they drain.
    cluster: Cluster,
    /// Stopped after the tasks, which send to it while they drain.
    sandbox: Option<Sandbox>,
    shutdown: CancellationToken,
}

impl Suite {
    /// Starts all other parts and watches them until a signal arrives or a part fails.
    async fn start_and_watch(
        &mut self,
        options: &Options,
        data: &Path,
        last: &LastStart,
        begun: Instant,
    ) -> anyhow::Result<()> {
        let shutdown = self.shutdown.clone();
        let (banner, admins) = tokio::select! {
            started = self.start(options, data, last) => started?,
            () = shutdown.cancelled() => return Ok(()),
        };
        let client = services::http_client();
        let ready = async {
            services::ready(&client, &admins).await?;
            println!("{}", Banner { start_time: begun.elapsed(), ..banner });
            std::future::pending().await
        };
        tokio::select! {
            ended = self.wait_for_end() => ended,
            failed = ready => failed,
        }
    }

    async fn start(
        &mut self,
        options: &Options,
        data: &Path,
        last: &LastStart,
    ) -> anyhow::Result<(Banner, Vec<(&'static str, SocketAddr)>)> {
        for name in DATABASES {
            self.cluster.create_database(name).await?;
        }
        let sandbox = start_sandbox(options, last).await?;
        let listener = bind_console(options, last).await?;
        let console = listener.local_addr()?;

        progress("starting the services and migrating their databases");
        let environment =
            Environment::new(self.cluster.url("bus"), &sandbox.url(), format!("http://{console}"));
        for name in environment.ignored() {
            progress(&format!("{name} is set and ignored: the suite uses its own value"));
        }
        let services = Services::build(options, last, &environment, &self.cluster).await?;
        let banner = Banner {
            console,
            reminder: services.reminder,
            event: services.event,
            notification: services.notification,
            sandbox: sandbox.addr(),
            data: self.data_dir(data),
            start_time: Duration::ZERO,
        };
        record_of(&banner).write(data)?;
        let started_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);

        let routes = console::routes(&banner, started_at, self.shutdown.clone());
        self.sandbox = Some(sandbox);
        let admins = services.all.iter().map(|service| (service.name, service.admin)).collect();
        for service in services.all {
            let running = (service.run)(self.shutdown.clone());
            self.tasks.spawn(async move { (service.name, running.await) });
        }
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let served =
                service::http::serve(listener, routes, &ServerSettings::default(), shutdown).await;
            ("the console", served.map_err(anyhow::Error::from))
        });
        Ok((banner, admins))
    }

    /// Returns the folder of the data. It is another one than requested if the account of the
    /// database cannot enter that.
    fn data_dir(&self, data: &Path) -> PathBuf {
        if self.cluster.is_relocated() { self.cluster.dir().to_owned() } else { data.to_owned() }
    }

    /// Waits for a signal (`Ok`), or for the end of a part.
    async fn wait_for_end(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Ok(()),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok((name, Err(error))) => Err(error.context(format!("{name} failed"))),
                Ok((name, Ok(()))) => Err(anyhow!("{name} ended unexpectedly")),
                Err(error) => Err(error).context("a service panicked"),
            },
            () = self.cluster.ended() => {
                Err(anyhow!("PostgreSQL ended; see its log {}", self.cluster.log().display()))
            }
        }
    }

    /// Stops the tasks, then the sandbox, then PostgreSQL.
    async fn stop(mut self) -> anyhow::Result<()> {
        progress("stopping");
        self.shutdown.cancel();
        let drained = timeout(DRAIN_LIMIT, async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok((name, Ok(()))) => tracing::info!("{name} ended"),
                    Ok((name, Err(error))) => {
                        tracing::error!(error = format!("{error:#}"), "{name} ended with an error")
                    }
                    Err(error) => tracing::error!(error = %error, "service panicked"),
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!("drain limit was reached, services continue at the next start");
        }
        self.tasks.shutdown().await;
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
        self.cluster.stop().await.context("could not stop PostgreSQL")
    }
}

async fn start_sandbox(options: &Options, last: &LastStart) -> anyhow::Result<Sandbox> {
    let choice = PortChoice {
        option: "--sandbox-port",
        requested: options.sandbox_port,
        last: last.sandbox,
        usual: None,
    };
    let start = |port| async move {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Sandbox::start(sandbox::Options { addr, ..sandbox::Options::default() }).await?)
    };
    choice.start(start).await.context("could not start the sandbox")
}

async fn bind_console(options: &Options, last: &LastStart) -> anyhow::Result<TcpListener> {
    let choice = PortChoice {
        option: "--console-port",
        requested: options.console_port,
        last: last.console,
        usual: Some(8080),
    };
    let bind = |port| async move {
        TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("could not listen on port {port}"))
    };
    choice.start(bind).await.context("could not start the console")
}

fn record_of(banner: &Banner) -> LastStart {
    LastStart {
        pid: std::process::id(),
        console: Some(banner.console.port()),
        reminder: Some(banner.reminder.port()),
        event: Some(banner.event.port()),
        notification: Some(banner.notification.port()),
        sandbox: Some(banner.sandbox.port()),
    }
}
