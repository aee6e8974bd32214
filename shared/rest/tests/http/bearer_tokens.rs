//! Identity from bearer tokens.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use env_config::LiveSecret;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rest::{Auth, Authenticator, JwtSettings};
use serde_json::{Value, json};

use crate::test_api::{IDENTITY, app, call, request};

/// Key pairs made for these tests alone.
const PRIVATE: &str = include_str!("../keys/ed25519.pem");

const PUBLIC: &str = include_str!("../keys/ed25519.pub.pem");

const OTHER_PRIVATE: &str = include_str!("../keys/other-ed25519.pem");

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
    json!({"sub": "u7", "email": "u7@example.com", "iss": "https://id.example.com",
        "aud": "reminders", "exp": expires})
}

#[tokio::test]
async fn identifies_caller_by_bearer_token_only() {
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
async fn refuses_invalid_tokens() {
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

/// Signs a token with a public key as if it were a shared secret.
fn symmetric(claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes())))
}

#[tokio::test]
async fn reads_email_verified_claim() {
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

#[test]
fn refuses_short_static_keys() {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../jwt-crypto/tests/fixtures/pyjwt.json"))
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

#[tokio::test]
async fn reads_claims_beyond_ascii() {
    let answer_to = async |sub: &str, email: &str| {
        let mut claims = claims();
        (claims["sub"], claims["email"]) = (json!(sub), json!(email));
        let authorization = token(&claims, PRIVATE);
        let request = request("GET", "/who", &[("Authorization", &authorization)], "");
        let (status, _, answer) = call(app(jwt()), request).await;
        (status, answer)
    };
    for email in ["zoë@example.com", "ada@bücher.example"] {
        assert_eq!(answer_to("zoë", email).await, (StatusCode::OK, json!(email)));
    }
    for (sub, problem) in [
        ("\u{200b}", "is empty or has no visible character"),
        ("a\0b", "has control characters, U+FFFE or U+FFFF"),
    ] {
        let (status, answer) = answer_to(sub, "zoe@example.com").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer["error"]["message"], format!("the bearer token's sub {problem}"));
    }
}
