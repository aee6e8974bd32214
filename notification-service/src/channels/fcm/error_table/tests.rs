use super::*;
use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/fixtures/fcm/", $name))
    };
}

fn answer(status: u16, body: &str) -> Answer {
    let (status, body) =
        (StatusCode::from_u16(status).unwrap(), Bytes::copy_from_slice(body.as_bytes()));
    Answer { status, headers: HeaderMap::new(), body }
}

fn waiting(status: u16, body: &str, retry_after: &str) -> Answer {
    let mut answer = answer(status, body);
    answer.headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
    answer
}

fn now() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn outcome(answer: &Answer) -> Outcome {
    match meaning(answer, now()) {
        Meaning::Ended(outcome) => outcome,
        Meaning::TokenRefused => panic!("the access token was refused"),
    }
}

fn doubtful(reason: &'static str, retry_after: Option<u64>) -> Outcome {
    unavailable(reason.into(), retry_after.map(Duration::from_secs))
}

#[test]
fn accepted_messages_have_a_name() {
    let name = "projects/demo/messages/0:1500415314455276%31bd1c9631bd1c96";
    let body = serde_json::json!({ "name": name }).to_string();
    assert_eq!(outcome(&answer(200, &body)), Outcome::Sent { provider_id: name.into() });
}

#[test]
fn an_unreadable_acceptance_is_no_acceptance_but_may_have_been_one() {
    for body in ["", "<html>captive portal</html>", "{}", "{\"na"] {
        assert_eq!(outcome(&answer(200, body)), doubtful("UNREADABLE_ANSWER", None));
    }
}

#[test]
fn only_unregistered_and_a_violation_on_the_token_are_gone() {
    let unregistered = answer(404, fixture!("unregistered.json"));
    assert_eq!(outcome(&unregistered), Outcome::Gone { reason: "UNREGISTERED".into() });
    let invalid = answer(400, fixture!("invalid-token.json"));
    assert_eq!(outcome(&invalid), Outcome::Gone { reason: "INVALID_TOKEN".into() });
}

#[test]
fn a_404_without_unregistered_says_nothing_of_the_token() {
    for body in [fixture!("not-found.json"), "<html>404</html>", ""] {
        assert_eq!(
            outcome(&answer(404, body)),
            Outcome::Misconfigured { reason: "ENDPOINT_NOT_FOUND".into() }
        );
    }
}

#[test]
fn a_wrong_payload_touches_no_device() {
    for body in [fixture!("invalid-data-key.json"), fixture!("invalid-without-details.json")] {
        assert_eq!(
            outcome(&answer(400, body)),
            Outcome::Rejected { reason: "INVALID_ARGUMENT".into() }
        );
    }
    assert_eq!(outcome(&answer(400, "")), Outcome::Rejected { reason: "INVALID_ARGUMENT".into() });
    assert_eq!(
        outcome(&answer(413, "too large")),
        Outcome::Rejected { reason: "PAYLOAD_TOO_LARGE".into() }
    );
    assert_eq!(outcome(&answer(422, "")), Outcome::Rejected { reason: "HTTP_422".into() });
}

#[test]
fn our_own_faults_stop_the_lane() {
    let cases = [
        (403, fixture!("permission-denied.json"), "PERMISSION_DENIED"),
        (403, "<html>blocked</html>", "PERMISSION_DENIED"),
        (301, "", "HTTP_301"),
        (405, "", "HTTP_405"),
    ];
    for (status, body, reason) in cases {
        assert_eq!(
            outcome(&answer(status, body)),
            Outcome::Misconfigured { reason: reason.into() }
        );
    }
}

#[test]
fn refused_credentials_are_first_of_all_the_devices() {
    let cases = [
        (403, fixture!("sender-id-mismatch.json"), "SENDER_ID_MISMATCH"),
        (401, fixture!("third-party-auth.json"), "THIRD_PARTY_AUTH_ERROR"),
    ];
    for (status, body, reason) in cases {
        assert_eq!(outcome(&answer(status, body)), Outcome::Refused { reason: reason.into() });
    }
}

#[test]
fn a_refused_access_token_can_be_replaced() {
    for body in [fixture!("unauthenticated.json"), ""] {
        assert_eq!(meaning(&answer(401, body), now()), Meaning::TokenRefused);
    }
}

#[test]
fn throttles_carry_their_retry_after() {
    let reason: Reason = "QUOTA_EXCEEDED".into();
    let quota = fixture!("quota-exceeded.json");
    let throttled = |seconds: Option<u64>| Outcome::Throttled {
        retry_after: seconds.map(Duration::from_secs),
        reason: reason.clone(),
    };
    assert_eq!(outcome(&answer(429, quota)), throttled(None));
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
fn counts_retry_date_from_answers_own_date() {
    let mut answer = waiting(503, "", "Sun, 01 Mar 2026 15:00:30 GMT");
    answer.headers.insert(DATE, "Sun, 01 Mar 2026 15:00:00 GMT".parse().unwrap());
    assert_eq!(outcome(&answer), doubtful("HTTP_503", Some(30)));
}

proptest! {
    #[test]
    fn reads_any_answer(
        status in 100u16..1_000, wait in any::<Vec<u8>>(), date in ".*", known in 0usize..5, body in any::<Vec<u8>>(),
    ) {
        let fixtures =
            [fixture!("quota-exceeded.json"), fixture!("unregistered.json"), fixture!("sender-id-mismatch.json"), "{}"];
        let body = fixtures.get(known).map_or(body, |known| known.as_bytes().to_vec());
        let mut headers = HeaderMap::new();
        for (name, value) in [(RETRY_AFTER, wait), (DATE, date.into_bytes())] {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                headers.insert(name, value);
            }
        }
        let answer = Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() };
        if let Meaning::Ended(Outcome::Throttled { retry_after, .. } | Outcome::Unavailable { retry_after, .. }) =
            meaning(&answer, now())
        {
            prop_assert!(retry_after.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }
    }
}

#[test]
fn a_throttle_of_something_in_between_is_one_too() {
    let throttled = Outcome::Throttled { retry_after: None, reason: "TOO_MANY_REQUESTS".into() };
    assert_eq!(outcome(&answer(429, "slow down")), throttled);
}

#[test]
fn outages_may_have_delivered() {
    assert_eq!(outcome(&answer(500, fixture!("internal.json"))), doubtful("INTERNAL", None));
    assert_eq!(outcome(&answer(503, fixture!("unavailable.json"))), doubtful("UNAVAILABLE", None));
    assert_eq!(
        outcome(&waiting(503, fixture!("unavailable.json"), "30")),
        doubtful("UNAVAILABLE", Some(30))
    );
    assert_eq!(outcome(&answer(502, fixture!("bad-gateway.html"))), doubtful("HTTP_502", None));
    assert_eq!(outcome(&answer(504, "")), doubtful("HTTP_504", None));
    assert_eq!(outcome(&answer(408, "")), doubtful("HTTP_408", None));
}

#[test]
fn a_code_of_tomorrow_falls_back_on_the_status() {
    let body = r#"{"error":{"code":400,"status":"FAILED_PRECONDITION","details":[{"errorCode":"NEW_CODE"}]}}"#;
    assert_eq!(
        outcome(&answer(400, body)),
        Outcome::Rejected { reason: "FAILED_PRECONDITION".into() }
    );
}

#[test]
fn odd_shapes_do_not_disturb() {
    for body in [
        "[]",
        "null",
        r#"{"error":"x"}"#,
        r#"{"error":{"details":{"a":1}}}"#,
        r#"{"error":{"details":[1,null]}}"#,
    ] {
        assert!(matches!(outcome(&answer(400, body)), Outcome::Rejected { .. }));
        assert!(matches!(outcome(&answer(500, body)), Outcome::Unavailable { .. }));
    }
}
