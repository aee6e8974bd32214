//! The admin port: `/healthz` (the process is alive), `/readyz` (the process is ready, or the
//! failed checks), `/metrics` (Prometheus).

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use futures::future::{BoxFuture, join_all};
use serde_json::json;
use sqlx::PgPool;
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// Time limit of one check.
const CHECK_LIMIT: Duration = Duration::from_secs(2);
/// Time limit of all checks together, in case the process is too busy to run them.
const TOTAL_LIMIT: Duration = Duration::from_millis(2_500);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Checks that decide whether a process is ready.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

impl Readiness {
    /// Adds a check; its error must not contain any secret.
    #[must_use]
    pub fn with<F>(
        mut self,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Adds the check that a token is not cancelled, as a draining process is not ready.
    #[must_use]
    pub fn until(self, shutdown: CancellationToken) -> Self {
        self.with("shutdown", move || {
            let draining = shutdown.is_cancelled();
            async move { if draining { Err("draining".to_owned()) } else { Ok(()) } }
        })
    }

    /// Adds the check that a database answers and has every migration of this binary.
    #[must_use]
    pub fn with_database(self, pool: PgPool, migrator: &'static sqlx::migrate::Migrator) -> Self {
        self.with("database", move || {
            let pool = pool.clone();
            async move {
                match db::is_migrated(&pool, migrator).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err("the schema is behind: run `migrate`".to_owned()),
                    Err(error) => Err(db::unreachable_reason(&error).to_owned()),
                }
            }
        })
    }

    /// Runs every check; returns the failures by name.
    pub async fn failures(&self) -> Vec<(&'static str, String)> {
        let results = join_all(self.checks.iter().map(|(name, check)| async move {
            let result = timeout(CHECK_LIMIT, check())
                .await
                .unwrap_or_else(|_| Err("no answer in time".to_owned()));
            result.err().map(|problem| (*name, problem))
        }));
        results.await.into_iter().flatten().collect()
    }
}

/// Builds the routes of the admin port. Readiness checks run in the current runtime, to which their
/// connections belong.
pub fn routes(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(async || {
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::render())
            }),
        )
        .with_state((readiness, Handle::current()))
}

async fn ready(State((readiness, runtime)): State<(Readiness, Handle)>) -> impl IntoResponse {
    let checks = runtime.spawn(async move { readiness.failures().await });
    let failures = match timeout(TOTAL_LIMIT, checks).await {
        Ok(Ok(failures)) => failures,
        Ok(Err(_)) => vec![("process", "a check ended unexpectedly".to_owned())],
        Err(_) => vec![("process", "too busy to make the checks".to_owned())],
    };
    let status = if failures.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let failing: serde_json::Map<_, _> =
        failures.into_iter().map(|(name, problem)| (name.to_owned(), json!(problem))).collect();
    (status, Json(json!({"ready": status == StatusCode::OK, "failing": failing})))
}
