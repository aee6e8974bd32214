//! Answers: how many are made at once for one user, and how much memory those take together that
//! their clients have not taken yet.
//!
//! A client that asks for much and reads nothing would otherwise fill the memory, and one that asks
//! for much at once would have everybody wait.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    ApiError, Reason,
    memory_budget::{Exceeded, MemoryBudget, Reservation},
};

/// Reading requests of one user that are answered at once; further ones wait for their turn.
const AT_ONCE: usize = 4;
/// Bytes of an answer that cost nothing: the number of connections bounds these.
const FREE_BYTES: usize = 16 * 1024;
/// Time after which a client whose answer is refused may ask again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The answers of one API.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    memory: MemoryBudget,
    /// Turns of users of whom something is under way.
    turns: Arc<Mutex<HashMap<u64, Arc<Semaphore>>>>,
}

/// A user's turn: one of the requests that are answered at once.
#[derive(Debug)]
pub(super) struct Turn {
    answers: Answers,
    key: u64,
    turns: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Answers {
    /// Answers that may wait for their clients with that much together.
    pub(super) fn new(mib: usize) -> Self {
        Self { memory: MemoryBudget::new(mib), turns: Arc::default() }
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<u64, Arc<Semaphore>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the user's turn. None is returned only when the process ends.
    pub(super) async fn turn(&self, key: u64) -> Option<Turn> {
        let turns = Arc::clone(
            self.turns().entry(key).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))),
        );
        let mut turn = Turn { answers: self.clone(), key, turns: Arc::clone(&turns), permit: None };
        turn.permit = Some(turns.acquire_owned().await.ok()?);
        Some(turn)
    }

    /// Counts an answer until its client has taken it. One whose length is not known is counted by
    /// whoever writes it.
    pub(super) fn wait_for_client(&self, user: Option<u64>, answer: Response) -> Response {
        let bytes = answer
            .body()
            .size_hint()
            .exact()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(0);
        if bytes <= FREE_BYTES {
            return answer;
        }
        match self.hold(user, bytes) {
            Ok(held) => answer.map(|body| Body::new(HeldBody { body, _held: held })),
            Err(refused) => refused.into_response(),
        }
    }

    /// Takes memory for an answer. One alone may have more than a user's part.
    fn hold(&self, user: Option<u64>, bytes: usize) -> Result<Reservation, ApiError> {
        let mut held = self.memory.reservation(user);
        let refused = |refused| {
            let (reason, message) = match refused {
                Exceeded::Caller => (
                    Reason::RateLimited,
                    "you have not taken the answers that you asked for; read them, then try again",
                ),
                Exceeded::Total => (
                    Reason::UpstreamUnavailable,
                    "too many large answers wait for their clients; try again",
                ),
            };
            ApiError::new(reason, message).after(RETRY_AFTER)
        };
        held.grow(bytes).map_err(refused).map(|()| held)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.answers.turns();
        self.permit = None;
        // The map's, this one, and none of a request that waits: nobody can get it while the map is
        // locked.
        if Arc::strong_count(&self.turns) <= 2 {
            turns.remove(&self.key);
        }
    }
}

/// A body whose memory is counted.
struct HeldBody {
    body: Body,
    _held: Reservation,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn reason(held: Result<Reservation, ApiError>) -> Reason {
        held.expect_err("refused").reason
    }

    #[test]
    fn refuses_answers_beyond_memory_of_user_and_all() {
        let answers = Answers::new(8);
        let ada = [
            answers.hold(Some(1), MIB).expect("the first"),
            answers.hold(Some(1), MIB).expect("the second"),
        ];
        assert_eq!(reason(answers.hold(Some(1), MIB)), Reason::RateLimited);
        let bob = answers.hold(None, 6 * MIB).expect("one alone may be large");
        assert_eq!(reason(answers.hold(Some(3), MIB)), Reason::UpstreamUnavailable);
        drop((ada, bob));
    }

    #[tokio::test]
    async fn has_requests_of_one_user_wait_their_turn() {
        let answers = Answers::new(8);
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(answers.turn(1).await);
        }
        let mut next = Box::pin(answers.turn(1));
        assert!(futures::poll!(&mut next).is_pending());
        assert!(futures::poll!(Box::pin(answers.turn(2))).is_ready());
        turns.pop();
        assert!(next.await.is_some());
        drop(turns);
        assert!(answers.turns().is_empty());
    }

    #[tokio::test]
    async fn holds_memory_until_the_body_is_gone() {
        let answers = Answers::new(8);
        let large = || vec![b'x'; 2 * MIB].into_response();
        let first = answers.wait_for_client(Some(1), large());
        assert_eq!(first.body().size_hint().exact(), Some(2 * MIB as u64));
        assert_eq!(answers.wait_for_client(Some(1), large()).status(), 429);
        assert_eq!(answers.wait_for_client(Some(1), "small".into_response()).status(), 200);
        drop(first);
        assert_eq!(answers.wait_for_client(Some(1), large()).status(), 200);
    }
}
