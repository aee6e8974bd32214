//! Stream of server-sent events.

use serde_json::Value;

use crate::pattern::Known;

/// An open stream.
pub(crate) struct Stream {
    response: reqwest::Response,
    read: String,
}

impl Stream {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self { response, read: String::new() }
    }

    /// Reads until an event is as documented, and returns the values that are known then. Other
    /// events may arrive before it.
    ///
    /// # Panics
    /// If the stream ends before.
    pub(crate) async fn find(&mut self, documented: &str, known: &Known) -> Known {
        loop {
            while let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                let mut known = known.clone();
                if is_as_documented(documented, &event, &mut known) {
                    return known;
                }
            }
            let chunk = self.response.chunk().await.expect("the stream goes on");
            let chunk =
                chunk.unwrap_or_else(|| panic!("the stream ended before this event: {documented}"));
            self.read.push_str(std::str::from_utf8(&chunk).expect("an event arrives in one piece"));
        }
    }
}

/// Returns `true` if an event has all documented lines; `data` is compared as JSON.
fn is_as_documented(documented: &str, event: &str, known: &mut Known) -> bool {
    documented.lines().all(|line| {
        let Some((name, pattern)) = line.split_once(": ") else { return false };
        let field = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let Some(value) = field else { return false };
        match (serde_json::from_str::<Value>(pattern), serde_json::from_str(value)) {
            (Ok(pattern), Ok(value)) if name == "data" => {
                known.match_json(&pattern, &value).is_ok()
            }
            _ => known.match_text(pattern, value).is_ok(),
        }
    })
}
