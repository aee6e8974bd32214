//! Which bus, and how to reach it.

use std::sync::Arc;

use super::{Error, SharedBus, aws::AwsBus, postgres::PostgresBus};
use crate::{config::LiveSecret, db::DbUrl};

pub use super::aws::sdk_config;

/// Which adapter, and how to reach what stands behind it.
#[derive(Debug, Clone)]
pub enum BusSettings {
    /// SNS and SQS.
    Aws(AwsSettings),
    /// pgmq on a PostgreSQL.
    Postgres(PostgresSettings),
}

/// How to reach AWS.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// The region.
    pub region: String,
    /// Another endpoint than AWS's own (an emulator).
    pub endpoint_url: Option<String>,
    /// An access key; none: the SDK's own chain (environment, profile, web identity, ECS, IMDS).
    pub credentials: Option<AwsCredentials>,
    /// Another endpoint for SNS alone.
    pub sns_endpoint_url: Option<String>,
    /// Another endpoint for SQS alone.
    pub sqs_endpoint_url: Option<String>,
    /// Another endpoint for SES alone.
    pub ses_endpoint_url: Option<String>,
}

/// An access key, read again while the process runs where it comes from files.
#[derive(Debug, Clone)]
pub struct AwsCredentials {
    /// The key's id.
    pub key_id: LiveSecret,
    /// The key's secret.
    pub secret: LiveSecret,
}

impl AwsCredentials {
    /// A key that never changes.
    #[must_use]
    pub fn fixed(key_id: &str, secret: &str) -> Self {
        Self { key_id: LiveSecret::fixed(key_id.into()), secret: LiveSecret::fixed(secret.into()) }
    }
}

impl AwsSettings {
    /// The same, for a service that may have an endpoint of its own.
    #[must_use]
    pub fn at(&self, endpoint_url: &Option<String>) -> Self {
        Self {
            endpoint_url: endpoint_url.clone().or_else(|| self.endpoint_url.clone()),
            ..self.clone()
        }
    }
}

/// How to reach the PostgreSQL of the bus.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/name`.
    pub url: DbUrl,
    /// The most connections that this process opens to it.
    pub max_connections: u32,
}

/// The bus that was configured. Nothing is contacted yet: what stands behind it may be down.
///
/// # Errors
/// [`Error::Misconfigured`] when the settings cannot be understood.
pub async fn connect(settings: &BusSettings) -> Result<SharedBus, Error> {
    Ok(match settings {
        BusSettings::Aws(settings) => {
            let (sns, sqs) =
                (settings.at(&settings.sns_endpoint_url), settings.at(&settings.sqs_endpoint_url));
            Arc::new(AwsBus::new(&sdk_config(&sns).await, &sdk_config(&sqs).await))
        }
        BusSettings::Postgres(settings) => Arc::new(PostgresBus::new(settings)?),
    })
}
