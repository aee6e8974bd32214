//! Examples of `docs/API.md`: pairs of fenced `http` blocks, a request and its answer.

use std::fmt;

/// A request and its answer.
pub(crate) struct Example {
    /// Heading of the section.
    pub(crate) section: String,
    pub(crate) request: Request,
    pub(crate) answer: Answer,
}

/// A request as written in the document, with placeholders.
pub(crate) struct Request {
    /// Line in the document, from 1.
    pub(crate) line: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// An answer as written in the document.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Example {
    /// Returns `true` if the answer is a stream of events.
    pub(crate) fn is_stream(&self) -> bool {
        self.answer.headers.iter().any(|(_, value)| value == "text/event-stream")
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "docs/API.md:{}: {} {}", self.line, self.method, self.path)
    }
}

struct Block<'a> {
    section: &'a str,
    line: usize,
    text: Vec<&'a str>,
}

/// Reads all examples, in the order of the document.
pub(crate) fn read(document: &str) -> Vec<Example> {
    let blocks = blocks(document);
    assert!(
        !blocks.is_empty() && blocks.len().is_multiple_of(2),
        "requests and answers come in pairs"
    );
    let pairs = blocks.chunks(2).map(|pair| Example {
        section: pair[0].section.to_owned(),
        request: request(&pair[0]),
        answer: answer(&pair[1]),
    });
    pairs.collect()
}

/// Finds the fenced blocks marked `http`.
fn blocks(document: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut section, mut open) = (Vec::new(), "", None::<Block<'_>>);
    for (line, text) in (1..).zip(document.lines()) {
        match (&mut open, text) {
            (None, "```http") => open = Some(Block { section, line: line + 1, text: Vec::new() }),
            (None, _) => section = text.strip_prefix("## ").unwrap_or(section),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), _) => block.text.push(text),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

fn request(block: &Block<'_>) -> Request {
    let (first, headers, body) = parts(block);
    let (method, path) = first
        .split_once(' ')
        .unwrap_or_else(|| panic!("line {}: not a request: {first}", block.line));
    assert!(path.starts_with('/'), "line {}: not a request: {first}", block.line);
    Request { line: block.line, method: method.to_owned(), path: path.to_owned(), headers, body }
}

fn answer(block: &Block<'_>) -> Answer {
    let (first, headers, body) = parts(block);
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|text| text.get(..3)?.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("line {}: not an answer: {first}", block.line)),
        headers,
        body,
    }
}

/// Splits a block into the first line, the headers and the body.
fn parts<'a>(block: &Block<'a>) -> (&'a str, Vec<(String, String)>, String) {
    let mut lines = block.text.iter().copied();
    let first = lines.next().unwrap_or_default();
    let headers = lines.by_ref().take_while(|line| !line.is_empty()).map(|line| {
        let (name, value) = line
            .split_once(':')
            .unwrap_or_else(|| panic!("line {}: not a header: {line}", block.line));
        (name.to_owned(), value.trim().to_owned())
    });
    let headers = headers.collect();
    (first, headers, lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "## Reminders\n```json\n{}\n```\n\
                            ```http\nPOST /reminders\nIdempotency-Key: a\n\n{\n}\n```\nText.\n\n\
                            ```http\nHTTP/1.1 201 Created\n\n{\"id\": \"…\"}\n```\n";

    #[test]
    fn reads_request_and_answer() {
        let examples = read(DOCUMENT);
        assert_eq!(examples.len(), 1);
        let Example { section, request, answer } = &examples[0];
        assert_eq!((section.as_str(), request.line), ("Reminders", 6));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/reminders"));
        assert_eq!(request.headers, [("Idempotency-Key".to_owned(), "a".to_owned())]);
        assert_eq!(
            (request.body.as_str(), answer.status, answer.body.as_str()),
            ("{\n}", 201, "{\"id\": \"…\"}")
        );
    }
}
