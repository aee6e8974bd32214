//! The committed OpenAPI documents of the three APIs.

use serde_json::Value;
use system::Service;

use crate::schema;

/// Sections of the document about another service than reminder-service.
const SECTIONS: [(&str, Service); 4] = [
    ("Devices", Service::Notifications),
    ("Preferences", Service::Notifications),
    ("Deliveries", Service::Notifications),
    ("Operators", Service::Events),
];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// OpenAPI document of a service.
pub(crate) struct Description {
    pub(crate) service: Service,
    openapi: Value,
}

/// Reads the OpenAPI documents of the three services that have an API.
pub(crate) fn all() -> [Description; 3] {
    let read = |service, text| Description {
        service,
        openapi: serde_json::from_str(text).expect("openapi.json is JSON"),
    };
    [
        read(Service::Reminders, include_str!("../../../../reminder-service/openapi.json")),
        read(Service::Notifications, include_str!("../../../../notification-service/openapi.json")),
        read(Service::Events, include_str!("../../../../event-service/openapi.json")),
    ]
}

/// Returns the service and the path template of a call in a section of the document. The section's
/// own service has precedence over the public ones; event-service applies to its own section only.
pub(crate) fn chosen(
    descriptions: &[Description],
    section: &str,
    method: &str,
    path: &str,
) -> Option<(Service, String)> {
    let own = SECTIONS
        .iter()
        .find(|(name, _)| *name == section)
        .map_or(Service::Reminders, |(_, service)| *service);
    let matching =
        descriptions.iter().filter_map(|api| Some((api.service, api.template(method, path)?)));
    matching
        .filter(|(service, _)| *service == own || *service != Service::Events)
        .min_by_key(|(service, _)| *service != own)
}

impl Description {
    /// All operations: method and path template.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (String, String)> {
        self.all().map(|(method, path, _)| (method.to_uppercase(), path.to_owned()))
    }

    /// Returns the template that matches a path. A template with fewer parameters has precedence.
    fn template(&self, method: &str, path: &str) -> Option<String> {
        let path = path.split('?').next().unwrap_or_default();
        let matching = self
            .operations()
            .filter(|(known, template)| known == method && matches(template, path));
        matching.map(|(_, template)| template).min_by_key(|template| template.matches('{').count())
    }

    /// Lists the JSON bodies, of requests and answers, that have no example, or one that violates
    /// their schema.
    pub(crate) fn bodies_without_example(&self) -> Vec<String> {
        let mut without = Vec::new();
        for (method, path, operation) in self.all() {
            let answers = operation["responses"].as_object().into_iter().flatten();
            let answers = answers.map(|(status, answer)| (status.as_str(), answer));
            for (place, body) in [("body", &operation["requestBody"])].into_iter().chain(answers) {
                let json = &body["content"]["application/json"];
                if let Err(difference) = self.check_examples(json) {
                    without.push(format!(
                        "{}: {method} {path}: {place}: {difference}",
                        self.service.binary()
                    ));
                }
            }
        }
        without
    }

    /// Checks that a body, if there is one, has examples that match its schema.
    fn check_examples(&self, body: &Value) -> Result<(), String> {
        if body.is_null() {
            return Ok(());
        }
        let examples = self.examples(body);
        if examples.is_empty() {
            return Err("there is no example".to_owned());
        }
        examples
            .into_iter()
            .try_for_each(|example| schema::fits(&self.openapi, &body["schema"], example))
    }

    /// Returns the examples of a media type, of its schema, and of the schemas that it refers to.
    fn examples<'a>(&'a self, body: &'a Value) -> Vec<&'a Value> {
        let schema = &body["schema"];
        let alternatives = schema["oneOf"].as_array().into_iter().flatten();
        let referred = alternatives.chain([schema]).filter_map(|schema| {
            let pointer = schema["$ref"].as_str()?.strip_prefix('#')?;
            self.openapi.pointer(pointer)
        });
        let named = body["examples"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, example)| example.get("value"));
        let places = [body, schema].into_iter().chain(referred);
        named.chain(places.filter_map(|place| place.get("example"))).collect()
    }

    fn all(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.openapi["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, item)| {
            METHODS
                .into_iter()
                .filter_map(move |method| Some((method, path.as_str(), item.get(method)?)))
        })
    }
}

/// Returns `true` if a path matches a template.
fn matches(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(known), Some(given))
                if known == given || (known.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}
