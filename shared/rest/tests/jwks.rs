//! Key set of the token issuer: rotation, removal of keys, outages, and clients that disconnect.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body as RawBody,
    http::{Request, StatusCode},
    response::IntoResponse,
    routing::get,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rest::{ApiSettings, Auth, Authenticator, Identity, JwtSettings, RateLimit, api};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

/// Key pairs made for these tests alone.
const OLD: &str = include_str!("keys/ed25519.pem");
const NEW: &str = include_str!("keys/other-ed25519.pem");
/// Latency of the issuer, and the shorter time after which clients disconnect.
const LATENCY: Duration = Duration::from_millis(200);
const DISCONNECT_AFTER: Duration = Duration::from_millis(20);

/// A token issuer whose key set can be changed.
#[derive(Clone, Default)]
struct Issuer {
    /// The published set; `None` responds with 500.
    set: Arc<Mutex<Option<Value>>>,
    fetches: Arc<AtomicU32>,
}

impl Issuer {
    fn publish(&self, keys: &[(&str, &str)]) {
        let keys: Vec<Value> = keys.iter().map(|(id, pem)| public(id, pem)).collect();
        *self.set.lock().expect("not poisoned") = Some(json!({ "keys": keys }));
    }

    fn fail(&self) {
        *self.set.lock().expect("not poisoned") = None;
    }

    /// An API that accepts the tokens of this issuer.
    async fn api(&self) -> Router {
        self.api_with(&ApiSettings::default()).await
    }

    async fn api_with(&self, settings: &ApiSettings) -> Router {
        jwt_crypto::install();
        let issuer = self.clone();
        let answer = get(async move || {
            issuer.fetches.fetch_add(1, Ordering::Relaxed);
            // A request during a rotation is answered with the previous set.
            let set = issuer.set.lock().expect("not poisoned").clone();
            sleep(LATENCY).await;
            set.map(axum::Json).ok_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(
            async move { axum::serve(listener, Router::new().route("/keys", answer)).await },
        );
        let jwt = JwtSettings {
            jwks_url: Some(format!("http://{address}/keys")),
            public_key: None,
            issuer: None,
            audience: None,
        };
        let routes = Router::new().route("/who", get(async |identity: Identity| identity.user_id));
        api(routes, Authenticator::new(Auth::Jwt(jwt)).expect("an authenticator"), settings)
    }
}

fn public(id: &str, pem: &str) -> Value {
    jwt_crypto::install();
    let key = EncodingKey::from_ed_pem(pem.as_bytes()).expect("a key");
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).expect("a JWK");
    jwk.common.key_id = Some(id.to_owned());
    serde_json::to_value(jwk).expect("JSON")
}

async fn call(api: &Router, id: &str, pem: &str) -> StatusCode {
    let key = EncodingKey::from_ed_pem(pem.as_bytes()).expect("a key");
    let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let claims = json!({"sub": "u1", "email": "u1@example.com", "exp": 253_402_300_799_i64});
    let token = encode(&header, &claims, &key).expect("a token");
    let request = Request::get("/who").header("Authorization", format!("Bearer {token}"));
    let request = request.body(RawBody::empty()).expect("a request");
    api.clone().oneshot(request).await.expect("infallible").status()
}

/// Makes calls whose clients disconnect before the issuer responds.
async fn disconnect_early(api: &Router, id: &str, pem: &str) {
    for _ in 0..5 {
        assert!(
            timeout(DISCONNECT_AFTER, call(api, id, pem)).await.is_err(),
            "nothing is known yet"
        );
    }
}

#[tokio::test]
async fn follows_rotation_while_clients_disconnect_early() {
    let issuer = Issuer::default();
    issuer.publish(&[("old", OLD)]);
    let api = issuer.api().await;
    disconnect_early(&api, "old", OLD).await;
    assert_eq!(call(&api, "old", OLD).await, StatusCode::OK);

    issuer.publish(&[("new", NEW)]);
    disconnect_early(&api, "new", NEW).await;
    assert_eq!(call(&api, "new", NEW).await, StatusCode::OK);
    assert_eq!(call(&api, "old", OLD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&api, "new", NEW).await, StatusCode::OK);
}

#[tokio::test]
async fn fetches_again_when_set_precedes_rotation() {
    let issuer = Issuer::default();
    issuer.publish(&[("old", OLD)]);
    let api = issuer.api().await;
    let (early, late) = tokio::join!(call(&api, "old", OLD), async {
        while issuer.fetches.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        issuer.publish(&[("old", OLD), ("new", NEW)]);
        call(&api, "new", NEW).await
    });
    assert_eq!((early, late), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn bounds_fetches_for_many_and_invented_keys() {
    let issuer = Issuer::default();
    issuer.publish(&[("old", OLD)]);
    let api = issuer.api().await;
    let calls = futures::future::join_all((0..50).map(|_| call(&api, "old", OLD))).await;
    assert!(calls.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(issuer.fetches.load(Ordering::Relaxed), 1);
    for invented in 0..40 {
        assert_eq!(
            call(&api, &format!("invented-{invented}"), NEW).await,
            StatusCode::UNAUTHORIZED
        );
    }
    assert!(issuer.fetches.load(Ordering::Relaxed) <= 6, "{:?}", issuer.fetches);
    assert_eq!(call(&api, "old", OLD).await, StatusCode::OK);
}

#[tokio::test]
async fn keeps_last_set_while_issuer_is_unreachable() {
    let issuer = Issuer::default();
    let api = issuer.api().await;
    assert_eq!(call(&api, "old", OLD).await, StatusCode::SERVICE_UNAVAILABLE);
    issuer.publish(&[("old", OLD)]);
    assert_eq!(call(&api, "old", OLD).await, StatusCode::OK);
    issuer.fail();
    assert_eq!(call(&api, "new", NEW).await, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&api, "old", OLD).await, StatusCode::OK);
    // A signature of another key under a known id.
    assert_eq!(call(&api, "old", NEW).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn answers_503_without_key_set_beyond_limit() {
    let (issuer, one) = (Issuer::default(), std::num::NonZeroU32::MIN);
    let rate_limit = Some(RateLimit { per_second: one, burst: one });
    let api = issuer.api_with(&ApiSettings { rate_limit, ..ApiSettings::default() }).await;
    let calls = futures::future::join_all((0..20).map(|_| call(&api, "old", OLD))).await;
    assert!(calls.iter().all(|status| *status == StatusCode::SERVICE_UNAVAILABLE), "{calls:?}");
}
