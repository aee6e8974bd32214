//! The console: a web page, and a proxy from it to the services.
//!
//! The browser talks to this origin only. The proxy has the role of the API gateway in production:
//! it removes identity headers of the client, and sets those of the selected user.

mod proxy;

use axum::{
    Json, Router,
    http::{HeaderName, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use proxy::Proxy;
use serde_json::{Value, json};
use service::http::{
    AllowedOrigins,
    guard::{AllowedHosts, Guard, refuse_other_sites},
};
use tokio_util::sync::CancellationToken;

use crate::banner::Banner;

/// User id and e-mail address that the page uses until another user is selected.
pub(crate) const DEMO_USER: (&str, &str) = ("demo", "demo@example.com");

const PAGE: &str = include_str!("console/page.html");
const STYLE: &str = include_str!("console/page.css");
const SCRIPTS: [(&str, &str); 3] = [
    ("/shared.js", include_str!("console/shared.js")),
    ("/messages.js", include_str!("console/messages.js")),
    ("/page.js", include_str!("console/page.js")),
];

/// Content security policy: nothing is loaded from other origins. Inline styles are allowed because
/// the frame that shows the HTML of an e-mail inherits the policy.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; frame-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Builds the routes of the console.
pub(crate) fn routes(banner: &Banner, started_at: String, shutdown: CancellationToken) -> Router {
    let session = session(banner, started_at);
    let proxy = Proxy::new(banner, shutdown);
    // The console acts for any user without a password, so only its own page may call it.
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

/// Data of the process that the page needs. The start time is part of it, since the sequence
/// numbers of messages begin again with each start.
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
