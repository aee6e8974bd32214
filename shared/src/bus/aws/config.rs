//! The SDK's configuration, the same for every AWS service.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use secrecy::ExposeSecret as _;

use crate::bus::settings::AwsSettings;

/// Bounds of a call and of one attempt at it; a long poll adds what it waits.
pub(super) const ATTEMPT: Duration = Duration::from_secs(5);
pub(super) const OPERATION: Duration = Duration::from_secs(15);

/// The SDK's configuration by our settings: explicit timeouts, at most three attempts, TLS by rustls with ring. Nothing
/// is contacted; credentials are resolved when the first call needs them.
pub async fn sdk_config(settings: &AwsSettings) -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(100)));
    if let Some(url) = &settings.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some((key_id, secret)) = &settings.credentials {
        loader = loader.credentials_provider(Credentials::new(key_id, secret.expose_secret(), None, None, "settings"));
    }
    loader.load().await
}
