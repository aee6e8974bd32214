//! Calls that answer with a small JSON document.

use std::time::Duration;

use reqwest::{StatusCode, header::RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::Error;

/// The service that is asked.
const SERVICE: &str = "notification-service";

/// Makes a call to notification-service, and reads its answer of at most `max_bytes`.
pub(super) async fn ask<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
    max_bytes: usize,
) -> Result<T, Error> {
    let response = request.send().await.map_err(|error| unavailable(error.without_url()))?;
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
        return Err(Error::RateLimited { retry_after: Duration::from_secs(retry_after) });
    }
    let response = response.error_for_status();
    let mut response = response.map_err(|error| unavailable(error.without_url()))?;
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| unavailable(error.without_url()))?
    {
        if body.len() + chunk.len() > max_bytes {
            return Err(unavailable("the answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(unavailable)
}

/// Error of a call that was not answered as it should be.
pub(super) fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unavailable { service: SERVICE, source: source.into() }
}
