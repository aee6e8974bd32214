//! The page, and the way from it to the services.
//!
//! The browser talks to this origin only. The proxy stands where an API gateway stands in
//! production: it takes away the identity headers a client may have set and puts the ones of the
//! chosen demo user in their place.

mod proxy;

use axum::{
    Json, Router,
    http::{HeaderName, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use shared::http::{
    AllowedOrigins,
    guard::{AllowedHosts, Guard, refuse_other_sites},
};
use tokio_util::sync::CancellationToken;

use crate::banner::Banner;
use proxy::Proxy;

/// The user whom the page speaks for until another is chosen, and the address that e-mail goes to.
pub(crate) const DEMO_USER: (&str, &str) = ("demo", "demo@example.com");

const PAGE: &str = include_str!("console/page.html");
const STYLE: &str = include_str!("console/page.css");
const SCRIPTS: [(&str, &str); 3] = [
    ("/shared.js", include_str!("console/shared.js")),
    ("/arrived.js", include_str!("console/arrived.js")),
    ("/page.js", include_str!("console/page.js")),
];

/// Nothing is loaded from elsewhere. Inline styles are what an e-mail's body is made of; its frame
/// inherits this policy.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The routes of the console.
pub(crate) fn routes(banner: &Banner, started_at: String, shutdown: CancellationToken) -> Router {
    let session = session(banner, started_at);
    let proxy = Proxy::new(banner, shutdown);
    // The console acts for a user without asking for a password: only its own page may ask it to.
    let guard = Guard::new(AllowedHosts::loopback(), AllowedOrigins::None);
    let scripts = SCRIPTS.into_iter().fold(Router::new(), |router, (path, text)| {
        router.route(path, get(async || asset("text/javascript; charset=utf-8", text)))
    });
    scripts
        .route("/", get(async || asset("text/html; charset=utf-8", PAGE)))
        .route("/page.css", get(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/api/session", get(async move || Json(session)))
        .fallback(proxy::forward)
        .with_state(proxy)
        .layer(from_fn_with_state(guard, refuse_other_sites))
}

/// What the page has to know of the process. A message's sequence number means something within one
/// start only.
fn session(banner: &Banner, started_at: String) -> Value {
    let (id, email) = DEMO_USER;
    let commands: Vec<_> = banner
        .commands()
        .into_iter()
        .map(|(about, command)| json!({"about": about, "command": command}))
        .collect();
    json!({
        "startedAt": started_at,
        "user": {"id": id, "email": email},
        "addresses": {
            "reminder-service": format!("http://{}", banner.reminder),
            "notification-service": format!("http://{}", banner.notification),
            "event-service": format!("http://{}", banner.event),
        },
        "commands": commands,
    })
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ];
    (headers, text).into_response()
}
