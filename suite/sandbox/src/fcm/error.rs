//! Error bodies of FCM.

use axum::{
    Json,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const QUOTA_FAILURE: &str = "type.googleapis.com/google.rpc.QuotaFailure";

/// An answer that is not 200.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: u16,
    /// `google.rpc.Code`'s name.
    code: &'static str,
    message: String,
    details: Vec<Value>,
    retry_after: Option<u64>,
    html: bool,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            retry_after: None,
            html: false,
        }
    }

    fn fcm(mut self, error_code: &str) -> Self {
        self.details.push(json!({"@type": FCM_ERROR, "errorCode": error_code}));
        self
    }

    fn violation(mut self, field: &str, description: &str) -> Self {
        let violation = json!({"field": field, "description": description});
        self.details.push(json!({"@type": BAD_REQUEST, "fieldViolations": [violation]}));
        self
    }

    fn info(mut self, reason: &str, domain: &str) -> Self {
        self.details.push(json!({
            "@type": ERROR_INFO,
            "reason": reason,
            "domain": domain,
            "metadata": {
                "service": "fcm.googleapis.com",
                "method": "google.firebase.fcm.v1.FcmService.SendMessage",
            },
        }));
        self
    }

    pub(super) fn unregistered() -> Self {
        Self::new(404, "NOT_FOUND", "Requested entity was not found.").fcm("UNREGISTERED")
    }

    pub(super) fn invalid_token() -> Self {
        let message = "The registration token is not a valid FCM registration token";
        Self::new(400, "INVALID_ARGUMENT", message)
            .fcm("INVALID_ARGUMENT")
            .violation("message.token", "Invalid registration token")
    }

    pub(super) fn bad_payload() -> Self {
        Self::new(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
            .fcm("INVALID_ARGUMENT")
    }

    /// A field that FCM itself rejects.
    pub(super) fn invalid(field: &str, description: &str) -> Self {
        Self::new(400, "INVALID_ARGUMENT", description)
            .fcm("INVALID_ARGUMENT")
            .violation(field, description)
    }

    /// JSON of the wrong shape, as Google's front end reports it: without FCM's own detail.
    pub(super) fn malformed(field: &str, description: &str) -> Self {
        let message = format!("Invalid JSON payload received. {description}");
        Self::new(400, "INVALID_ARGUMENT", message.clone()).violation(field, &message)
    }

    pub(super) fn too_big(what: &str) -> Self {
        Self::new(400, "INVALID_ARGUMENT", format!("{what} message is too big"))
            .fcm("INVALID_ARGUMENT")
    }

    pub(super) fn sender_mismatch() -> Self {
        Self::new(403, "PERMISSION_DENIED", "SenderId mismatch").fcm("SENDER_ID_MISMATCH")
    }

    pub(super) fn third_party() -> Self {
        let message = "Auth error from APNS or Web Push Service";
        Self::new(401, "UNAUTHENTICATED", message).fcm("THIRD_PARTY_AUTH_ERROR")
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access \
                       token, login cookie or other valid authentication credential. See \
                       https://developers.google.com/identity/sign-in/web/devconsole-project.";
        Self::new(401, "UNAUTHENTICATED", message).info("ACCESS_TOKEN_EXPIRED", "googleapis.com")
    }

    pub(super) fn permission_denied() -> Self {
        let message =
            "Permission 'cloudmessaging.messages.create' denied on resource (or it may not exist).";
        Self::new(403, "PERMISSION_DENIED", message)
            .info("IAM_PERMISSION_DENIED", "iam.googleapis.com")
    }

    pub(super) fn quota(retry_after: Option<u64>) -> Self {
        let message = "Quota exceeded for quota metric 'Send requests' and limit 'Send requests \
                       per minute' of service 'fcm.googleapis.com'.";
        let mut refusal = Self::new(429, "RESOURCE_EXHAUSTED", message).fcm("QUOTA_EXCEEDED");
        let violation = json!({"subject": "project", "description": "Send requests per minute"});
        refusal.details.push(json!({"@type": QUOTA_FAILURE, "violations": [violation]}));
        refusal.retry_after = retry_after;
        refusal
    }

    pub(super) fn unavailable(retry_after: Option<u64>) -> Self {
        let message = "The service is currently unavailable.";
        Self { retry_after, ..Self::new(503, "UNAVAILABLE", message).fcm("UNAVAILABLE") }
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "INTERNAL", "Internal error encountered.").fcm("INTERNAL")
    }

    pub(super) fn html_502() -> Self {
        Self { html: true, ..Self::new(502, "BAD_GATEWAY", "Bad Gateway") }
    }

    pub(super) fn no_such_method() -> Self {
        Self::new(404, "NOT_FOUND", "Method not found.")
    }

    /// Answer to every send in a mode.
    pub(super) fn of_status(status: u16, retry_after: Option<u64>) -> Self {
        let refusal = match status {
            400 => Self::new(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
            401 => Self::unauthenticated(),
            403 => Self::permission_denied(),
            404 => Self::new(404, "NOT_FOUND", "Requested entity was not found."),
            429 => Self::quota(None),
            502 => Self::html_502(),
            503 => Self::unavailable(None),
            500 => Self::internal(),
            other => Self::new(other, "UNKNOWN", "Unknown Error."),
        };
        Self { retry_after, ..refusal }
    }

    /// The status and the code, for counting.
    pub(super) fn summary(&self) -> String {
        let fcm = self.details.iter().find_map(|detail| detail["errorCode"].as_str());
        format!("{} {}", self.status, fcm.unwrap_or(self.code))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = if self.html {
            let page = "<!DOCTYPE html>\n<html lang=en>\n\
                        <title>Error 502 (Server Error)!!1</title>\n\
                        <p><b>502.</b> <ins>That’s an error.</ins>\n\
                        <p>The server encountered a temporary error and could not complete your \
                        request.\n";
            (status, Html(page)).into_response()
        } else {
            let mut error =
                json!({"code": self.status, "message": self.message, "status": self.code});
            if !self.details.is_empty() {
                error["details"] = Value::Array(self.details);
            }
            (status, Json(json!({ "error": error }))).into_response()
        };
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
