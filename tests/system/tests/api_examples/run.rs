//! Sends the requests of the document in order, and compares the answers.

use serde_json::Value;
use support::{http, wait_until};
use system::{LIMIT, Service, TestSuite};

use crate::{
    description::{self, Description},
    document::{Answer, Example, Request},
    pattern::Known,
    stream::Stream,
};

/// Identity of the caller, unless the example has another one.
const IDENTITY: [(&str, &str); 2] =
    [("X-Authenticated-Userid", "ada"), ("X-Consumer-Username", "ada@example.com")];

struct Runner<'a> {
    suite: &'a TestSuite,
    client: reqwest::Client,
    descriptions: [Description; 3],
    known: Known,
}

/// An answer of a service.
struct Actual {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

/// Sends all requests. A stream is opened, and read after the next request.
///
/// # Panics
/// If an answer differs from the documented one; the message contains its line in the document.
pub(crate) async fn all(suite: &TestSuite, examples: &[Example]) {
    let (client, descriptions) = (http::plain(), description::all());
    let mut runner = Runner { suite, client, descriptions, known: Known::default() };
    let mut open = None;
    for example in examples {
        let opened = if example.is_stream() {
            Some((example, runner.open(example).await))
        } else {
            runner.call(example).await;
            None
        };
        if let Some((example, stream)) = std::mem::replace(&mut open, opened) {
            runner.read(example, stream).await;
        }
    }
    if let Some((example, stream)) = open {
        runner.read(example, stream).await;
    }
}

impl Runner<'_> {
    /// Repeats a GET until it is answered as documented. Other requests are sent once, and repeated
    /// only after a 409: their time has not come yet.
    async fn call(&mut self, example: &Example) {
        let Example { request, answer, .. } = example;
        if request.body.contains("{soon}") {
            self.known.renew_soon();
        }
        self.known = wait_until(LIMIT, async || {
            let actual = self.actual(example).await;
            let compared = answer.compare(&self.known, &actual);
            let is_repeatable =
                request.method == "GET" || (actual.status == 409 && answer.status != 409);
            match compared {
                Ok(known) => Ok(known),
                Err(difference) => {
                    let report = format!(
                        "{request}\n  {difference}\n  answered: {} {}",
                        actual.status, actual.body
                    );
                    assert!(is_repeatable, "{report}");
                    Err(report)
                }
            }
        })
        .await;
    }

    async fn actual(&self, example: &Example) -> Actual {
        let response = self.sent(example).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body =
            response.text().await.unwrap_or_else(|error| panic!("{}: {error:?}", example.request));
        Actual { status, headers, body }
    }

    async fn sent(&self, example: &Example) -> reqwest::Response {
        let Request { method, path, headers, body, .. } = &example.request;
        let service = description::chosen(&self.descriptions, &example.section, method, path);
        let service = service.map(|(service, _)| service);
        let service =
            service.unwrap_or_else(|| panic!("{}: no service has this operation", example.request));
        let url = format!("{}{}", self.base(service), self.known.filled(path));
        let mut request = self.client.request(method.parse().expect("a method"), url);
        let is_given =
            |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if service == Service::Events && !is_given("authorization") {
            request = request.bearer_auth(system::OPERATOR_TOKEN);
        }
        for (name, value) in IDENTITY.into_iter().filter(|(name, _)| !is_given(name)) {
            request = request.header(name, value);
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(name, self.known.filled(value));
        }
        if !body.is_empty() {
            let body = self.known.filled(body);
            request = if is_given("content-type") {
                // Every line of a calendar file ends with CR LF.
                request.body(format!("{body}\n").replace('\n', "\r\n"))
            } else {
                request.header("content-type", "application/json").body(body)
            };
        }
        request.send().await.unwrap_or_else(|error| panic!("{}: {error:?}", example.request))
    }

    fn base(&self, service: Service) -> String {
        self.suite.processes(service)[0].rest_url()
    }

    /// Opens a stream.
    async fn open(&self, example: &Example) -> Stream {
        let response = self.sent(example).await;
        assert_eq!(response.status().as_u16(), example.answer.status, "{}", example.request);
        Stream::new(response)
    }

    /// Reads a stream until the documented events have arrived in their order, and closes it.
    async fn read(&mut self, example: &Example, mut stream: Stream) {
        for documented in example.answer.body.split("\n\n") {
            let found = stream.find(documented, &self.known);
            let found = tokio::time::timeout(LIMIT, found).await;
            self.known = found.unwrap_or_else(|_| {
                panic!("{}: this event did not arrive: {documented}", example.request)
            });
        }
    }
}

impl Answer {
    /// Compares an answer, and returns the values that are known afterwards.
    ///
    /// # Errors
    /// If the answer differs.
    fn compare(&self, known: &Known, actual: &Actual) -> Result<Known, String> {
        let mut known = known.clone();
        if self.status != actual.status {
            return Err(format!("documented {}, answered {}", self.status, actual.status));
        }
        for (name, documented) in &self.headers {
            let value =
                actual.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            known
                .match_text(documented, value)
                .map_err(|difference| format!("{name}: {difference}"))?;
        }
        match serde_json::from_str::<Value>(&self.body) {
            Ok(documented) => {
                let answered = serde_json::from_str(&actual.body)
                    .map_err(|error| format!("not JSON: {error}"))?;
                known.match_json(&documented, &answered)?;
            }
            Err(_) => {
                let (documented, lines) = (self.body.lines(), actual.body.lines());
                let count = lines.clone().count();
                if documented.clone().count() != count {
                    return Err(format!("{count} lines were answered"));
                }
                documented
                    .zip(lines)
                    .try_for_each(|(documented, line)| known.match_text(documented, line))?;
            }
        }
        Ok(known)
    }
}
