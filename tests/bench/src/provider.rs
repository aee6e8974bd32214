//! Fast stand-in for FCM, Google's token endpoint and SES: it answers every request with a constant
//! after an optional latency, and records each message with its time of arrival. It is a process of
//! its own, so that its CPU time is measured separately.
//!
//! It accepts everything. Errors and validation of assertions are in the sandbox, which is not
//! measured.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    marker,
    record::{Record, encode},
};

/// Streams that FCM allows on one connection.
const MAX_STREAMS: u32 = 100;
const JSON: &str = "application/json";
const TOKEN: &str = r#"{"access_token":"bench","expires_in":3599,"token_type":"Bearer"}"#;
const ACCEPTED: &str = r#"{"name":"projects/bench/messages/0:1"}"#;
const MAIL_ACCEPTED: &str = "<SendRawEmailResponse>\
     <SendRawEmailResult><MessageId>bench-1</MessageId></SendRawEmailResult>\
     <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></SendRawEmailResponse>";
const QUOTA: &str = "<GetSendQuotaResponse><GetSendQuotaResult>\
     <Max24HourSend>50000000.0</Max24HourSend><MaxSendRate>100000.0</MaxSendRate>\
     <SentLast24Hours>0.0</SentLast24Hours></GetSendQuotaResult>\
     <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetSendQuotaResponse>";

#[derive(Default)]
struct State {
    records: Mutex<Vec<Record>>,
    /// Number of messages without a marker of the bench.
    unmarked: AtomicU64,
    latency_ms: AtomicU64,
}

impl State {
    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves on a free port, which it prints as `listening rest=IP:PORT`, until it is stopped.
pub(crate) async fn run() -> anyhow::Result<()> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind the provider's port")?;
    println!("listening rest={}", listener.local_addr().context("read the provider's port")?);
    let state = Arc::new(State::default());
    loop {
        let (stream, _) = listener.accept().await.context("accept a connection")?;
        tokio::spawn(connection(stream, Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    // A client that disconnects is no error.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = whole(body).await else { return Ok(reply(StatusCode::BAD_REQUEST, JSON, "{}")) };
    let path = parts.uri.path();
    Ok(if path.ends_with(":send") || path.ends_with("%3Asend") {
        push(&body, &state).await
    } else if path == "/token" {
        reply(StatusCode::OK, JSON, TOKEN)
    } else if path == "/" {
        mail(&body, &state).await
    } else {
        control(&parts.method, path, &body, &state)
    })
}

/// Reads the body of a request. Most come in one piece, which is not copied.
async fn whole(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let Some(first) = body.frame().await.transpose()?.and_then(|frame| frame.into_data().ok())
    else {
        return Ok(Bytes::new());
    };
    let mut all: Option<Vec<u8>> = None;
    while let Some(frame) = body.frame().await.transpose()? {
        if let Ok(more) = frame.into_data()
            && !more.is_empty()
        {
            all.get_or_insert_with(|| first.to_vec()).extend_from_slice(&more);
        }
    }
    Ok(all.map_or(first, Bytes::from))
}

async fn push(body: &[u8], state: &State) -> Response<Full<Bytes>> {
    record(body, state);
    wait(state).await;
    reply(StatusCode::OK, JSON, ACCEPTED)
}

async fn mail(form: &[u8], state: &State) -> Response<Full<Bytes>> {
    if form.windows(12).any(|window| window == b"GetSendQuota") {
        return reply(StatusCode::OK, "text/xml", QUOTA);
    }
    record(form, state);
    wait(state).await;
    reply(StatusCode::OK, "text/xml", MAIL_ACCEPTED)
}

fn record(body: &[u8], state: &State) {
    let Some((number, due_ms)) = marker::find(body) else {
        state.unmarked.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let key = marker::collapse_key(body).unwrap_or(0);
    let arrived_us = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_micros() as u64);
    state.records().push(Record { number, due_ms, arrived_us, key });
}

async fn wait(state: &State) {
    let latency = state.latency_ms.load(Ordering::Relaxed);
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
}

/// Answers the calls by which the bench controls the provider.
fn control(method: &Method, path: &str, body: &[u8], state: &State) -> Response<Full<Bytes>> {
    match (method.as_str(), path) {
        ("GET", "/_bench/count") => {
            let counts =
                format!("{} {}", state.records().len(), state.unmarked.load(Ordering::Relaxed));
            reply(StatusCode::OK, "text/plain", counts)
        }
        ("GET", "/_bench/records") => {
            reply(StatusCode::OK, "application/octet-stream", encode(&state.records()))
        }
        ("DELETE", "/_bench/records") => {
            state.records().clear();
            state.unmarked.store(0, Ordering::Relaxed);
            reply(StatusCode::OK, "text/plain", "")
        }
        ("PUT", "/_bench/latency") => {
            let latency = str::from_utf8(body).ok().and_then(|text| text.parse().ok());
            state.latency_ms.store(latency.unwrap_or(0), Ordering::Relaxed);
            reply(StatusCode::OK, "text/plain", "")
        }
        _ => reply(
            StatusCode::NOT_FOUND,
            "text/plain",
            format!("the bench's provider has no {method} {path}\n"),
        ),
    }
}

fn reply(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
