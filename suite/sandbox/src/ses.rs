//! Amazon SES, API version 2010-12-01: form posts to `/`, XML answers.
//!
//! The calls of a sender: `SendRawEmail`, `SendEmail`, `SendTemplatedEmail`, `GetSendQuota`, and
//! those that store templates. See the Amazon Simple Email Service API Reference.

mod behaviour;
mod error;
mod mail;
mod template;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::State as Shared,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, header::AUTHORIZATION, header::CONTENT_TYPE};
use serde_json::Value;
use uuid::Uuid;

pub use behaviour::Behaviour;
use error::Fault;
pub(crate) use template::Templates;

use crate::{
    Email, SesMode,
    capture::{Attempt, Kind},
    sandbox::State,
    server,
};

const NAMESPACE: &str = "http://ses.amazonaws.com/doc/2010-12-01/";
/// Default answers of `GetSendQuota`: those of an account that has just left SES's own sandbox.
const MAX_SEND_RATE: u32 = 14;
const MAX_24_HOUR_SEND: u32 = 50_000;

/// Parameters of a request.
type Form = BTreeMap<String, String>;

/// An e-mail to send.
#[derive(Debug)]
struct Outgoing {
    email: Email,
    raw: Value,
    /// `true` if a template variable is missing: the request is answered with an id, and not sent.
    unrenderable: bool,
}

/// `POST /`.
pub(crate) async fn query(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at = Utc::now();
    let mode = state.mode();
    if mode.ses.down {
        return server::broken();
    }
    if mode.ses.hang {
        return server::unanswered().await;
    }
    let form: Form = url::form_urlencoded::parse(&body).into_owned().collect();
    let action = form.get("Action").cloned().unwrap_or_default();
    let answer = if headers.contains_key(AUTHORIZATION) {
        answer(&state, &mode.ses, &action, &form, at).await
    } else {
        Err(Fault::missing_authentication())
    };
    tokio::time::sleep(Duration::from_millis(mode.ses.latency_ms)).await;
    match answer {
        Ok(result) => xml(&action, &result),
        Err(fault) => fault.into_response(),
    }
}

/// Returns the content of the action's result element.
async fn answer(
    state: &State,
    mode: &SesMode,
    action: &str,
    form: &Form,
    at: DateTime<Utc>,
) -> Result<String, Fault> {
    match action {
        "SendRawEmail" | "SendEmail" | "SendTemplatedEmail" => {
            send(state, mode, action, form, at).await
        }
        "GetSendQuota" => Ok(quota(state, mode)),
        "CreateTemplate" | "UpdateTemplate" | "GetTemplate" | "DeleteTemplate" => {
            state.templates.call(action, form)
        }
        "" => Err(Fault::sender("MissingAction", "The request must contain the parameter Action")),
        other => Err(Fault::sender(
            "InvalidAction",
            &format!("Could not find operation {other} for version 2010-12-01"),
        )),
    }
}

async fn send(
    state: &State,
    mode: &SesMode,
    action: &str,
    form: &Form,
    at: DateTime<Utc>,
) -> Result<String, Fault> {
    let outgoing = match action {
        "SendRawEmail" => mail::raw(form),
        "SendEmail" => mail::simple(form),
        _ => state.templates.outgoing(form),
    };
    let address = outgoing
        .as_ref()
        .ok()
        .and_then(|outgoing| outgoing.email.to.first().cloned())
        .unwrap_or_default();
    let answer = match (Fault::of_mode(mode), outgoing) {
        (Some(fault), _) => Err(fault),
        (None, Err(fault)) => Err(fault),
        (None, Ok(outgoing)) => deliver(state, outgoing, at).await,
    };
    let summary = answer.as_ref().map_or_else(Fault::summary, |_| "200".to_owned());
    state.store.answered(Attempt {
        at,
        kind: "email",
        address,
        answer: summary,
        validate_only: false,
    });
    answer.map(|id| format!("<MessageId>{id}</MessageId>"))
}

/// Behaves as the recipients select; the first that selects a behaviour decides.
async fn deliver(state: &State, outgoing: Outgoing, at: DateTime<Utc>) -> Result<String, Fault> {
    if outgoing.email.to.is_empty() {
        return Err(Fault::sender("InvalidParameterValue", "Missing required header 'To'."));
    }
    let wishes = outgoing.email.to.iter().map(|address| (address, Behaviour::of(address)));
    let wish = wishes.clone().find(|(_, behaviour)| *behaviour != Behaviour::Works);
    let mut hold = Duration::ZERO;
    if let Some((address, behaviour)) = wish {
        if let Some(fault) = behaviour.fault(address, &state.sends) {
            return Err(fault);
        }
        if let Behaviour::Slow(delay) = behaviour {
            hold = delay;
        }
    }
    let id = format!("{}-000000", Uuid::now_v7());
    if outgoing.unrenderable {
        state.store.count(|stats| stats.rendering_failures += 1);
    } else {
        state.store.accept(at, id.clone(), Kind::Email(outgoing.email), outgoing.raw);
    }
    tokio::time::sleep(hold).await;
    Ok(id)
}

fn quota(state: &State, mode: &SesMode) -> String {
    state.store.count(|stats| stats.quotas_read += 1);
    let sent = state.store.stats().accepted.get("email").copied().unwrap_or(0);
    let rate = mode.max_send_rate.unwrap_or(MAX_SEND_RATE);
    let max = mode.max_24_hour_send.unwrap_or(MAX_24_HOUR_SEND);
    format!(
        "<Max24HourSend>{max}.0</Max24HourSend><MaxSendRate>{rate}.0</MaxSendRate>\
         <SentLast24Hours>{sent}.0</SentLast24Hours>"
    )
}

fn xml(action: &str, result: &str) -> Response {
    let id = Uuid::now_v7();
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
    );
    ([(CONTENT_TYPE, "text/xml")], body).into_response()
}

/// The values of a list parameter: `{prefix}.member.1`, `{prefix}.member.2` and so on.
fn members(form: &Form, prefix: &str) -> Vec<String> {
    (1..).map_while(|n| form.get(&format!("{prefix}.member.{n}")).cloned()).collect()
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, Fault> {
    let missing = || {
        Fault::sender(
            "ValidationError",
            &format!(
                "Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ),
        )
    };
    form.get(name).map(String::as_str).filter(|value| !value.is_empty()).ok_or_else(missing)
}

/// Escapes text for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
