//! Stream of a user's deliveries.

use reqwest::Response;
use tokio::time::timeout;

use crate::{LIMIT, Service, TestSuite, TestUser};

/// An open stream of server-sent events.
#[derive(Debug)]
pub struct Stream {
    response: Response,
    received: String,
}

impl Stream {
    /// Opens the stream of a user's deliveries, from now on or after the event with an id.
    ///
    /// # Panics
    ///
    /// If it cannot be opened.
    pub async fn open(suite: &TestSuite, user: &TestUser, last_event: Option<&str>) -> Self {
        let process =
            suite.processes(Service::Notifications).first().expect("notification-service runs");
        let url = format!("{}/notifications/stream", process.rest_url());
        let mut request =
            support::http::plain().get(url).header("X-Authenticated-Userid", &user.id);
        if let Some(last_event) = last_event {
            request = request.header("Last-Event-ID", last_event);
        }
        let response = request
            .header("X-Consumer-Username", &user.email)
            .send()
            .await
            .expect("the stream opens");
        Self { response: response.error_for_status().expect("a stream"), received: String::new() }
    }

    /// Reads until everything received since the opening is complete, and returns it.
    ///
    /// # Panics
    ///
    /// If the stream ends before, or sends nothing more; the message contains what was received.
    pub async fn until(&mut self, is_complete: impl Fn(&str) -> bool) -> String {
        while !is_complete(&self.received) {
            let part = timeout(LIMIT, self.response.chunk()).await;
            let part =
                part.unwrap_or_else(|_| panic!("nothing more is received: {}", self.received));
            let part = part.unwrap_or_else(|error| panic!("{error}: {}", self.received));
            self.received.push_str(&String::from_utf8_lossy(&part.expect("the stream goes on")));
        }
        self.received.clone()
    }
}
