//! A thin streaming pass-through to the services and to the sandbox's list of messages.

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use secrecy::ExposeSecret as _;
use shared::{
    config::{LiveSecret, ProcessEnv, Reader},
    contract::new_id,
    http::{ErrorBody, ErrorDetail, Reason},
};
use tokio_util::sync::CancellationToken;

use super::DEMO_USER;
use crate::{
    banner::Banner,
    services::{self, HttpClient},
};

/// The user whom the page speaks for; [`DEMO_USER`] when they are missing.
const CHOSEN_USER: [&str; 2] = ["x-console-user", "x-console-email"];
/// What a gateway sets and never lets through.
const IDENTITY: [&str; 4] =
    ["x-authenticated-userid", "x-consumer-username", "x-anonymous-consumer", "x-gateway-secret"];
/// What concerns one connection (RFC 9110, section 7.6.1), and the name of the host.
const PER_CONNECTION: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers in which a browser names the page; the console has judged it already, and the services
/// know another origin.
const OF_THE_PAGE: [HeaderName; 3] = [
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
];

/// Where requests go.
#[derive(Clone)]
pub(super) struct Proxy {
    reminder: String,
    event: String,
    notification: String,
    sandbox: String,
    /// The secret by which the services know their gateway, where one is set for the process.
    gateway_secret: Option<LiveSecret>,
    client: HttpClient,
    shutdown: CancellationToken,
}

impl Proxy {
    /// A pass-through to what the banner names; streams end when the token is cancelled.
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

    /// Where a path of the page leads; nowhere if it is none of those the page needs.
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

/// Answers a request with what its target answers.
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
                "the service does not answer; is the suite stopping?",
            )
        }
    }
}

/// Puts the chosen user's identity, and the gateway's proof, in place of any other.
fn identify(headers: &mut HeaderMap, gateway_secret: Option<&LiveSecret>) {
    let (id, email) = DEMO_USER;
    let [chosen_id, chosen_email] = CHOSEN_USER.map(|name| headers.remove(name));
    remove(headers, &PER_CONNECTION);
    remove(headers, &OF_THE_PAGE);
    for name in IDENTITY {
        headers.remove(name);
    }
    let [id_header, email_header, _, secret_header] = IDENTITY.map(HeaderName::from_static);
    headers.insert(id_header, chosen_id.unwrap_or(HeaderValue::from_static(id)));
    headers.insert(email_header, chosen_email.unwrap_or(HeaderValue::from_static(email)));
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

/// An error in the shape of the APIs' own.
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
    fn the_chosen_user_replaces_any_identity_the_client_claims() {
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
    fn without_a_choice_it_is_the_demo_user() {
        let mut headers = HeaderMap::new();
        identify(&mut headers, None);
        assert_eq!(headers["x-authenticated-userid"], "demo");
        assert_eq!(headers["x-consumer-username"], "demo@example.com");
    }

    #[test]
    fn proves_itself_where_a_gateway_secret_is_set() {
        let mut headers = map(&[("x-gateway-secret", "guess")]);
        identify(&mut headers, Some(&LiveSecret::fixed("sesame".into())));
        assert_eq!(headers["x-gateway-secret"], "sesame");
    }
}
