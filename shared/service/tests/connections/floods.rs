//! Large request heads, and floods of HTTP/2 frames.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::server::{HELLO, Server, error_of, long, soon, until_closed, until_contains};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
/// PRIORITY of a stream that is not open.
const PRIORITY: &[u8] = &[0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 16];

#[tokio::test]
async fn answers_431_when_headers_are_too_large() {
    let server = Server::start(long()).await;
    let large = format!("GET /hello HTTP/1.1\r\nx-large: {}\r\n", "x".repeat(100_000));
    let many = format!("GET /hello HTTP/1.1\r\n{}\r\n", "x-many: 1\r\n".repeat(150));
    for head in [large, many] {
        let answer = until_closed(&mut server.send(&head).await).await;
        assert_eq!(error_of(&answer, 431)["reason"], "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn answers_400_when_request_is_not_http() {
    let server = Server::start(long()).await;
    for head in ["\u{16}\u{3}\u{1} hello\r\n\r\n", "GET /hello HTTP/1.1\r\nno colon\r\n\r\n"] {
        let answer = until_closed(&mut server.send(head).await).await;
        assert_eq!(error_of(&answer, 400)["reason"], "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn answers_pipelined_invented_methods() {
    let server = Server::start(long()).await;
    let request = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let pipelined: String = (0..100)
        .map(|number| request(&format!("M{number}"), "/hello") + &request("GET", "/nowhere"))
        .collect();
    let mut stream = server
        .send(&format!("{pipelined}{}", HELLO.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")))
        .await;
    let answers = until_closed(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 405").count(), 100);
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 100);
    assert!(answers.ends_with("hello"));
}

#[tokio::test]
async fn ends_connection_when_control_frames_flood_it() {
    let server = Server::start(long()).await;
    for frame in [SETTINGS, PING, PRIORITY] {
        let mut stream = server.connect().await;
        stream.write_all(&[PREFACE, SETTINGS].concat()).await.expect("sent");
        let (mut reader, mut writer) = stream.into_split();
        let flood = tokio::spawn(async move {
            // Responses are read, so that only the limit ends the connection.
            let mut sink = tokio::io::sink();
            let _ = tokio::io::copy(&mut reader, &mut sink).await;
        });
        let many = frame.repeat(1_000);
        soon(async { while writer.write_all(&many).await.is_ok() {} }).await;
        soon(flood).await.expect("no panic");
    }
    let mut stream = server.send(HELLO).await;
    assert!(until_contains(&mut stream, "hello").await.contains("200 OK"));
}

#[tokio::test]
async fn ends_connection_when_streams_are_reset_at_once() {
    let server = Server::start(long()).await;
    let (client, connection) = h2::client::handshake(server.connect().await).await.expect("h2");
    let driving = tokio::spawn(connection);
    let mut client = client;
    let resets = async {
        for _ in 0..100_000 {
            client = match client.clone().ready().await {
                Ok(ready) => ready,
                Err(_) => return,
            };
            let request = axum::http::Request::get("http://a/quiet").body(()).expect("a request");
            let Ok((answer, mut stream)) = client.send_request(request, false) else { return };
            stream.send_reset(h2::Reason::CANCEL);
            drop((answer, stream));
            tokio::task::yield_now().await;
        }
        panic!("the server took every reset");
    };
    soon(resets).await;
    drop(client);
    soon(driving).await.expect("no panic").expect_err("cut off");
}

#[tokio::test]
async fn serves_many_http2_requests_on_one_connection() {
    let server = Server::start(long()).await;
    let (client, connection) = h2::client::handshake(server.connect().await).await.expect("h2");
    let driving = tokio::spawn(connection);
    let mut client = client;
    for _ in 0..2_000 {
        client = client.ready().await.expect("ready");
        let request = axum::http::Request::get("http://a/hello").body(()).expect("a request");
        let (answer, _) = client.send_request(request, true).expect("sent");
        let mut body = soon(answer).await.expect("an answer").into_body();
        while let Some(part) = body.data().await {
            let length = part.expect("data").len();
            body.flow_control().release_capacity(length).expect("released");
        }
    }
    assert!(!driving.is_finished());
    tokio::time::timeout(Duration::from_secs(20), async { drop(client) }).await.expect("dropped");
}
