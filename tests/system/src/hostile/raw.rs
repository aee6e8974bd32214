//! Bytes on a connection, as no well-behaved client sends them.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

/// Time for which one connection is worked on.
const LIMIT: Duration = Duration::from_secs(10);

/// Opens a connection, sends bytes, and holds it without a word more until it is closed from there
/// or `LIMIT` is over. Answers the first line of the answer, if one came.
pub(super) async fn say(address: SocketAddr, bytes: &[u8]) -> Option<String> {
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

/// Makes a request and takes a little of the answer at a time, from a small buffer, until it ends
/// or `LIMIT` is over. Answers its first line, if one came.
pub(super) async fn trickle(address: SocketAddr, request: &[u8]) -> Option<String> {
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

/// A request of a user for a path.
pub(super) fn get(path: &str, user: &str) -> Vec<u8> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nx-authenticated-userid: {user}\r\nx-consumer-username: {user}@example.com\r\n\r\n"
    );
    head.into_bytes()
}

/// Many requests with invented methods, one behind the other.
pub(super) fn invented_methods(count: usize) -> Vec<u8> {
    let requests =
        (0..count).map(|number| format!("M{number} /reminders HTTP/1.1\r\nhost: a\r\n\r\n"));
    requests.collect::<String>().into_bytes()
}

/// The head and a part of a body of 4 MiB, of which the rest never comes.
pub(super) fn held_body(user: &str) -> Vec<u8> {
    let head = format!(
        "POST /reminders/bulk HTTP/1.1\r\nhost: a\r\nx-authenticated-userid: {user}\r\nx-consumer-username: {user}@example.com\r\n\
         content-type: application/json\r\ncontent-length: 4000000\r\n\r\n{{\"reminders\":[\"{}",
        "x".repeat(3_000_000)
    );
    head.into_bytes()
}

/// A header section that does not end.
pub(super) fn half_a_head() -> Vec<u8> {
    b"GET /reminders HTTP/1.1\r\nhost: a\r\nx-never: ".to_vec()
}

/// An HTTP/2 connection (RFC 9113) that asks for a sign of life, again and again.
pub(super) fn pings(count: usize) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&SETTINGS);
    bytes.extend(std::iter::repeat_n(PING, count).flatten());
    bytes
}
