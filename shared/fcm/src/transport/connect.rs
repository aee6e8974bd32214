//! Opens connections and finds out their HTTP version.
//!
//! Over TLS, ALPN negotiates the version. Without TLS, the server is probed once with prior
//! knowledge (RFC 9113, section 3.3): a server that speaks HTTP/2 answers the preface with
//! SETTINGS; any other sends something else or closes the connection.

use crate::setup_error::SetupError;
use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt;
use url::Url;

/// Connected stream, with or without TLS.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The client's preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const FRAME_HEAD_BYTES: usize = 9;
const SETTINGS: u8 = 4;

/// HTTP version of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// TLS client configuration: *ring* and the system's root certificates.
#[derive(Clone)]
pub(crate) struct Tls(ClientConfig);

impl Tls {
    /// Loads the root certificates only if one of the URLs needs them.
    pub(crate) fn for_urls(urls: &[&Url]) -> Result<Self, SetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SetupError::Tls)?;
        let needed = urls.iter().any(|url| url.scheme() == "https");
        let builder = match needed {
            true => builder.with_native_roots().map_err(SetupError::Roots)?,
            false => builder.with_root_certificates(RootCertStore::empty()),
        };
        Ok(Tls(builder.with_no_client_auth()))
    }
}

/// Failure to open a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("connecting took too long")]
    Timeout,
    #[error("could not connect")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    #[error("could not negotiate the HTTP version")]
    Handshake(#[source] Box<dyn Error + Send + Sync>),
    #[error("the server closed the connection before it sent anything")]
    HungUp,
}

impl ConnectError {
    pub(super) fn code(&self) -> &'static str {
        match self {
            ConnectError::Timeout => "CONNECT_TIMEOUT",
            ConnectError::Refused(_) => "CONNECT_FAILED",
            ConnectError::Handshake(_) => "HANDSHAKE_FAILED",
            ConnectError::HungUp => "HUNG_UP",
        }
    }
}

/// Connects to one origin.
pub(super) struct Dialer {
    connector: HttpsConnector<HttpConnector>,
    origin: Uri,
    encrypted: bool,
    timeout: Duration,
    /// HTTP version of the last connection: 0 unknown, 1 HTTP/1.1, 2 HTTP/2.
    last_protocol: AtomicU8,
}

impl Dialer {
    pub(super) fn new(origin: &Url, tls: &Tls, timeout: Duration) -> Result<Self, SetupError> {
        let uri = match origin.scheme() {
            "http" | "https" if origin.has_host() => origin[..url::Position::BeforePath]
                .parse()
                .map_err(|_| SetupError::Url("the endpoint"))?,
            _ => return Err(SetupError::Url("the endpoint")),
        };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.0.clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let encrypted = origin.scheme() == "https";
        Ok(Dialer { connector, origin: uri, encrypted, timeout, last_protocol: AtomicU8::new(0) })
    }

    pub(super) fn origin(&self) -> &Uri {
        &self.origin
    }

    /// Returns the HTTP version of the last connection.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        match self.last_protocol.load(Ordering::Relaxed) {
            1 => Some(Protocol::Http1),
            2 => Some(Protocol::Http2),
            _ => None,
        }
    }

    /// Forgets the HTTP version of the server, which may have changed.
    pub(super) fn forget_protocol(&self) {
        self.last_protocol.store(0, Ordering::Relaxed);
    }

    /// Opens a connection and returns the HTTP version to use on it.
    pub(super) async fn dial(&self) -> Result<(Stream, Protocol), ConnectError> {
        let dialled = match timeout(self.timeout, self.dial_unbounded()).await {
            Ok(dialled) => dialled,
            Err(_) => Err(ConnectError::Timeout),
        };
        match &dialled {
            Ok((_, Protocol::Http1)) => self.last_protocol.store(1, Ordering::Relaxed),
            Ok((_, Protocol::Http2)) => self.last_protocol.store(2, Ordering::Relaxed),
            Err(_) => self.forget_protocol(),
        }
        dialled
    }

    async fn dial_unbounded(&self) -> Result<(Stream, Protocol), ConnectError> {
        if self.encrypted {
            let stream = self.connect().await?;
            let protocol = if stream.connected().is_negotiated_h2() {
                Protocol::Http2
            } else {
                Protocol::Http1
            };
            return Ok((stream, protocol));
        }
        let protocol = match self.protocol() {
            Some(protocol) => protocol,
            None => self.probe().await?,
        };
        Ok((self.connect().await?, protocol))
    }

    async fn connect(&self) -> Result<Stream, ConnectError> {
        self.connector.clone().oneshot(self.origin.clone()).await.map_err(ConnectError::Refused)
    }

    /// Probes the HTTP version by sending the preface of HTTP/2. Uses a separate connection,
    /// because an HTTP/1.1 server answers the preface with an error.
    async fn probe(&self) -> Result<Protocol, ConnectError> {
        let mut stream = TokioIo::new(self.connect().await?);
        let mut head = [0u8; FRAME_HEAD_BYTES];
        let probed = async {
            stream.write_all(PREFACE).await?;
            stream.flush().await?;
            stream.read_exact(&mut head).await?;
            Ok::<_, io::Error>(())
        };
        match probed.await {
            Ok(()) if head[3] == SETTINGS && head[5..] == [0; 4] => Ok(Protocol::Http2),
            Ok(()) => Ok(Protocol::Http1),
            Err(error) if hung_up(&error) => Ok(Protocol::Http1),
            Err(error) => Err(ConnectError::Handshake(Box::new(error))),
        }
    }
}

fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
