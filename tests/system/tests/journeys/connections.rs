//! Memory of a connection whose client is idle or slow.

use std::time::Duration;

use support::{memory::Memory, process::Running};
use system::{Bus, LIMIT, Service, TestSuite};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Number of connections of one kind that are open at once.
const CONNECTIONS: usize = 200;
/// Largest memory of an idle connection according to docs/LIMITS.md, in KiB.
const LIMIT_KIB: u64 = 40;
/// A request that each API answers without an identity.
const REQUEST: &[u8] = b"GET /no-such-path HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// The same in HTTP/2: the preface, an empty SETTINGS frame, and HEADERS with indexed fields (RFC
/// 7541, appendix A) and literal path and authority.
const HTTP2_REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x1c\x01\x05\x00\x00\x00\x01\x82\x86\x04\x0d/no-such-path\x01\x09localhost";

/// Clients that keep a connection open without using it.
#[derive(Debug, Clone, Copy)]
enum Client {
    /// Sends nothing.
    Silent,
    /// Sends a part of a request head.
    HalfHead,
    /// Is idle after an answer.
    KeepAlive,
    /// Is idle after an answer over HTTP/2.
    Http2,
}

impl Client {
    const ALL: [Self; 4] = [Self::Silent, Self::HalfHead, Self::KeepAlive, Self::Http2];

    async fn connect(self, process: &Running) -> TcpStream {
        let mut stream = TcpStream::connect(process.rest_addr()).await.expect("accepted");
        let (sent, awaited): (&[u8], &[u8]) = match self {
            Self::Silent => return stream,
            Self::HalfHead => (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b""),
            Self::KeepAlive => (REQUEST, b"NOT_FOUND"),
            Self::Http2 => (HTTP2_REQUEST, b"NOT_FOUND"),
        };
        stream.write_all(sent).await.expect("sent");
        let mut answer = Vec::new();
        while !awaited.is_empty() && !answer.windows(awaited.len()).any(|window| window == awaited)
        {
            let read =
                tokio::time::timeout(LIMIT, stream.read_buf(&mut answer)).await.expect("in time");
            assert_ne!(
                read.expect("read"),
                0,
                "{self:?}: closed after {}",
                String::from_utf8_lossy(&answer)
            );
        }
        stream
    }
}

/// Resident memory of a process, in KiB.
fn resident_kib(process: &Running) -> u64 {
    Memory::of(process.pid()).expect("the process runs").resident_kib
}

/// Opens connections and waits until the process has accepted them.
async fn open(process: &Running, client: Client, number: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(number);
    for _ in 0..number {
        streams.push(client.connect(process).await);
    }
    // Connections are accepted in the order in which they were opened.
    drop(Client::KeepAlive.connect(process).await);
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_idle_connections_in_little_memory() {
    let suite = TestSuite::without_services(Bus::Postgres).await;
    for service in [Service::Reminders, Service::Events, Service::Notifications] {
        for client in Client::ALL {
            // No connection may be closed or refused before it is measured.
            let variables = [("RATE_LIMIT_PER_SECOND", "0"), ("HTTP_HEADER_TIMEOUT_SECONDS", "60")];
            let process = suite.command(service).envs(variables).start().await;
            process.wait_until_ready(Duration::from_secs(30)).await;
            let mut warm = Vec::new();
            for other in Client::ALL {
                warm.extend(open(&process, other, 5).await);
            }
            let before = resident_kib(&process);
            let streams = open(&process, client, CONNECTIONS).await;
            let each = resident_kib(&process).saturating_sub(before) / CONNECTIONS as u64;
            assert!(each <= LIMIT_KIB, "{} {client:?}: {each} KiB each", service.binary());
            drop((warm, streams));
            assert_eq!(process.terminate().await, Some(0));
        }
    }
}
