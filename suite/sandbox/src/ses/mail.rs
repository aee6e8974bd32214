//! E-mails from requests.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::{Address, HeaderValue, Message, MessageParser};
use serde_json::{Value, json};

use super::{Form, Outgoing, error::Fault, members, required};
use crate::Email;

/// `SendRawEmail`: a MIME message.
pub(super) fn raw(form: &Form) -> Result<Outgoing, Fault> {
    let invalid = |why: &str| Fault::sender("InvalidParameterValue", why);
    let encoded = required(form, "RawMessage.Data")?;
    let source = STANDARD.decode(encoded).map_err(|_| invalid("The raw message is not base64."))?;
    let message = MessageParser::default()
        .parse(&source)
        .ok_or_else(|| invalid("Missing final '@domain'"))?;
    let mut email = read(&message);
    // The envelope's recipients are the ones given with the request, else those in the headers.
    let destinations = members(form, "Destinations");
    if !destinations.is_empty() {
        email.to = destinations;
    }
    if let Some(source) = form.get("Source") {
        email.from.clone_from(source);
    }
    if email.from.is_empty() {
        return Err(invalid("Missing required header 'From'."));
    }
    email.configuration_set = form.get("ConfigurationSetName").cloned();
    let raw = Value::String(String::from_utf8_lossy(&source).into_owned());
    Ok(Outgoing { email, raw, unrenderable: false })
}

/// `SendEmail`: subject and bodies as parameters.
pub(super) fn simple(form: &Form) -> Result<Outgoing, Fault> {
    let (text, html) = (form.get("Message.Body.Text.Data"), form.get("Message.Body.Html.Data"));
    if text.is_none() && html.is_none() {
        return Err(Fault::sender(
            "ValidationError",
            "The message has neither a text nor an HTML body.",
        ));
    }
    let email = Email {
        subject: required(form, "Message.Subject.Data")?.to_owned(),
        text: text.cloned(),
        html: html.cloned(),
        ..envelope(form)?
    };
    Ok(Outgoing { email, raw: json!(form), unrenderable: false })
}

/// Sender and recipients of a request without a MIME message.
pub(super) fn envelope(form: &Form) -> Result<Email, Fault> {
    let lists = ["Destination.ToAddresses", "Destination.CcAddresses", "Destination.BccAddresses"];
    Ok(Email {
        from: required(form, "Source")?.to_owned(),
        to: lists.into_iter().flat_map(|list| members(form, list)).collect(),
        configuration_set: form.get("ConfigurationSetName").cloned(),
        ..Email::default()
    })
}

fn read(message: &Message<'_>) -> Email {
    let headers = message.headers().iter();
    Email {
        from: addresses(message.from()).into_iter().next().unwrap_or_default(),
        to: [message.to(), message.cc(), message.bcc()].into_iter().flat_map(addresses).collect(),
        subject: message.subject().unwrap_or_default().to_owned(),
        text: own_text(message),
        html: own_html(message),
        headers: headers
            .map(|header| (header.name().to_owned(), decoded(header.value())))
            .collect::<BTreeMap<_, _>>(),
        configuration_set: None,
        template: None,
    }
}

/// The plain text part. The parser would derive one from the HTML part if there is none.
fn own_text(message: &Message<'_>) -> Option<String> {
    let part = message.text_part(0)?;
    if part.is_text_html() { None } else { part.text_contents().map(str::to_owned) }
}

/// The HTML part. The parser would derive one from the plain text if there is none.
fn own_html(message: &Message<'_>) -> Option<String> {
    let part = message.html_part(0)?;
    if part.is_text_html() { part.text_contents().map(str::to_owned) } else { None }
}

fn addresses(list: Option<&Address<'_>>) -> Vec<String> {
    let all = list.into_iter().flat_map(Address::iter);
    all.filter_map(|one| one.address().map(str::to_owned)).collect()
}

fn decoded(value: &HeaderValue<'_>) -> String {
    match value {
        HeaderValue::Text(text) => text.to_string(),
        HeaderValue::TextList(texts) => texts.join(", "),
        HeaderValue::Address(address) => {
            let named = address.iter().map(|one| match (one.name(), one.address()) {
                (Some(name), Some(address)) => format!("{name} <{address}>"),
                (_, address) => address.unwrap_or_default().to_owned(),
            });
            named.collect::<Vec<_>>().join(", ")
        }
        HeaderValue::DateTime(date) => date.to_rfc822(),
        HeaderValue::ContentType(kind) => match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        },
        HeaderValue::Received(_) | HeaderValue::Empty => String::new(),
    }
}
