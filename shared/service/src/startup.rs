//! Start of a service while its database or bus may be unreachable: it retries, logs what is
//! missing, and is not ready until both are reached.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bus::{SharedBus, Topology};
use db::Probe;
use env_config::AppEnv;
use sqlx::{PgPool, migrate::Migrator};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::http::{ApiError, Reason, admin::Readiness};

/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Attempts between two log lines about the same state.
const LOG_EVERY: u32 = 20;

/// Requirements of a service before it can work.
pub struct Startup {
    /// Environment: in `local` the schema is migrated, elsewhere the start waits for it.
    pub app_env: AppEnv,
    /// Database of the service.
    pub pool: PgPool,
    /// Migrations of the service; `None` if it owns no table.
    pub migrator: Option<&'static Migrator>,
    /// Message bus.
    pub bus: SharedBus,
    /// Topics and queues that the service needs.
    pub topology: Topology,
}

/// State of the start, as a part of `/readyz`.
#[derive(Debug, Clone, Default)]
pub struct Started {
    is_complete: Arc<AtomicBool>,
    /// Probe for requests that are not answered for a second.
    database: Option<Probe>,
}

impl Started {
    /// Creates the state for routes that answer 503 if the database is lost while they wait for it.
    #[must_use]
    pub fn watching(database: PgPool) -> Self {
        Self { is_complete: Arc::default(), database: Some(Probe::new(database)) }
    }

    /// Returns `true` if the start is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Adds the check that the start is complete.
    #[must_use]
    pub fn check(&self, readiness: Readiness) -> Readiness {
        let started = self.clone();
        readiness.with("startup", move || {
            let complete = started.is_complete();
            async move {
                if complete {
                    Ok(())
                } else {
                    Err("waiting for the schema or the bus; the log names the cause".to_owned())
                }
            }
        })
    }
}

/// Middleware of routes that need the database and the bus. Answers 503 until the start is
/// complete, and if the database is found unreachable while a request waits for it.
pub async fn require(State(started): State<Started>, request: Request, next: Next) -> Response {
    if !started.is_complete() {
        return ApiError::new(Reason::UpstreamUnavailable, "the service is starting; try again")
            .into_response();
    }
    let Some(database) = &started.database else { return next.run(request).await };
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = database.unreachable() => {
            tracing::warn!("database does not answer, the request is answered with 503");
            let message = "the database is unavailable; try again";
            ApiError::new(Reason::UpstreamUnavailable, message).into_response()
        }
    }
}

impl Startup {
    /// Retries until all requirements are met. Returns `false` if the token is cancelled before.
    pub async fn complete(&self, started: &Started, shutdown: &CancellationToken) -> bool {
        let mut attempts: u32 = 0;
        loop {
            match self.attempt().await {
                Ok(()) => {
                    started.is_complete.store(true, Ordering::Release);
                    tracing::info!("start complete, the service is ready");
                    return true;
                }
                Err(error) if attempts.is_multiple_of(LOG_EVERY) => {
                    tracing::warn!(error = &*error as &dyn Error, "start incomplete, will retry")
                }
                Err(_) => {}
            }
            attempts += 1;
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = shutdown.cancelled() => return false,
            }
        }
    }

    async fn attempt(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        if let Some(migrator) = self.migrator {
            if self.app_env == AppEnv::Local {
                db::migrate(&self.pool, migrator).await?;
            } else if !db::is_migrated(&self.pool, migrator).await? {
                return Err("the schema is behind: run `migrate`".into());
            }
        }
        self.bus.ensure(&self.topology).await?;
        Ok(())
    }
}
