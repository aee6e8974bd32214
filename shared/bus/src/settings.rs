//! Settings of the bus.

use std::sync::Arc;

use db::DbUrl;
use env_config::LiveSecret;

use crate::{
    Error, SharedBus,
    packing::{PackedBus, Packing},
};

#[cfg(feature = "aws")]
pub use crate::aws::sdk_config;

/// Selected adapter with its settings.
#[derive(Debug, Clone)]
pub enum BusSettings {
    /// SNS and SQS.
    Aws(AwsSettings),
    /// pgmq on PostgreSQL.
    Postgres(PostgresSettings),
}

/// Settings of AWS.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// The region.
    pub region: String,
    /// Endpoint to use instead of that of AWS (an emulator).
    pub endpoint_url: Option<String>,
    /// Access key; `None` for the default chain of the SDK (environment, profile, web identity,
    /// ECS, IMDS).
    pub credentials: Option<AwsCredentials>,
    /// Endpoint for SNS alone.
    pub sns_endpoint_url: Option<String>,
    /// Endpoint for SQS alone.
    pub sqs_endpoint_url: Option<String>,
    /// Endpoint for SES alone.
    pub ses_endpoint_url: Option<String>,
}

/// Access key; if it comes from files, they are read again while the process runs.
#[derive(Debug, Clone)]
pub struct AwsCredentials {
    /// Id of the key.
    pub key_id: LiveSecret,
    /// Secret of the key.
    pub secret: LiveSecret,
}

impl AwsCredentials {
    /// Creates a key that never changes.
    #[must_use]
    pub fn fixed(key_id: &str, secret: &str) -> Self {
        Self { key_id: LiveSecret::fixed(key_id.into()), secret: LiveSecret::fixed(secret.into()) }
    }
}

impl AwsSettings {
    /// Returns the settings for a service that may have an endpoint of its own.
    #[must_use]
    pub fn at(&self, endpoint_url: &Option<String>) -> Self {
        Self {
            endpoint_url: endpoint_url.clone().or_else(|| self.endpoint_url.clone()),
            ..self.clone()
        }
    }
}

/// Settings of the database of the bus.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/name`.
    pub url: DbUrl,
    /// Most connections that this process opens.
    pub max_connections: u32,
}

/// Creates the configured bus, with packs as set. Opens no connection: the bus may be unreachable.
///
/// # Errors
/// [`Error::Misconfigured`] if the settings are malformed, or this build lacks the adapter.
pub async fn connect(settings: &BusSettings, packing: &Packing) -> Result<SharedBus, Error> {
    let adapter = adapter(settings).await?;
    Ok(Arc::new(PackedBus::new(adapter, packing.clone())))
}

async fn adapter(settings: &BusSettings) -> Result<SharedBus, Error> {
    match settings {
        #[cfg(feature = "aws")]
        BusSettings::Aws(settings) => {
            let (sns, sqs) =
                (settings.at(&settings.sns_endpoint_url), settings.at(&settings.sqs_endpoint_url));
            let (sns, sqs) = (sdk_config(&sns).await, sdk_config(&sqs).await);
            Ok(Arc::new(crate::aws::AwsBus::new(&sns, &sqs)))
        }
        #[cfg(feature = "postgres")]
        BusSettings::Postgres(settings) => {
            Ok(Arc::new(crate::postgres::PostgresBus::new(settings)?))
        }
        #[cfg(not(all(feature = "aws", feature = "postgres")))]
        _ => Err(Error::Misconfigured {
            action: "select the adapter of BUS",
            source: "this program was built without it".into(),
        }),
    }
}
