//! A small client of the suite's REST APIs.

use std::{sync::Once, time::Duration};

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one service, as one user.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    inner: reqwest::Client,
    headers: Vec<(String, String)>,
}

impl Client {
    /// A client without an identity, for the service at `base` (`http://…`).
    pub fn new(base: impl Into<String>) -> Self {
        Self {
            base: base.into().trim_end_matches('/').to_owned(),
            inner: plain(),
            headers: Vec::new(),
        }
    }

    /// The same client with the headers in which the gateway names a user.
    #[must_use]
    pub fn as_user(&self, id: &str, email: &str) -> Self {
        self.with_header("X-Authenticated-Userid", id).with_header("X-Consumer-Username", email)
    }

    /// The same client with one more header; an earlier one of that name is replaced.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// `POST` with a body that is not JSON.
    pub async fn post_text(&self, path: &str, content_type: &str, body: String) -> Answer {
        let answer = self.try_text(path, content_type, body).await;
        answer.unwrap_or_else(|error| panic!("POST {}{path}: no answer: {error:?}", self.base))
    }

    /// `POST` with a body that is not JSON; a missing answer is returned as an error.
    ///
    /// # Errors
    ///
    /// If there is no complete answer.
    pub async fn try_text(
        &self,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Result<Answer, reqwest::Error> {
        let request = self
            .inner
            .post(format!("{}{path}", self.base))
            .header("content-type", content_type)
            .body(body);
        self.answered(Method::POST, path, request).await
    }

    /// `PUT` with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let answer = self.try_send(method.clone(), path, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {}{path}: no answer: {error:?}", self.base))
    }

    /// Any request; a missing answer is returned as an error, for services that are killed
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// If there is no complete answer.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.inner.request(method.clone(), format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answered(method, path, request).await
    }

    async fn answered(
        &self,
        method: Method,
        path: &str,
        mut request: reqwest::RequestBuilder,
    ) -> Result<Answer, reqwest::Error> {
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { request: format!("{method} {path}"), status, headers, body })
    }
}

/// Answer of a service.
#[derive(Debug, Clone)]
pub struct Answer {
    request: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; a JSON string if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// Returns the answer itself if it has this status.
    ///
    /// # Panics
    ///
    /// If it has another status; the message contains the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered {}: {}", self.request, self.status, self.body);
        self
    }

    /// Reason of an error, as in the contract: `INVALID_REQUEST` and so on.
    pub fn reason(&self) -> Option<&str> {
        self.body["error"]["reason"].as_str()
    }

    /// The `id` in the body.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn id(&self) -> String {
        self.body["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{}: no id in {}", self.request, self.body))
            .to_owned()
    }

    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Builds a reqwest client with a timeout for every request.
///
/// # Panics
///
/// If TLS cannot be set up.
pub fn plain() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    // reqwest is built without a default cryptography provider. One that is installed already will
    // do.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .expect("the HTTP client is built")
}
