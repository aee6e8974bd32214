//! Streaming proxy to the services and to the sandbox's messages.

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header},
    response::{IntoResponse, Response},
};
use contract::new_id;
use env_config::{LiveSecret, ProcessEnv, Reader};
use futures::StreamExt;
use secrecy::ExposeSecret as _;
use service::http::{ErrorBody, ErrorDetail, Reason};
use tokio_util::sync::CancellationToken;

use super::DEMO_USER;
use crate::{
    banner::Banner,
    services::{self, HttpClient},
};

/// Headers with the selected user; [`DEMO_USER`] if they are missing.
const SELECTED_USER: [&str; 2] = ["x-console-user", "x-console-email"];
/// Headers that a gateway sets, and removes from requests of clients.
const IDENTITY: [&str; 4] =
    ["x-authenticated-userid", "x-consumer-username", "x-anonymous-consumer", "x-gateway-secret"];
/// Headers of one connection (RFC 9110, section 7.6.1), and the host name.
const PER_CONNECTION: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers in which a browser names the page. The console has checked them, and the services expect
/// another origin.
const OF_THE_PAGE: [HeaderName; 3] = [
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
];

/// Targets of the requests.
#[derive(Clone)]
pub(super) struct Proxy {
    reminder: String,
    event: String,
    notification: String,
    sandbox: String,
    /// Secret of the gateway, if `GATEWAY_SECRET` is set for the process.
    gateway_secret: Option<LiveSecret>,
    client: HttpClient,
    shutdown: CancellationToken,
}

impl Proxy {
    /// Creates a proxy to the addresses of the banner. Streams end when the token is cancelled.
    pub(super) fn new(banner: &Banner, shutdown: CancellationToken) -> Self {
        Self {
            reminder: format!("http://{}", banner.reminder),
            event: format!("http://{}", banner.event),
            notification: format!("http://{}", banner.notification),
            sandbox: format!("http://{}/_sandbox", banner.sandbox),
            gateway_secret: Reader::new(&ProcessEnv)
                .live_secret("GATEWAY_SECRET", "what a gateway proves itself by"),
            client: services::http_client(),
            shutdown,
        }
    }

    /// Returns the target of a path; `None` if the page does not need the path.
    fn target(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path().strip_prefix("/api")?;
        let base = match path.split('/').nth(1)? {
            "reminders" => &self.reminder,
            "events" => &self.event,
            "device" | "notifications" => &self.notification,
            "messages" | "stream" => &self.sandbox,
            _ => return None,
        };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{base}{path}{query}").parse().ok()
    }
}

/// Forwards a request, and streams the answer.
pub(super) async fn forward(State(proxy): State<Proxy>, mut request: Request) -> Response {
    let Some(target) = proxy.target(request.uri()) else {
        return refusal(Reason::NotFound, "the console has no such path");
    };
    *request.uri_mut() = target;
    *request.version_mut() = Version::HTTP_11;
    identify(request.headers_mut(), proxy.gateway_secret.as_ref());
    match proxy.client.request(request).await {
        Ok(response) => {
            let (mut parts, body) = response.into_parts();
            remove(&mut parts.headers, &PER_CONNECTION);
            let body =
                Body::new(body).into_data_stream().take_until(proxy.shutdown.cancelled_owned());
            Response::from_parts(parts, Body::from_stream(body))
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "service does not answer the console"
            );
            refusal(
                Reason::UpstreamUnavailable,
                "the service does not answer; the suite may be stopping",
            )
        }
    }
}

/// Replaces any identity by that of the selected user, and adds the secret of the gateway.
fn identify(headers: &mut HeaderMap, gateway_secret: Option<&LiveSecret>) {
    let (id, email) = DEMO_USER;
    let [selected_id, selected_email] = SELECTED_USER.map(|name| headers.remove(name));
    remove(headers, &PER_CONNECTION);
    remove(headers, &OF_THE_PAGE);
    for name in IDENTITY {
        headers.remove(name);
    }
    let [id_header, email_header, _, secret_header] = IDENTITY.map(HeaderName::from_static);
    headers.insert(id_header, selected_id.unwrap_or(HeaderValue::from_static(id)));
    headers.insert(email_header, selected_email.unwrap_or(HeaderValue::from_static(email)));
    let secret = gateway_secret
        .and_then(|secret| HeaderValue::from_str(secret.current().expose_secret()).ok());
    if let Some(secret) = secret {
        headers.insert(secret_header, secret);
    }
}

fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

/// Builds an error in the format of the APIs.
fn refusal(reason: Reason, message: &str) -> Response {
    let (status, code) = reason.parts();
    let request_id = new_id().simple().to_string();
    let detail = ErrorDetail::new(message.to_owned(), code, status.as_u16(), request_id);
    (status, Json(ErrorBody { error: detail })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn replaces_identity_of_client() {
        let mut headers = map(&[
            ("x-console-user", "ada"),
            ("x-console-email", "ada@example.com"),
            ("x-authenticated-userid", "root"),
            ("x-gateway-secret", "guess"),
        ]);
        identify(&mut headers, None);
        let expected =
            map(&[("x-authenticated-userid", "ada"), ("x-consumer-username", "ada@example.com")]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn uses_demo_user_by_default() {
        let mut headers = HeaderMap::new();
        identify(&mut headers, None);
        assert_eq!(headers["x-authenticated-userid"], "demo");
        assert_eq!(headers["x-consumer-username"], "demo@example.com");
    }

    #[test]
    fn sends_gateway_secret_when_set() {
        let mut headers = map(&[("x-gateway-secret", "guess")]);
        identify(&mut headers, Some(&LiveSecret::fixed("sesame".into())));
        assert_eq!(headers["x-gateway-secret"], "sesame");
    }
}
