//! The committed descriptions of the three APIs.

use serde_json::Value;
use system::Service;

/// The section of the document that is about event-service; all others are about the public services.
const OPERATORS: &str = "Operators";
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What a service says of its API.
pub(crate) struct Description {
    pub(crate) service: Service,
    openapi: Value,
}

/// Those of the three services that have an API.
pub(crate) fn all() -> [Description; 3] {
    let read = |service, text| Description { service, openapi: serde_json::from_str(text).expect("openapi.json is JSON") };
    [
        read(Service::Reminders, include_str!("../../../../reminder-service/openapi.json")),
        read(Service::Notifications, include_str!("../../../../notification-service/openapi.json")),
        read(Service::Events, include_str!("../../../../event-service/openapi.json")),
    ]
}

/// The service and the path template that a call in a section of the document is meant for. Paths that two services have
/// are the operators' in their section and the public ones elsewhere.
pub(crate) fn chosen(descriptions: &[Description], section: &str, method: &str, path: &str) -> Option<(Service, String)> {
    let mut found: Vec<_> = descriptions.iter().filter_map(|it| Some((it.service, it.template(method, path)?))).collect();
    found.retain(|(service, _)| section == OPERATORS || *service != Service::Events);
    found.sort_by_key(|(service, _)| *service != Service::Events);
    found.into_iter().next()
}

impl Description {
    /// Every operation: its method and its path template.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (String, String)> {
        self.all().map(|(method, path, _)| (method.to_uppercase(), path.to_owned()))
    }

    /// The template of a call's path; one with fewer parameters goes before one with more.
    fn template(&self, method: &str, path: &str) -> Option<String> {
        let path = path.split('?').next().unwrap_or_default();
        let fitting = self.operations().filter(|(known, template)| known == method && fits(template, path));
        fitting.map(|(_, template)| template).min_by_key(|template| template.matches('{').count())
    }

    /// The places of the JSON bodies, asked or answered, that have no example.
    pub(crate) fn bodies_without_example(&self) -> Vec<String> {
        let mut without = Vec::new();
        for (method, path, operation) in self.all() {
            let answers = operation["responses"].as_object().into_iter().flatten();
            let places = [("body", &operation["requestBody"])].into_iter().chain(answers.map(|(status, it)| (status.as_str(), it)));
            for (place, body) in places {
                let json = &body["content"]["application/json"];
                if json.is_object() && !self.has_example(json) {
                    without.push(format!("{}: {method} {path}: {place}", self.service.binary()));
                }
            }
        }
        without
    }

    fn all(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.openapi["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, item)| {
            METHODS.into_iter().filter_map(move |method| Some((method, path.as_str(), item.get(method)?)))
        })
    }

    /// Whether a media type or its schema, or what that refers to, has an example; `null` needs none.
    fn has_example(&self, body: &Value) -> bool {
        let is_there = |it: &Value| it.get("example").is_some() || it.get("examples").is_some();
        let schema = &body["schema"];
        let alternatives = schema["oneOf"].as_array().map_or_else(|| vec![schema], |it| it.iter().collect());
        let has_one = |schema: &Value| is_there(schema) || schema["type"] == "null" || is_there(self.referred(schema));
        is_there(body) || alternatives.into_iter().all(has_one)
    }

    fn referred(&self, schema: &Value) -> &Value {
        let pointer = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
        pointer.and_then(|it| self.openapi.pointer(it)).unwrap_or(&Value::Null)
    }
}

/// Whether a path is one of a template.
fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(known), Some(given)) if known == given || (known.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}
