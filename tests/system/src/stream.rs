//! A user's stream of deliveries.

use reqwest::Response;
use tokio::time::timeout;

use crate::{House, LIMIT, Person, Service};

/// An open stream of server-sent events.
#[derive(Debug)]
pub struct Stream {
    response: Response,
    told: String,
}

impl Stream {
    /// Opens a person's stream of deliveries, from now or after the event with an id.
    ///
    /// # Panics
    ///
    /// When it is not opened.
    pub async fn open(house: &House, person: &Person, last_event: Option<&str>) -> Self {
        let process =
            house.processes(Service::Notifications).first().expect("notification-service runs");
        let url = format!("{}/notifications/stream", process.rest_url());
        let mut request =
            support::http::plain().get(url).header("X-Authenticated-Userid", &person.id);
        if let Some(last_event) = last_event {
            request = request.header("Last-Event-ID", last_event);
        }
        let response = request
            .header("X-Consumer-Username", &person.email)
            .send()
            .await
            .expect("the stream opens");
        Self { response: response.error_for_status().expect("a stream"), told: String::new() }
    }

    /// Listens until what it has told since it was opened is enough, and answers that.
    ///
    /// # Panics
    ///
    /// When it ends before, or tells nothing more: with what it has told.
    pub async fn until(&mut self, is_enough: impl Fn(&str) -> bool) -> String {
        while !is_enough(&self.told) {
            let part = timeout(LIMIT, self.response.chunk()).await;
            let part = part.unwrap_or_else(|_| panic!("nothing more is told: {}", self.told));
            let part = part.unwrap_or_else(|error| panic!("{error}: {}", self.told));
            self.told.push_str(&String::from_utf8_lossy(&part.expect("the stream goes on")));
        }
        self.told.clone()
    }
}
