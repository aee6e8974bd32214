//! Templates in memory, with variables `{{name}}` or `{{outer.inner}}`.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use super::{Form, Outgoing, error::Fault, escaped, mail, required};
use crate::Email;

#[derive(Debug, Clone)]
struct Template {
    subject: String,
    text: Option<String>,
    html: Option<String>,
}

/// Templates of the account.
#[derive(Debug, Default)]
pub(crate) struct Templates(Mutex<HashMap<String, Template>>);

impl Templates {
    /// `CreateTemplate`, `UpdateTemplate`, `GetTemplate`, `DeleteTemplate`.
    pub(super) fn call(&self, action: &str, form: &Form) -> Result<String, Fault> {
        let name_field = if action.starts_with("Get") || action.starts_with("Delete") {
            ""
        } else {
            "Template."
        };
        let name = required(form, &format!("{name_field}TemplateName"))?.to_owned();
        let mut templates = self.lock();
        match action {
            "GetTemplate" => {
                let template = templates.get(&name).ok_or_else(|| missing(&name))?;
                Ok(shown(&name, template))
            }
            "DeleteTemplate" => {
                templates.remove(&name);
                Ok(String::new())
            }
            _ => {
                match (action, templates.contains_key(&name)) {
                    ("CreateTemplate", true) => {
                        let message = format!("Template {name} already exists.");
                        return Err(Fault::sender("AlreadyExists", &message));
                    }
                    ("UpdateTemplate", false) => return Err(missing(&name)),
                    _ => {}
                }
                templates.insert(name, of_form(form)?);
                Ok(String::new())
            }
        }
    }

    /// `SendTemplatedEmail`.
    pub(super) fn outgoing(&self, form: &Form) -> Result<Outgoing, Fault> {
        let name = required(form, "Template")?.to_owned();
        let data: Value = serde_json::from_str(required(form, "TemplateData")?).map_err(|_| {
            Fault::sender("InvalidParameterValue", "Template data is not valid JSON.")
        })?;
        let template = self.lock().get(&name).cloned().ok_or_else(|| missing(&name))?;
        let part = |text: Option<&String>| text.map(|text| rendered(text, &data)).transpose();
        let parts = (
            part(Some(&template.subject)),
            part(template.text.as_ref()),
            part(template.html.as_ref()),
        );
        let envelope = Email { template: Some(name), ..mail::envelope(form)? };
        let raw = json!(form);
        Ok(match parts {
            (Ok(subject), Ok(text), Ok(html)) => {
                let email = Email { subject: subject.unwrap_or_default(), text, html, ..envelope };
                Outgoing { email, raw, unrenderable: false }
            }
            _ => Outgoing { email: envelope, raw, unrenderable: true },
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Template>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_form(form: &Form) -> Result<Template, Fault> {
    let part = |name: &str| form.get(&format!("Template.{name}")).cloned();
    Ok(Template {
        subject: required(form, "Template.SubjectPart")?.to_owned(),
        text: part("TextPart"),
        html: part("HtmlPart"),
    })
}

fn shown(name: &str, template: &Template) -> String {
    let element = |tag: &str, text: Option<&str>| {
        text.map(|text| format!("<{tag}>{}</{tag}>", escaped(text))).unwrap_or_default()
    };
    let parts = [
        element("TemplateName", Some(name)),
        element("SubjectPart", Some(&template.subject)),
        element("TextPart", template.text.as_deref()),
        element("HtmlPart", template.html.as_deref()),
    ];
    format!("<Template>{}</Template>", parts.concat())
}

fn missing(name: &str) -> Fault {
    Fault::sender("TemplateDoesNotExist", &format!("Template {name} does not exist."))
}

/// A variable that the data does not have.
#[derive(Debug, PartialEq, Eq)]
struct MissingVariable;

fn rendered(template: &str, data: &Value) -> Result<String, MissingVariable> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else { break };
        out.push_str(before);
        let value =
            name.trim().trim_matches(['{', '}']).split('.').fold(data, |value, key| &value[key]);
        match value {
            Value::Null => return Err(MissingVariable),
            Value::String(text) => out.push_str(text),
            other => out.push_str(&other.to_string()),
        }
        rest = after.strip_prefix('}').unwrap_or(after);
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_variables_and_reports_missing_ones() {
        let data = json!({"title": "Tea", "user": {"name": "Ada"}, "n": 3});

        assert_eq!(
            rendered("{{title}} for {{ user.name }}, {{{n}}} cups", &data).unwrap(),
            "Tea for Ada, 3 cups"
        );
        assert_eq!(rendered("{{url}}", &data), Err(MissingVariable));
        assert_eq!(rendered("no {{end", &data).unwrap(), "no {{end");
    }
}
