use super::*;
use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/", $name))
    };
}

fn response(status: u16, body: &str) -> Response {
    let (status, body) =
        (StatusCode::from_u16(status).unwrap(), Bytes::copy_from_slice(body.as_bytes()));
    Response { status, headers: HeaderMap::new(), body }
}

fn waiting(status: u16, body: &str, retry_after: &str) -> Response {
    let mut response = response(status, body);
    response.headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
    response
}

fn now() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn outcome(response: &Response) -> Outcome {
    super::outcome(response, now()).expect("the access token is accepted")
}

fn doubtful(code: &'static str, retry_after: Option<u64>) -> Outcome {
    unavailable(code.into(), retry_after.map(Duration::from_secs))
}

#[test]
fn reads_message_name_when_accepted() {
    let name = "projects/demo/messages/0:1500415314455276%31bd1c9631bd1c96";
    let body = serde_json::json!({ "name": name }).to_string();
    assert_eq!(outcome(&response(200, &body)), Outcome::Sent { name: name.into() });
}

#[test]
fn is_unavailable_when_acceptance_is_unreadable() {
    for body in ["", "<html>captive portal</html>", "{}", "{\"na"] {
        assert_eq!(outcome(&response(200, body)), doubtful("UNREADABLE_ANSWER", None));
    }
}

#[test]
fn is_gone_only_when_token_is_dead() {
    let unregistered = response(404, fixture!("unregistered.json"));
    assert_eq!(outcome(&unregistered), Outcome::Gone { code: "UNREGISTERED".into() });
    let invalid = response(400, fixture!("invalid-token.json"));
    assert_eq!(outcome(&invalid), Outcome::Gone { code: "INVALID_TOKEN".into() });
}

#[test]
fn is_misconfigured_when_404_names_no_token() {
    for body in [fixture!("not-found.json"), "<html>404</html>", ""] {
        assert_eq!(
            outcome(&response(404, body)),
            Outcome::Misconfigured { code: "ENDPOINT_NOT_FOUND".into() }
        );
    }
}

#[test]
fn is_rejected_when_payload_is_wrong() {
    for body in [fixture!("invalid-data-key.json"), fixture!("invalid-without-details.json")] {
        assert_eq!(
            outcome(&response(400, body)),
            Outcome::Rejected { code: "INVALID_ARGUMENT".into() }
        );
    }
    assert_eq!(outcome(&response(400, "")), Outcome::Rejected { code: "INVALID_ARGUMENT".into() });
    assert_eq!(
        outcome(&response(413, "too large")),
        Outcome::Rejected { code: "PAYLOAD_TOO_LARGE".into() }
    );
    assert_eq!(outcome(&response(422, "")), Outcome::Rejected { code: "HTTP_422".into() });
}

#[test]
fn is_misconfigured_when_our_account_is_wrong() {
    let cases = [
        (403, fixture!("permission-denied.json"), "PERMISSION_DENIED"),
        (403, "<html>blocked</html>", "PERMISSION_DENIED"),
        (301, "", "HTTP_301"),
        (405, "", "HTTP_405"),
    ];
    for (status, body, code) in cases {
        assert_eq!(outcome(&response(status, body)), Outcome::Misconfigured { code: code.into() });
    }
}

#[test]
fn is_refused_when_credentials_fail_for_device() {
    let cases = [
        (403, fixture!("sender-id-mismatch.json"), "SENDER_ID_MISMATCH"),
        (401, fixture!("third-party-auth.json"), "THIRD_PARTY_AUTH_ERROR"),
    ];
    for (status, body, code) in cases {
        assert_eq!(outcome(&response(status, body)), Outcome::Refused { code: code.into() });
    }
}

#[test]
fn reports_refused_access_token() {
    for body in [fixture!("unauthenticated.json"), ""] {
        assert_eq!(super::outcome(&response(401, body), now()), Err(AccessTokenRefused));
    }
}

#[test]
fn keeps_retry_after_of_throttle() {
    let code: Code = "QUOTA_EXCEEDED".into();
    let quota = fixture!("quota-exceeded.json");
    let throttled = |seconds: Option<u64>| Outcome::Throttled {
        retry_after: seconds.map(Duration::from_secs),
        code: code.clone(),
    };
    assert_eq!(outcome(&response(429, quota)), throttled(None));
    assert_eq!(outcome(&waiting(429, quota, "37")), throttled(Some(37)));
    assert_eq!(
        outcome(&waiting(429, quota, "Sun, 01 Mar 2026 12:02:00 GMT")),
        throttled(Some(120))
    );
    assert_eq!(outcome(&waiting(429, quota, "Sun, 01 Mar 2026 11:00:00 GMT")), throttled(Some(0)));
    assert_eq!(outcome(&waiting(429, quota, "soon")), throttled(None));
}

#[test]
fn caps_retry_after_when_absurd() {
    let quota = fixture!("quota-exceeded.json");
    let asked = |value: &str| match outcome(&waiting(429, quota, value)) {
        Outcome::Throttled { retry_after, .. } => retry_after,
        other => panic!("{other:?}"),
    };
    let huge =
        ["9300000000000000000", "18446744073709551616", "99999999999999999999999999", "3601"];
    for value in huge.into_iter().chain(["Fri, 31 Dec 9999 23:59:59 GMT"]) {
        assert_eq!(asked(value), Some(MAX_RETRY_AFTER), "{value}");
    }
    for value in ["0", "Thu, 01 Jan 1970 00:00:00 GMT", "Sat, 01 Jan 0001 00:00:00 GMT"] {
        assert!(asked(value).is_none_or(|wait| wait.is_zero()), "{value}");
    }
    for value in ["Fri, 31 Feb 2026 00:00:00 GMT", "Friday", "2026-03-01T15:00:00Z"] {
        assert_eq!(asked(value), None, "{value}");
    }
    for value in ["-1", "+5", "1.5", "1e9", "", "0x10", "\u{661}"] {
        assert_eq!(asked(value), None, "{value}");
    }
}

#[test]
fn counts_retry_date_from_date_of_response() {
    let mut response = waiting(503, "", "Sun, 01 Mar 2026 15:00:30 GMT");
    response.headers.insert(DATE, "Sun, 01 Mar 2026 15:00:00 GMT".parse().unwrap());
    assert_eq!(outcome(&response), doubtful("HTTP_503", Some(30)));
}

proptest! {
    #[test]
    fn reads_any_response(
        status in 100u16..1_000,
        wait in any::<Vec<u8>>(),
        date in ".*",
        known in 0usize..5,
        body in any::<Vec<u8>>(),
    ) {
        let fixtures = [
            fixture!("quota-exceeded.json"),
            fixture!("unregistered.json"),
            fixture!("sender-id-mismatch.json"),
            "{}",
        ];
        let body = fixtures.get(known).map_or(body, |known| known.as_bytes().to_vec());
        let mut headers = HeaderMap::new();
        for (name, value) in [(RETRY_AFTER, wait), (DATE, date.into_bytes())] {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                headers.insert(name, value);
            }
        }
        let status = StatusCode::from_u16(status).unwrap();
        let response = Response { status, headers, body: body.into() };
        if let Ok(
            Outcome::Throttled { retry_after, .. } | Outcome::Unavailable { retry_after, .. },
        ) = super::outcome(&response, now())
        {
            prop_assert!(retry_after.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }
    }
}

#[test]
fn is_throttled_when_a_proxy_answers_429() {
    let throttled = Outcome::Throttled { retry_after: None, code: "TOO_MANY_REQUESTS".into() };
    assert_eq!(outcome(&response(429, "slow down")), throttled);
}

#[test]
fn is_maybe_delivered_after_outage() {
    assert_eq!(outcome(&response(500, fixture!("internal.json"))), doubtful("INTERNAL", None));
    assert_eq!(
        outcome(&response(503, fixture!("unavailable.json"))),
        doubtful("UNAVAILABLE", None)
    );
    assert_eq!(
        outcome(&waiting(503, fixture!("unavailable.json"), "30")),
        doubtful("UNAVAILABLE", Some(30))
    );
    assert_eq!(outcome(&response(502, fixture!("bad-gateway.html"))), doubtful("HTTP_502", None));
    assert_eq!(outcome(&response(504, "")), doubtful("HTTP_504", None));
    assert_eq!(outcome(&response(408, "")), doubtful("HTTP_408", None));
}

#[test]
fn uses_status_when_code_is_unknown() {
    let body = r#"{"error":{"code":400,"status":"FAILED_PRECONDITION",
        "details":[{"errorCode":"NEW_CODE"}]}}"#;
    assert_eq!(
        outcome(&response(400, body)),
        Outcome::Rejected { code: "FAILED_PRECONDITION".into() }
    );
}

#[test]
fn uses_status_when_body_has_another_shape() {
    for body in [
        "[]",
        "null",
        r#"{"error":"x"}"#,
        r#"{"error":{"details":{"a":1}}}"#,
        r#"{"error":{"details":[1,null]}}"#,
    ] {
        assert!(matches!(outcome(&response(400, body)), Outcome::Rejected { .. }));
        assert!(matches!(outcome(&response(500, body)), Outcome::Unavailable { .. }));
    }
}
