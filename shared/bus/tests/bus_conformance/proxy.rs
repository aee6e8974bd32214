//! A proxy in front of MiniStack that turns entries of the first `PublishBatch` answer into
//! failures, or refuses groups.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use tokio::net::TcpListener;

pub(super) struct Proxy {
    endpoint: String,
    seen: Arc<Seen>,
    server: tokio::task::JoinHandle<()>,
}

struct Seen {
    upstream: String,
    client: reqwest::Client,
    fail: Vec<String>,
    failed: AtomicBool,
    refuses_groups: bool,
    /// Calls that were refused.
    refused: AtomicUsize,
    published: Mutex<Vec<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy for which entries with these ids fail the first time.
    pub(super) async fn failing_once(upstream: &str, ids: &[&str]) -> Self {
        Self::start(upstream, ids, false).await
    }

    /// Starts a proxy that refuses calls with message groups, as a topic without support for
    /// groups.
    pub(super) async fn refusing_groups(upstream: &str) -> Self {
        Self::start(upstream, &[], true).await
    }

    async fn start(upstream: &str, ids: &[&str], refuses_groups: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let seen = Arc::new(Seen {
            upstream: upstream.to_owned(),
            client: reqwest::Client::new(),
            fail: ids.iter().map(|&id| id.to_owned()).collect(),
            failed: AtomicBool::new(false),
            refuses_groups,
            refused: AtomicUsize::new(0),
            published: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(forward).with_state(Arc::clone(&seen));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, seen, server }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Calls that were refused for their groups.
    pub(super) fn refused(&self) -> usize {
        self.seen.refused.load(Ordering::SeqCst)
    }

    /// The messages of each `PublishBatch` call.
    pub(super) fn published(&self) -> Vec<Vec<String>> {
        self.seen.published.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(
    State(seen): State<Arc<Seen>>,
    mut headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    if seen.refuses_groups && body.contains("MessageGroupId") {
        seen.refused.fetch_add(1, Ordering::SeqCst);
        let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameter</Code>\
            <Message>Invalid parameter: MessageGroupId</Message></Error></ErrorResponse>";
        return (StatusCode::BAD_REQUEST, refusal.to_owned());
    }
    let messages: Vec<_> = url::form_urlencoded::parse(body.as_bytes())
        .filter(|(name, _)| name.ends_with(".Message"))
        .map(|(_, message)| message.into_owned())
        .collect();
    let content_type = headers.remove(CONTENT_TYPE).unwrap();
    let request = seen.client.post(&seen.upstream).header(CONTENT_TYPE, content_type);
    let request = request.header("authorization", headers["authorization"].clone()).body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let mut answer = answer.text().await.unwrap();
    if !messages.is_empty() {
        seen.published.lock().unwrap().push(messages);
        if !seen.failed.swap(true, Ordering::SeqCst) {
            answer = with_failures(&answer, &seen.fail);
        }
    }
    (status, answer)
}

/// Turns successful entries with these ids into failures in an answer of `PublishBatch`.
fn with_failures(answer: &str, ids: &[String]) -> String {
    let mut answer = answer.to_owned();
    for id in ids {
        let start = answer.find(&format!("<member><Id>{id}</Id>")).unwrap();
        let end = start + answer[start..].find("</member>").unwrap() + "</member>".len();
        answer.replace_range(start..end, "");
        let failed = format!(
            "<Failed><member><Id>{id}</Id><Code>InternalError</Code><Message>by the proxy</Message>\
             <SenderFault>false</SenderFault></member>"
        );
        answer = answer.replacen("<Failed>", &failed, 1);
    }
    answer
}
