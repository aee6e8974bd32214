//! A client that sends to a sandbox.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Response, StatusCode};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// A sandbox with a client that has an access token.
pub(crate) struct Sender {
    pub(crate) sandbox: Sandbox,
    pub(crate) http: reqwest::Client,
    pub(crate) access_token: String,
}

/// An answer of the sandbox.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let status = response.status();
        Self { status, retry_after, text: response.text().await.expect("the body is read") }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a JSON body")
    }

    /// FCM's `errorCode`.
    pub(crate) fn error_code(&self) -> String {
        let json = self.json();
        let details = json["error"]["details"].as_array().cloned().unwrap_or_default();
        details
            .iter()
            .find_map(|detail| detail["errorCode"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    /// The field of the first violation.
    pub(crate) fn violated(&self) -> Option<String> {
        let json = self.json();
        let details = json["error"]["details"].as_array().cloned().unwrap_or_default();
        details
            .iter()
            .find_map(|detail| detail["fieldViolations"][0]["field"].as_str().map(str::to_owned))
    }
}

impl Sender {
    pub(crate) async fn new() -> Self {
        let sandbox = Sandbox::start(Options::default()).await.expect("the sandbox starts");
        let mut sender =
            Self { sandbox, http: support::http::plain(), access_token: String::new() };
        let answer = sender.ask_token(&sender.assertion(json!({}))).await;
        sender.access_token = answer.json()["access_token"].as_str().expect("a token").to_owned();
        sender
    }

    /// Builds a signed assertion of the service account with some claims changed; null removes one.
    pub(crate) fn assertion(&self, changes: Value) -> String {
        let account = self.sandbox.service_account();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let (iss, aud) = (&account["client_email"], &account["token_uri"]);
        let mut claims =
            json!({"iss": iss, "aud": aud, "scope": SCOPE, "iat": now, "exp": now + 3_600});
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let key = account["private_key"].as_str().expect("a key").as_bytes();
        jwt_crypto::install();
        let key = EncodingKey::from_rsa_pem(key).expect("an RSA key");
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).expect("it is signed")
    }

    pub(crate) async fn ask_token(&self, assertion: &str) -> Answer {
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        self.post_form("/token", &[("grant_type", grant), ("assertion", assertion)]).await
    }

    pub(crate) async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.http.post(format!("{}{path}", self.sandbox.url())).form(form);
        let signed = request.header("authorization", "AWS4-HMAC-SHA256 Credential=test");
        Answer::of(signed.send().await.expect("an answer")).await
    }

    /// Sends `message` to FCM.
    pub(crate) async fn push(&self, message: Value) -> Answer {
        self.request(json!({ "message": message })).await
    }

    pub(crate) async fn push_to(&self, token: &str) -> Answer {
        self.push(json!({"token": token, "notification": {"title": "Tea", "body": "is ready"}}))
            .await
    }

    pub(crate) async fn request(&self, request: Value) -> Answer {
        let url = format!("{}/v1/projects/demo/messages:send", self.sandbox.url());
        let request = self.http.post(url).bearer_auth(&self.access_token).json(&request);
        Answer::of(request.send().await.expect("an answer")).await
    }
}
