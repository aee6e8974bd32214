//! Which bus, and how to reach it.

use secrecy::SecretString;

use super::{Error, SharedBus};

/// Which adapter, and how to reach what stands behind it.
#[derive(Debug, Clone)]
pub enum BusSettings {
    /// SNS and SQS.
    Aws(AwsSettings),
    /// pgmq.
    Postgres(PostgresSettings),
}

/// How to reach AWS.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// The region.
    pub region: String,
    /// Another endpoint than AWS's.
    pub endpoint_url: Option<String>,
    /// Static credentials; else the SDK's own chain.
    pub credentials: Option<(String, SecretString)>,
}

/// How to reach the PostgreSQL of the bus.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// Its URL.
    pub url: SecretString,
    /// The most connections this process opens to it.
    pub max_connections: u32,
}

/// x
///
/// # Errors
/// x
pub async fn connect(_: &BusSettings) -> Result<SharedBus, Error> {
    Err(Error::Misconfigured { action: "x", source: "x".into() })
}
