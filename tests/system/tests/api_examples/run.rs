//! Makes the calls of the document, one after the other, and compares the answers.

use serde_json::Value;
use support::{eventually, http};
use system::{House, LIMIT, Service};

use crate::{
    description::{self, Description},
    document::{Answer, Example, Request},
    pattern::Known,
    stream::Stream,
};

/// Who calls, unless the example says otherwise.
const IDENTITY: [(&str, &str); 2] =
    [("X-Authenticated-Userid", "ada"), ("X-Consumer-Username", "ada@example.com")];

struct Runner<'a> {
    house: &'a House,
    client: reqwest::Client,
    descriptions: [Description; 3],
    known: Known,
}

/// What was answered.
struct Answered {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

/// Makes every call. A stream is open while the call after it is made, and read then.
///
/// # Panics
/// When an answer is not the documented one, with its place in the document.
pub(crate) async fn all(house: &House, examples: &[Example]) {
    let (client, descriptions) = (http::plain(), description::all());
    let mut runner = Runner { house, client, descriptions, known: Known::default() };
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
    /// Makes a call until it is answered as documented. What changes something is made once, but
    /// for a 409: then its time has not come.
    async fn call(&mut self, example: &Example) {
        let Example { request, answer, .. } = example;
        if request.body.contains("{soon}") {
            self.known.renew_soon();
        }
        self.known = eventually(LIMIT, async || {
            let answered = self.answered(example).await;
            let compared = answer.compare(&self.known, &answered);
            let waits = request.method == "GET" || (answered.status == 409 && answer.status != 409);
            match compared {
                Ok(known) => Ok(known),
                Err(how) => {
                    let how = format!(
                        "{request}\n  {how}\n  answered: {} {}",
                        answered.status, answered.body
                    );
                    assert!(waits, "{how}");
                    Err(how)
                }
            }
        })
        .await;
    }

    async fn answered(&self, example: &Example) -> Answered {
        let response = self.sent(example).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body =
            response.text().await.unwrap_or_else(|error| panic!("{}: {error:?}", example.request));
        Answered { status, headers, body }
    }

    async fn sent(&self, example: &Example) -> reqwest::Response {
        let Request { method, path, headers, body, .. } = &example.request;
        let service =
            description::chosen(&self.descriptions, &example.section, method, path).map(|it| it.0);
        let service = service.unwrap_or_else(|| panic!("{}: no service has it", example.request));
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
        self.house.processes(service)[0].rest_url()
    }

    /// Opens a stream.
    async fn open(&self, example: &Example) -> Stream {
        let response = self.sent(example).await;
        assert_eq!(response.status().as_u16(), example.answer.status, "{}", example.request);
        Stream::new(response)
    }

    /// Reads a stream until the documented events came, in their order, and closes it.
    async fn read(&mut self, example: &Example, mut stream: Stream) {
        for documented in example.answer.body.split("\n\n") {
            let found = stream.find(documented, &self.known);
            let found = tokio::time::timeout(LIMIT, found).await;
            self.known = found.unwrap_or_else(|_| {
                panic!("{}: no such event came: {documented}", example.request)
            });
        }
    }
}

impl Answer {
    /// What is known after an answer that is as documented.
    ///
    /// # Errors
    /// How it differs.
    fn compare(&self, known: &Known, answered: &Answered) -> Result<Known, String> {
        let mut known = known.clone();
        if self.status != answered.status {
            return Err(format!("documented {}, answered {}", self.status, answered.status));
        }
        for (name, documented) in &self.headers {
            let value =
                answered.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
            known.match_text(documented, value).map_err(|how| format!("{name}: {how}"))?;
        }
        match serde_json::from_str::<Value>(&self.body) {
            Ok(documented) => {
                let answered = serde_json::from_str(&answered.body)
                    .map_err(|error| format!("no JSON: {error}"))?;
                known.match_json(&documented, &answered)?;
            }
            Err(_) => {
                let (documented, lines) = (self.body.lines(), answered.body.lines());
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
