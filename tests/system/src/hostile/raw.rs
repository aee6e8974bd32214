//! Bytes on a connection that no well-behaved client sends.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

/// Longest time of one connection.
const LIMIT: Duration = Duration::from_secs(10);

/// Opens a connection, sends bytes, and keeps it open until the server closes it or `LIMIT` is
/// over. Returns the first line of the answer, if there is one.
pub(super) async fn send_and_hold(address: SocketAddr, bytes: &[u8]) -> Option<String> {
    let mut connection = timeout(LIMIT, TcpStream::connect(address)).await.ok()?.ok()?;
    let _ = timeout(LIMIT, connection.write_all(bytes)).await;
    let mut answer = vec![0; 256];
    let length = timeout(LIMIT, connection.read(&mut answer)).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(answer.get(..length)?);
    let line = text.lines().next()?;
    Some(if line.starts_with("HTTP/1.1 ") {
        line.to_owned()
    } else {
        "an answer in HTTP/2".to_owned()
    })
}

/// Sends a request and reads the answer in small pieces, with a small receive buffer, until it ends
/// or `LIMIT` is over. Returns its first line, if there is one.
pub(super) async fn read_slowly(address: SocketAddr, request: &[u8]) -> Option<String> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_recv_buffer_size(4 * 1024).ok()?;
    let mut connection = timeout(LIMIT, socket.connect(address)).await.ok()?.ok()?;
    timeout(LIMIT, connection.write_all(request)).await.ok()?.ok()?;
    let (began, mut part, mut line) = (Instant::now(), [0; 1_024], None);
    while began.elapsed() < LIMIT {
        let Ok(Ok(length @ 1..)) = timeout(LIMIT, connection.read(&mut part)).await else { break };
        let text = String::from_utf8_lossy(part.get(..length)?);
        line = line.or_else(|| text.lines().next().map(str::to_owned));
        sleep(Duration::from_millis(200)).await;
    }
    line
}

/// Builds a request of a user for a path.
pub(super) fn get(path: &str, user: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{}\r\n", identity(user)).into_bytes()
}

fn identity(user: &str) -> String {
    format!(
        "host: a\r\nx-authenticated-userid: {user}\r\n\
         x-consumer-username: {user}@example.com\r\n"
    )
}

/// Builds pipelined requests with unknown methods.
pub(super) fn invented_methods(count: usize) -> Vec<u8> {
    let requests =
        (0..count).map(|number| format!("M{number} /reminders HTTP/1.1\r\nhost: a\r\n\r\n"));
    requests.collect::<String>().into_bytes()
}

/// Builds the head and a part of a body of 4 MB, of which the rest is never sent.
pub(super) fn held_body(user: &str) -> Vec<u8> {
    let head = format!(
        "POST /reminders/bulk HTTP/1.1\r\n{}content-type: application/json\r\n\
         content-length: 4000000\r\n\r\n{{\"reminders\":[\"{}",
        identity(user),
        "x".repeat(3_000_000)
    );
    head.into_bytes()
}

/// Builds a header section without an end.
pub(super) fn half_a_head() -> Vec<u8> {
    b"GET /reminders HTTP/1.1\r\nhost: a\r\nx-never: ".to_vec()
}

/// Builds an HTTP/2 connection (RFC 9113) with many PING frames.
pub(super) fn pings(count: usize) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&SETTINGS);
    bytes.extend(std::iter::repeat_n(PING, count).flatten());
    bytes
}
