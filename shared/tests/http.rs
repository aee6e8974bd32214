//! What every REST API of the suite promises, on a small router behind the real layers.

#![allow(clippy::panic, reason = "one route fails on purpose")]

use axum::{
    Json, Router,
    body::{Body as RawBody, to_bytes},
    http::{Request, StatusCode},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::{
    config::{Auth, JwtSettings, LiveSecret},
    http::{ApiError, ApiSettings, Authenticator, Body, Identity, Params, RateLimit, Reason, api},
};
use tower::ServiceExt;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
    #[serde(default)]
    tags: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: u16,
}

fn app(auth: Auth) -> Router {
    let routes = Router::new()
        .route("/who", get(async |identity: Identity| identity.email))
        .route("/verified", get(async |identity: Identity| identity.email_verified.to_string()))
        .route(
            "/notes",
            post(async |body: Body<Note>| Json(body.value))
                .get(async |page: Params<Page>| page.0.limit.to_string()),
        )
        .route("/lost", get(async || ApiError::from(sqlx::Error::PoolTimedOut)))
        .route("/broken", get(async || ApiError::unexpected("the password is hunter2")))
        .route("/panic", get(async || -> String { panic!("inside") }));
    let settings = ApiSettings {
        origins: "https://app.example.com".parse().expect("an origin"),
        ..ApiSettings::default()
    };
    api(routes, Authenticator::new(auth).expect("an authenticator"), &settings)
}

fn gateway() -> Auth {
    Auth::Gateway { secret: None }
}

async fn call(
    app: Router,
    request: Request<RawBody>,
) -> (StatusCode, axum::http::HeaderMap, Value) {
    let response = app.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.expect("a body");
    let value =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    (parts.status, parts.headers, value)
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<RawBody> {
    let builder = Request::builder().method(method).uri(path);
    let builder =
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(RawBody::from(body.to_owned())).expect("a request")
}

const IDENTITY: &[(&str, &str)] =
    &[("X-Authenticated-Userid", "u1"), ("X-Consumer-Username", "u1@example.com")];

#[tokio::test]
async fn the_gateways_headers_identify_the_caller() {
    let (status, _, body) = call(app(gateway()), request("GET", "/who", IDENTITY, "")).await;
    assert_eq!((status, body), (StatusCode::OK, json!("u1@example.com")));
}

#[tokio::test]
async fn a_request_without_identity_is_refused_with_the_error_body() {
    for headers in
        [&[][..], &IDENTITY[..1], &IDENTITY[1..], &[IDENTITY[0], IDENTITY[0], IDENTITY[1]]]
    {
        let (status, sent, body) = call(app(gateway()), request("GET", "/who", headers, "")).await;
        assert_eq!(
            (status, &body["error"]["reason"]),
            (StatusCode::UNAUTHORIZED, &json!("UNAUTHENTICATED"))
        );
        assert_eq!(body["error"]["status"], 401);
        assert_eq!(body["error"]["requestId"], sent["x-request-id"].to_str().expect("text"));
    }
}

#[tokio::test]
async fn an_anonymous_consumer_is_nobody() {
    let headers = [IDENTITY, &[("X-Anonymous-Consumer", "true")]].concat();
    assert_eq!(
        call(app(gateway()), request("GET", "/who", &headers, "")).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_gateway_proves_itself_where_a_secret_is_set() {
    let auth = || Auth::Gateway { secret: Some(LiveSecret::fixed("s3cret".into())) };
    let with = |secret| [IDENTITY, &[("X-Gateway-Secret", secret)]].concat();
    assert_eq!(
        call(app(auth()), request("GET", "/who", IDENTITY, "")).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        call(app(auth()), request("GET", "/who", &with("wrong"), "")).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        call(app(auth()), request("GET", "/who", &with("s3cret"), "")).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_callers_request_id_is_kept_when_it_can_be_logged() {
    let (_, sent, _) =
        call(app(gateway()), request("GET", "/who", &[("X-Request-Id", "abc-1")], "")).await;
    assert_eq!(sent["x-request-id"], "abc-1");
    let (_, sent, _) =
        call(app(gateway()), request("GET", "/who", &[("X-Request-Id", "a b<c>")], "")).await;
    assert_ne!(sent["x-request-id"], "a b<c>");
}

#[tokio::test]
async fn bad_bodies_are_named() {
    for (body, named) in [
        (r#"{"text":"a","colour":1}"#, "colour"),
        (r#"{"tags":[]}"#, "text"),
        (r#"{"text":"a","tags":[1,-1]}"#, "tags[1]"),
        (r#"{"text":"a""#, "ends too early"),
        (r#"{"text":"a"} x"#, "follows its end"),
        ("", "the body is empty"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
    ] {
        let (status, _, answer) =
            call(app(gateway()), request("POST", "/notes", IDENTITY, body)).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(
            (status, &answer["error"]["reason"]),
            (StatusCode::BAD_REQUEST, &json!("INVALID_REQUEST")),
            "{body}"
        );
        assert!(message.contains(named), "{body}: {message}");
    }
    let deep = format!(r#"{{"text":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    assert_eq!(
        call(app(gateway()), request("POST", "/notes", IDENTITY, &deep)).await.0,
        StatusCode::BAD_REQUEST
    );
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000_000));
    let (status, _, answer) =
        call(app(gateway()), request("POST", "/notes", IDENTITY, &large)).await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("PAYLOAD_TOO_LARGE"))
    );
}

#[tokio::test]
async fn bad_queries_paths_and_methods_are_refused() {
    for query in ["?limit=-1", "?limit=x", "", "?limit=1&other=2"] {
        assert_eq!(
            call(app(gateway()), request("GET", &format!("/notes{query}"), &[], "")).await.0,
            StatusCode::BAD_REQUEST,
            "{query}"
        );
    }
    let (status, _, answer) = call(app(gateway()), request("GET", "/nowhere", &[], "")).await;
    assert_eq!((status, &answer["error"]["reason"]), (StatusCode::NOT_FOUND, &json!("NOT_FOUND")));
    assert_eq!(
        call(app(gateway()), request("DELETE", "/notes", &[], "")).await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn malformed_idempotency_keys_are_refused() {
    let long = "k".repeat(256);
    for key in [long.as_str(), "", "with space", "k\u{e9}"] {
        let headers = [IDENTITY, &[("Idempotency-Key", key)]].concat();
        let answer =
            call(app(gateway()), request("POST", "/notes", &headers, r#"{"text":"a"}"#)).await;
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{key}");
    }
}

#[tokio::test]
async fn failures_inside_are_opaque_and_outages_say_when_to_come_back() {
    let (status, _, answer) = call(app(gateway()), request("GET", "/broken", &[], "")).await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (StatusCode::INTERNAL_SERVER_ERROR, &json!("UNKNOWN_REASON"))
    );
    assert!(!answer.to_string().contains("hunter2"));
    let (status, sent, answer) = call(app(gateway()), request("GET", "/lost", &[], "")).await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("UPSTREAM_UNAVAILABLE"))
    );
    assert!(sent.contains_key("retry-after"));
    assert_eq!(
        call(app(gateway()), request("GET", "/panic", &[], "")).await.0,
        StatusCode::INTERNAL_SERVER_ERROR
    );
}

#[tokio::test]
async fn names_every_fault_in_the_details() {
    let (_, _, answer) =
        call(app(gateway()), request("POST", "/notes", IDENTITY, r#"{"tags":[-1],"colour":1}"#))
            .await;
    let details = answer["error"]["details"].as_array().cloned().expect("details");
    let fields: Vec<_> =
        details.iter().map(|fault| fault["field"].as_str().unwrap_or_default()).collect();
    assert_eq!(fields, ["colour", "tags[0]", "text"], "{answer}");
    assert_eq!(answer["error"]["message"], "colour: unknown field");
    let (_, _, answer) = call(app(gateway()), request("GET", "/notes?limit=x", &[], "")).await;
    assert_eq!(
        answer["error"]["details"],
        json!([{"field": "limit", "message": "must be a whole number"}])
    );
}

fn limited(per_second: u32, burst: u32) -> Router {
    let number = |number| std::num::NonZeroU32::new(number).expect("a number");
    let rate_limit = Some(RateLimit { per_second: number(per_second), burst: number(burst) });
    let routes = Router::new().route("/who", get(async |identity: Identity| identity.email));
    let openapi = utoipa::openapi::OpenApi::default();
    let settings = ApiSettings { rate_limit, ..ApiSettings::default() };
    let authenticator = Authenticator::new(gateway()).expect("an authenticator");
    api(routes.merge(shared::http::openapi_routes(&openapi)), authenticator, &settings)
}

#[tokio::test]
async fn limits_calls_of_each_user() {
    let app = limited(1, 3);
    let bob = [("X-Authenticated-Userid", "u2"), ("X-Consumer-Username", "u2@example.com")];
    for _ in 0..3 {
        assert_eq!(call(app.clone(), request("GET", "/who", IDENTITY, "")).await.0, StatusCode::OK);
    }
    let (status, sent, answer) = call(app.clone(), request("GET", "/nowhere", IDENTITY, "")).await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("RATE_LIMITED"))
    );
    assert_eq!(sent["retry-after"], "1");
    assert_eq!(call(app, request("GET", "/who", &bob, "")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn limits_calls_that_identify_nobody() {
    let app = limited(1, 3);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(call(app.clone(), request("GET", "/who", &[], "")).await.0.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    assert_eq!(call(app, request("GET", "/who", IDENTITY, "")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn answers_descriptions_without_limit() {
    let app = limited(1, 1);
    for _ in 0..3 {
        for path in ["/openapi.json", "/docs"] {
            assert_eq!(call(app.clone(), request("GET", path, &[], "")).await.0, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn counts_invented_methods_under_one_label() {
    let metrics = shared::telemetry::metrics_handle();
    for number in 0..50 {
        let method = format!("INVENTED{number}");
        let path = format!("/nowhere/{number}");
        assert_eq!(
            call(app(gateway()), request(&method, "/notes", &[], "")).await.0,
            StatusCode::METHOD_NOT_ALLOWED
        );
        assert_eq!(
            call(app(gateway()), request(&method, &path, &[], "")).await.0,
            StatusCode::NOT_FOUND
        );
    }
    let rendered = metrics.render();
    assert!(rendered.contains(r#"method="OTHER""#), "{rendered}");
    assert!(!rendered.contains("INVENTED") && !rendered.contains("/nowhere"), "{rendered}");
}

#[tokio::test]
async fn answers_any_origin_when_all_are_allowed() {
    let settings = ApiSettings { origins: "*".parse().expect("any"), ..ApiSettings::default() };
    let app =
        api(Router::new(), Authenticator::new(gateway()).expect("an authenticator"), &settings);
    let (_, sent, _) =
        call(app, request("GET", "/nowhere", &[("Origin", "https://any.example.com")], "")).await;
    assert_eq!(sent["access-control-allow-origin"], "*");
    assert!(!sent.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn refuses_other_sites_when_hosts_are_named() {
    let settings =
        ApiSettings { hosts: Some("127.0.0.1".parse().expect("a host")), ..ApiSettings::default() };
    let app = || {
        let routes = Router::new().route("/who", get(async |identity: Identity| identity.email));
        api(routes, Authenticator::new(gateway()).expect("an authenticator"), &settings)
    };
    let with = |headers: &[(&'static str, &'static str)]| [IDENTITY, headers].concat();
    let own = with(&[("Host", "127.0.0.1:3000")]);
    assert_eq!(call(app(), request("GET", "/who", &own, "")).await.0, StatusCode::OK);
    for headers in [
        with(&[("Host", "rebound.example.org:3000")]),
        with(&[("Host", "127.0.0.1:3000"), ("Origin", "https://example.org")]),
    ] {
        let (status, _, answer) = call(app(), request("GET", "/who", &headers, "")).await;
        assert_eq!(
            (status, &answer["error"]["reason"]),
            (StatusCode::FORBIDDEN, &json!("PERMISSION_DENIED"))
        );
    }
}

#[tokio::test]
async fn only_allowed_origins_may_call() {
    let preflight = |origin| {
        request(
            "OPTIONS",
            "/notes",
            &[("Origin", origin), ("Access-Control-Request-Method", "POST")],
            "",
        )
    };
    let (_, sent, _) = call(app(gateway()), preflight("https://app.example.com")).await;
    assert_eq!(sent["access-control-allow-origin"], "https://app.example.com");
    let (_, sent, _) = call(app(gateway()), preflight("https://evil.example.com")).await;
    assert!(!sent.contains_key("access-control-allow-origin"));
}

/// Key pairs made for these tests alone.
const PRIVATE: &str = include_str!("keys/ed25519.pem");
const PUBLIC: &str = include_str!("keys/ed25519.pub.pem");
const OTHER_PRIVATE: &str = include_str!("keys/other-ed25519.pem");

fn token(claims: &Value, key: &str) -> String {
    jwt_crypto::install();
    let key = EncodingKey::from_ed_pem(key.as_bytes()).expect("a key");
    format!("Bearer {}", encode(&Header::new(Algorithm::EdDSA), claims, &key).expect("a token"))
}

fn jwt() -> Auth {
    Auth::Jwt(JwtSettings {
        jwks_url: None,
        public_key: Some(LiveSecret::fixed(PUBLIC.into())),
        issuer: Some("https://id.example.com".to_owned()),
        audience: Some("reminders".to_owned()),
    })
}

fn claims() -> Value {
    let expires = chrono::Utc::now().timestamp() + 60;
    json!({"sub": "u7", "email": "u7@example.com", "iss": "https://id.example.com", "aud": "reminders", "exp": expires})
}

#[tokio::test]
async fn a_bearer_token_identifies_the_caller_and_the_gateways_headers_do_not() {
    let authorization = token(&claims(), PRIVATE);
    let headers = [IDENTITY, &[("Authorization", authorization.as_str())]].concat();
    let (status, _, body) = call(app(jwt()), request("GET", "/who", &headers, "")).await;
    assert_eq!((status, body), (StatusCode::OK, json!("u7@example.com")));
    assert_eq!(
        call(app(jwt()), request("GET", "/who", IDENTITY, "")).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused() {
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(name);
        claims
    };
    jwt_crypto::install();
    let critical = Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::EdDSA) };
    let key = EncodingKey::from_ed_pem(PRIVATE.as_bytes()).expect("a key");
    let critical = encode(&critical, &claims(), &key).expect("a token");
    for refused in [
        token(&claims(), OTHER_PRIVATE),
        token(&with("exp", json!(1)), PRIVATE),
        token(&with("iss", json!("https://other.example.com")), PRIVATE),
        token(&with("aud", json!("other")), PRIVATE),
        token(&without("exp"), PRIVATE),
        token(&without("iss"), PRIVATE),
        token(&without("aud"), PRIVATE),
        token(&without("sub"), PRIVATE),
        token(&without("email"), PRIVATE),
        format!("Bearer {}", symmetric(&claims(), PUBLIC)),
        format!("Bearer {critical}"),
        format!("Bearer {}", "a".repeat(9_000)),
        format!("{}, {}", token(&claims(), PRIVATE), token(&claims(), PRIVATE)),
        "Bearer x.y.z".to_owned(),
        "Basic dTpw".to_owned(),
    ] {
        let (status, _, answer) =
            call(app(jwt()), request("GET", "/who", &[("Authorization", &refused)], "")).await;
        assert_eq!(
            (status, &answer["error"]["reason"]),
            (StatusCode::UNAUTHORIZED, &json!("UNAUTHENTICATED")),
            "{refused}"
        );
    }
}

/// A token signed with a public key as if that were a shared secret.
fn symmetric(claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes())))
}

#[tokio::test]
async fn reads_whether_the_address_is_verified() {
    for (claim, expected) in [
        (None, "true"),
        (Some(json!(true)), "true"),
        (Some(json!("true")), "true"),
        (Some(json!(false)), "false"),
        (Some(json!("false")), "false"),
        (Some(json!(1)), "false"),
    ] {
        let mut claims = claims();
        if let Some(claim) = &claim {
            claims["email_verified"] = claim.clone();
        }
        let authorization = token(&claims, PRIVATE).replacen("Bearer", "bEARER", 1);
        let request = request("GET", "/verified", &[("Authorization", &authorization)], "");
        let (status, _, answer) = call(app(jwt()), request).await;
        assert_eq!((status, answer.to_string().as_str()), (StatusCode::OK, expected), "{claim:?}");
    }
}

#[tokio::test]
async fn refuses_gateway_headers_that_come_twice() {
    let auth = || Auth::Gateway { secret: Some(LiveSecret::fixed("s3cret".into())) };
    let whole = [IDENTITY, &[("X-Gateway-Secret", "s3cret")]].concat();
    assert_eq!(call(app(auth()), request("GET", "/who", &whole, "")).await.0, StatusCode::OK);
    for twice in [
        ("X-Authenticated-Userid", "u2"),
        ("X-Consumer-Username", "u2@example.com"),
        ("X-Gateway-Secret", "s3cret"),
        ("X-Anonymous-Consumer", "true"),
    ] {
        let headers = [&whole[..], &[("X-Anonymous-Consumer", "false"), twice]].concat();
        let status = call(app(auth()), request("GET", "/who", &headers, "")).await.0;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{twice:?}");
    }
    let long = "u".repeat(256);
    for user in [long.as_str(), "", " ", "u\u{e9}"] {
        let headers = [("X-Authenticated-Userid", user), whole[1], whole[2]];
        let status = call(app(auth()), request("GET", "/who", &headers, "")).await.0;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{user}");
    }
}

#[test]
fn refuses_short_static_keys() {
    let fixture: Value =
        serde_json::from_str(include_str!("../jwt-crypto/tests/fixtures/pyjwt.json"))
            .expect("JSON");
    let with = |pem: &Value| {
        let public_key = pem.as_str().map(|pem| LiveSecret::fixed(pem.into()));
        Authenticator::new(Auth::Jwt(JwtSettings {
            jwks_url: None,
            public_key,
            issuer: None,
            audience: None,
        }))
    };
    assert!(with(&fixture["refused"][0]["publicKey"]).is_err());
    for accepted in fixture["accepted"].as_array().expect("a list") {
        assert!(with(&accepted["publicKey"]).is_ok(), "{}", accepted["alg"]);
    }
}

#[test]
fn every_reason_of_the_contract_has_its_status() {
    let expected = [
        (Reason::InvalidRequest, 400, "INVALID_REQUEST"),
        (Reason::PermissionDenied, 403, "PERMISSION_DENIED"),
        (Reason::MissingReminder, 404, "MISSING_REMINDER"),
        (Reason::Conflict, 409, "CONFLICT"),
        (Reason::InvalidDueDate, 422, "INVALID_DUEDATE"),
        (Reason::InvalidRecurrence, 422, "INVALID_RECURRENCE"),
        (Reason::InvalidToken, 422, "INVALID_TOKEN"),
        (Reason::DeviceNotAssociated, 422, "DEVICE_NOT_ASSOCIATED"),
        (Reason::IdempotencyKeyReused, 422, "IDEMPOTENCY_KEY_REUSED"),
        (Reason::RateLimited, 429, "RATE_LIMITED"),
    ];
    for (reason, status, code) in expected {
        assert_eq!(reason.parts(), (StatusCode::from_u16(status).expect("a status"), code));
    }
}
