//! What a connection costs, however idle or slow its client is.

use std::{fs, time::Duration};

use support::process::Running;
use system::{Bus, House, LIMIT, Service};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Connections of one kind that are open at once.
const CONNECTIONS: usize = 200;
/// Memory of an idle connection that docs/LIMITS.md promises, in KiB.
const PROMISED_KIB: usize = 40;
/// A request that each API answers without identity.
const REQUEST: &[u8] = b"GET /no-such-path HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// The same in HTTP/2: the preface, an empty SETTINGS, and HEADERS of indexed fields (RFC 7541,
/// appendix A) with the path and the authority written out.
const HTTP2_REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x1c\x01\x05\x00\x00\x00\x01\x82\x86\x04\x0d/no-such-path\x01\x09localhost";

/// Clients that hold a connection and do nothing with it.
#[derive(Debug, Clone, Copy)]
enum Client {
    /// Sends nothing.
    Silent,
    /// Sends a part of a head.
    HalfHead,
    /// Waits after an answer.
    KeepAlive,
    /// Waits after an answer over HTTP/2.
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
fn resident_kib(process: &Running) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid()))
        .expect("the process is there");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Opens connections that the process has accepted when this returns.
async fn open(process: &Running, client: Client, number: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(number);
    for _ in 0..number {
        streams.push(client.connect(process).await);
    }
    // Connections are accepted in the order in which they were made.
    drop(Client::KeepAlive.connect(process).await);
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_idle_connections_in_little_memory() {
    let house = House::empty(Bus::Postgres).await;
    for service in [Service::Reminders, Service::Events, Service::Notifications] {
        for client in Client::ALL {
            // None is closed or refused before it is counted.
            let variables = [("RATE_LIMIT_PER_SECOND", "0"), ("HTTP_HEADER_TIMEOUT_SECONDS", "60")];
            let process = house.command(service).envs(variables).start().await;
            process.ready(Duration::from_secs(30)).await;
            let mut warm = Vec::new();
            for other in Client::ALL {
                warm.extend(open(&process, other, 5).await);
            }
            let before = resident_kib(&process);
            let streams = open(&process, client, CONNECTIONS).await;
            let each = resident_kib(&process).saturating_sub(before) / CONNECTIONS;
            assert!(each <= PROMISED_KIB, "{} {client:?}: {each} KiB each", service.binary());
            drop((warm, streams));
            assert_eq!(process.terminate().await, Some(0));
        }
    }
}
