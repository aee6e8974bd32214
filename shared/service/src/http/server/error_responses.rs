//! Responses to requests that never reach a route, in the error format of the API.

use axum::http::StatusCode;
use bytes::Bytes;
use contract::new_id;

use crate::http::{ErrorBody, ErrorDetail, Reason};

/// Longer than any response that hyper generates itself.
const MAX_BARE_BYTES: usize = 512;

/// Returns the replacement for a response that hyper generates for an invalid request head; `None`
/// for any other bytes. Responses of hyper have no content and close the connection, unlike those
/// of routes.
pub(super) fn replacement_for(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() > MAX_BARE_BYTES || !bytes.starts_with(b"HTTP/1.") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?;
    let status =
        head.strip_prefix("HTTP/1.1 4").or_else(|| head.strip_prefix("HTTP/1.0 4"))?.get(..2)?;
    let lacks_content = head.contains("content-length: 0\r\n") && head.ends_with("\r\n\r\n");
    if !lacks_content || !head.contains("connection: close\r\n") || head.contains("x-request-id:") {
        return None;
    }
    match status {
        "00" => Some(response(Reason::InvalidRequest, "the request is not valid HTTP")),
        "14" => Some(response(Reason::UriTooLong, "the address is too long")),
        "31" => Some(response(Reason::HeadersTooLarge, "the headers are too large or too many")),
        _ => None,
    }
}

/// Returns the response to an incomplete request head.
pub(super) fn head_timed_out() -> Bytes {
    response(Reason::RequestTimeout, "the request head did not arrive in time")
}

/// Builds an HTTP/1.1 response after which the connection ends.
fn response(reason: Reason, message: &str) -> Bytes {
    let (status, code) = reason.parts();
    let request_id = new_id().simple().to_string();
    let error = ErrorDetail::new(message.to_owned(), code, status.as_u16(), request_id.clone());
    let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
    let phrase = StatusCode::canonical_reason(&status).unwrap_or_default();
    Bytes::from(format!(
        "HTTP/1.1 {} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         x-request-id: {request_id}\r\nconnection: close\r\n\r\n{body}",
        status.as_u16(),
        body.len(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_responses_of_hyper() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
            content-length: 0\r\ndate: x\r\n\r\n";
        let answer = replacement_for(bare).expect("an answer");
        let text = std::str::from_utf8(&answer).expect("text");
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            (&body["error"]["status"], &body["error"]["reason"]),
            (&431.into(), &"INVALID_REQUEST".into())
        );
    }

    #[test]
    fn keeps_responses_of_routes() {
        for bytes in [
            &b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\nx-request-id: a\r\nconnection: close\r\n\
              content-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            b"{}",
            b"\xff",
        ] {
            assert_eq!(replacement_for(bytes), None);
        }
    }
}
