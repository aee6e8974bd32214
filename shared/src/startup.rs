//! Coming up while databases and the bus may still be away: try again until they are there, say
//! what is missing, and be un-ready until then.

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
use sqlx::{PgPool, migrate::Migrator};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{SharedBus, Topology},
    config::AppEnv,
    db::{self, Probe},
    http::{ApiError, Reason, admin::Readiness},
};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Tries between two complaints of the same kind.
const COMPLAIN_EVERY: u32 = 20;

/// What a process needs before it can work.
pub struct Startup {
    /// `local`: the schema is brought up to date; elsewhere it is waited for.
    pub app_env: AppEnv,
    /// The service's database.
    pub pool: PgPool,
    /// The service's migrations; none for a service that owns no table.
    pub migrator: Option<&'static Migrator>,
    /// The bus.
    pub bus: SharedBus,
    /// What it relies on there.
    pub topology: Topology,
}

/// Whether the start is complete; part of `/readyz`.
#[derive(Debug, Clone, Default)]
pub struct Started {
    is_complete: Arc<AtomicBool>,
    /// Asked when a request is not answered for long.
    database: Option<Probe>,
}

impl Started {
    /// The same, for routes that answer 503 when the database is lost while they wait for it.
    #[must_use]
    pub fn watching(database: PgPool) -> Self {
        Self { is_complete: Arc::default(), database: Some(Probe::new(database)) }
    }

    /// Whether the start is complete.
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
                    Err("still waiting for the schema or the bus; the log says for which"
                        .to_owned())
                }
            }
        })
    }
}

/// Middleware of the routes that need what the start waits for: 503 until it is there, and 503 when
/// the database is found away while a request waits for it.
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
            tracing::warn!("database does not answer, a request that waits for it is given up");
            ApiError::new(Reason::UpstreamUnavailable, "the database is unavailable; try again").into_response()
        }
    }
}

impl Startup {
    /// Tries until everything is there; `false` when the token was cancelled before.
    pub async fn complete(&self, started: &Started, shutdown: &CancellationToken) -> bool {
        let mut tries = 0;
        loop {
            match self.attempt().await {
                Ok(()) => {
                    started.is_complete.store(true, Ordering::Release);
                    tracing::info!("start complete, the service is ready");
                    return true;
                }
                Err(error) if tries % COMPLAIN_EVERY == 0 => {
                    tracing::warn!(error = &*error as &dyn Error, "start incomplete, will retry")
                }
                Err(_) => {}
            }
            tries += 1;
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
