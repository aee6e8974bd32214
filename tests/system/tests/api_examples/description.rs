//! The committed descriptions of the three APIs.

use serde_json::Value;
use system::Service;

use crate::schema;

/// The sections of the document that are about another service than reminder-service.
const SECTIONS: [(&str, Service); 4] = [
    ("Devices", Service::Notifications),
    ("Preferences", Service::Notifications),
    ("Deliveries", Service::Notifications),
    ("Operators", Service::Events),
];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What a service says of its API.
pub(crate) struct Description {
    pub(crate) service: Service,
    openapi: Value,
}

/// Those of the three services that have an API.
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

/// The service and the path template that a call in a section of the document is meant for: the
/// section's own service goes before the public ones, and event-service is for its own section
/// alone.
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
    let having =
        descriptions.iter().filter_map(|it| Some((it.service, it.template(method, path)?)));
    having
        .filter(|(service, _)| *service == own || *service != Service::Events)
        .min_by_key(|it| it.0 != own)
}

impl Description {
    /// Every operation: its method and its path template.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (String, String)> {
        self.all().map(|(method, path, _)| (method.to_uppercase(), path.to_owned()))
    }

    /// The template of a call's path; one with fewer parameters goes before one with more.
    fn template(&self, method: &str, path: &str) -> Option<String> {
        let path = path.split('?').next().unwrap_or_default();
        let fitting =
            self.operations().filter(|(known, template)| known == method && fits(template, path));
        fitting.map(|(_, template)| template).min_by_key(|template| template.matches('{').count())
    }

    /// The JSON bodies, asked or answered, whose description has no example, or one that is not of
    /// their schema.
    pub(crate) fn bodies_without_example(&self) -> Vec<String> {
        let mut without = Vec::new();
        for (method, path, operation) in self.all() {
            let answers = operation["responses"].as_object().into_iter().flatten();
            let answers = answers.map(|(status, answer)| (status.as_str(), answer));
            for (place, body) in [("body", &operation["requestBody"])].into_iter().chain(answers) {
                let json = &body["content"]["application/json"];
                if let Err(how) = self.exemplified(json) {
                    without.push(format!(
                        "{}: {method} {path}: {place}: {how}",
                        self.service.binary()
                    ));
                }
            }
        }
        without
    }

    /// Whether a body, if there is one, has examples that are of its schema.
    fn exemplified(&self, body: &Value) -> Result<(), String> {
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

    /// The examples of a media type, or else of its schema, or else of what that refers to.
    fn examples<'a>(&'a self, body: &'a Value) -> Vec<&'a Value> {
        let schema = &body["schema"];
        let alternatives = schema["oneOf"].as_array().into_iter().flatten();
        let referred = alternatives.chain([schema]).filter_map(|it| {
            let pointer = it["$ref"].as_str()?.strip_prefix('#')?;
            self.openapi.pointer(pointer)
        });
        let named = body["examples"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, it)| it.get("value"));
        let places = [body, schema].into_iter().chain(referred);
        named.chain(places.filter_map(|it| it.get("example"))).collect()
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

/// Whether a path is one of a template.
fn fits(template: &str, path: &str) -> bool {
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
