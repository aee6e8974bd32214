//! Clients that are silent, slow, or do not read.

use tokio::io::AsyncWriteExt;

use crate::server::{HELLO, Server, error_of, long, short, soon, until_closed, until_contains};

#[tokio::test]
async fn closes_silent_connection() {
    let server = Server::start(short()).await;
    assert_eq!(until_closed(&mut server.connect().await).await, "");
}

#[tokio::test]
async fn closes_connection_when_preface_is_incomplete() {
    let server = Server::start(short()).await;
    assert_eq!(until_closed(&mut server.send("PRI * HTTP/2").await).await, "");
}

#[tokio::test]
async fn answers_408_when_head_is_incomplete() {
    let server = Server::start(short()).await;
    for head in ["G", "GET /hello HTTP/1.1\r\nx-a: ", "POST /notes HTTP/1.1\r\n"] {
        let answer = until_closed(&mut server.send(head).await).await;
        assert_eq!(error_of(&answer, 408)["reason"], "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn closes_connection_when_head_arrives_slowly() {
    let server = Server::start(short()).await;
    let stream = server.connect().await;
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer)).await;
    soon(sending).await.expect("the client is cut off");
}

#[tokio::test]
async fn answers_408_when_body_is_incomplete() {
    let server = Server::start(short()).await;
    for (framing, part) in
        [("content-length: 100", r#"{"text":"#), ("transfer-encoding: chunked", "5\r\n{\"tex\r\n")]
    {
        let head = format!("POST /notes HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{part}");
        let mut stream = server.send(&head).await;
        let answer = until_contains(&mut stream, "requestId").await;
        assert_eq!(error_of(&answer, 408)["reason"], "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn closes_idle_connection_after_response() {
    let server = Server::start(short()).await;
    let mut stream = server.send(HELLO).await;
    assert!(until_closed(&mut stream).await.ends_with("hello"));
}

#[tokio::test]
async fn keeps_connection_during_response() {
    let server = Server::start(short()).await;
    let mut stream = server.send("GET /quiet HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(until_contains(&mut stream, "at last").await.contains("200 OK"));
}

#[tokio::test]
async fn aborts_response_when_client_does_not_read() {
    let server = Server::start(short()).await;
    let _stream = server.send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    soon(server.aborted.cancelled()).await;
}

#[tokio::test]
async fn aborts_response_when_http2_window_stays_closed() {
    let server = Server::start(short()).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (client, connection) =
        builder.handshake::<_, bytes::Bytes>(server.connect().await).await.expect("h2");
    let driving = tokio::spawn(connection);
    let mut client = client.ready().await.expect("ready");
    let request = axum::http::Request::get("http://a/endless").body(()).expect("a request");
    let (answer, _) = client.send_request(request, true).expect("sent");
    assert_eq!(answer.await.expect("an answer").status(), 200);
    soon(server.aborted.cancelled()).await;
    // The client may receive a reset or the end of the stream.
    let _ = soon(driving).await.expect("no panic");
}

#[tokio::test]
async fn finishes_open_requests_when_draining() {
    let server = Server::start(long()).await;
    let (mut silent, mut idle) = (server.connect().await, server.send(HELLO).await);
    until_contains(&mut idle, "hello").await;
    let mut open = server.send("GET /quiet HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until_contains(&mut open, "\r\n\r\n").await;
    server.shutdown.cancel();
    assert_eq!(until_closed(&mut silent).await, "");
    assert_eq!(until_closed(&mut idle).await, "");
    assert!(until_closed(&mut open).await.contains("at last"));
    soon(server.serving).await.expect("no panic").expect("it drained");
}
