//! Which bus, and how to reach it.

use std::sync::Arc;

use secrecy::SecretString;

use super::{Error, SharedBus, aws::AwsBus, postgres::PostgresBus};

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
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// The region.
    pub region: String,
    /// Another endpoint than AWS's own (an emulator).
    pub endpoint_url: Option<String>,
    /// A static access key and its secret; none: the SDK's own chain (environment, profile, web identity, ECS, IMDS).
    pub credentials: Option<(String, SecretString)>,
}

/// How to reach the PostgreSQL of the bus.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/name`.
    pub url: SecretString,
    /// The most connections that this process opens to it.
    pub max_connections: u32,
}

/// The bus that was configured. Nothing is contacted yet: what stands behind it may be down.
///
/// # Errors
/// [`Error::Misconfigured`] when the settings cannot be understood.
pub async fn connect(settings: &BusSettings) -> Result<SharedBus, Error> {
    Ok(match settings {
        BusSettings::Aws(settings) => Arc::new(AwsBus::new(&sdk_config(settings).await)),
        BusSettings::Postgres(settings) => Arc::new(PostgresBus::new(settings)?),
    })
}
