//! Configuration of the SDK, the same for every AWS service.

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, future},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use secrecy::ExposeSecret as _;

use crate::settings::{AwsCredentials, AwsSettings};

/// Time limits of one attempt and of a whole call; a long poll adds its waiting time.
pub(super) const ATTEMPT: Duration = Duration::from_secs(5);
pub(super) const OPERATION: Duration = Duration::from_secs(15);
/// Time for which the SDK uses a key from files before it asks for it again.
const KEY_LIFETIME: Duration = Duration::from_secs(30);

/// Builds the configuration of the SDK: explicit timeouts, at most three attempts, TLS by rustls
/// with ring. Opens no connection; credentials are resolved when the first call needs them.
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
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(Duration::from_millis(100)),
        );
    if let Some(url) = &settings.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(credentials) = &settings.credentials {
        loader = loader.credentials_provider(CurrentKey(credentials.clone()));
    }
    loader.load().await
}

/// Provides the current access key of the settings. The SDK asks again when the key expires.
#[derive(Debug)]
struct CurrentKey(AwsCredentials);

impl ProvideCredentials for CurrentKey {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let AwsCredentials { key_id, secret } = &self.0;
        let expires =
            key_id.changes().or(secret.changes()).map(|_| SystemTime::now() + KEY_LIFETIME);
        let (key_id, secret) = (key_id.current(), secret.current());
        let key = Credentials::new(
            key_id.expose_secret(),
            secret.expose_secret(),
            None,
            expires,
            "settings",
        );
        future::ProvideCredentials::ready(Ok(key))
    }
}

#[cfg(test)]
mod tests {
    use env_config::LiveSecret;

    use super::*;

    async fn provided(key: &CurrentKey) -> (String, String, bool) {
        let key = key.provide_credentials().await.expect("a key");
        (key.access_key_id().to_owned(), key.secret_access_key().to_owned(), key.expiry().is_some())
    }

    #[tokio::test]
    async fn provides_replaced_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let write = |key_id, secret| {
            std::fs::write(file("id"), key_id).expect("written");
            std::fs::write(file("secret"), secret).expect("written");
        };
        write("first", "one");
        let open = |name| LiveSecret::open("AWS_ACCESS_KEY_ID", file(name)).expect("a file");
        let settings = CurrentKey(AwsCredentials { key_id: open("id"), secret: open("secret") });
        assert_eq!(provided(&settings).await, ("first".to_owned(), "one".to_owned(), true));
        write("second", "two");
        settings.0.key_id.refresh();
        settings.0.secret.refresh();
        assert_eq!(provided(&settings).await, ("second".to_owned(), "two".to_owned(), true));
        let fixed = CurrentKey(AwsCredentials::fixed("id", "secret"));
        assert_eq!(provided(&fixed).await, ("id".to_owned(), "secret".to_owned(), false));
    }
}
