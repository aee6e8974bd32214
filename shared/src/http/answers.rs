//! Answers: how many are made at once for one user, and how much memory those take together that their clients have not
//! taken yet.
//!
//! A client that asks for much and reads nothing would otherwise fill the memory, and one that asks for much at once would
//! have everybody wait.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ApiError, Reason};

/// Reading requests of one user that are answered at once; further ones wait for their turn.
const AT_ONCE: usize = 4;
/// Bytes of an answer that cost nothing: the number of connections bounds these.
const FREE_BYTES: usize = 16 * 1024;
/// Bytes that are counted as one.
const UNIT_BYTES: usize = 1024;
/// One user's part of the memory of all.
const PART: usize = 4;
/// Time after which a client whose answer is refused may ask again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The answers of one API.
#[derive(Debug, Clone)]
pub(super) struct Answers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    units: Arc<Semaphore>,
    all_units: usize,
    users: Mutex<HashMap<u64, Arc<User>>>,
}

#[derive(Debug)]
struct User {
    turns: Arc<Semaphore>,
    waiting_units: AtomicUsize,
}

/// A user as long as something of theirs is under way.
#[derive(Debug)]
struct Known {
    answers: Answers,
    key: u64,
    user: Arc<User>,
}

/// A user's turn: one of the requests that are answered at once.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _known: Known,
}

impl Answers {
    /// Answers that may wait for their clients with that much together.
    pub(super) fn new(mib: usize) -> Self {
        let all_units = mib * 1024 * 1024 / UNIT_BYTES;
        Self(Arc::new(Inner { units: Arc::new(Semaphore::new(all_units)), all_units, users: Mutex::default() }))
    }

    fn known(&self, key: u64) -> Known {
        let new = || Arc::new(User { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting_units: AtomicUsize::new(0) });
        let user = Arc::clone(self.0.users().entry(key).or_insert_with(new));
        Known { answers: self.clone(), key, user }
    }

    /// Waits for the user's turn. None is returned only when the process ends.
    pub(super) async fn turn(&self, key: u64) -> Option<Turn> {
        let known = self.known(key);
        let permit = Arc::clone(&known.user.turns).acquire_owned().await.ok()?;
        Some(Turn { _permit: permit, _known: known })
    }

    /// Counts an answer until its client has taken it. One whose length is not known is counted by whoever writes it.
    pub(super) fn wait_for_client(&self, user: Option<u64>, answer: Response) -> Response {
        let bytes = answer.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        if bytes <= FREE_BYTES {
            return answer;
        }
        match self.hold(user, bytes) {
            Ok(held) => answer.map(|body| Body::new(HeldBody { body, _held: held })),
            Err(refused) => refused.into_response(),
        }
    }

    /// Takes memory for an answer. One alone may have more than a user's part.
    fn hold(&self, user: Option<u64>, bytes: usize) -> Result<Held, ApiError> {
        let units = bytes.div_ceil(UNIT_BYTES).min(self.0.all_units);
        let share = user.map(|key| self.share(key, units)).transpose()?;
        let full = |_| {
            let message = "too many large answers wait for their clients; try again";
            ApiError::new(Reason::UpstreamUnavailable, message).after(RETRY_AFTER)
        };
        let wanted = u32::try_from(units).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0.units).try_acquire_many_owned(wanted).map_err(full)?;
        Ok(Held { _permit: permit, _share: share })
    }

    /// Takes a part of what the user may have.
    fn share(&self, key: u64, units: usize) -> Result<Share, ApiError> {
        let known = self.known(key);
        let part = self.0.all_units / PART;
        let fits = |waiting: usize| (waiting == 0 || waiting + units <= part).then_some(waiting + units);
        if known.user.waiting_units.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            let message = "you have not taken the answers that you asked for; read them, then try again";
            return Err(ApiError::new(Reason::RateLimited, message).after(RETRY_AFTER));
        }
        Ok(Share { known, units })
    }
}

impl Inner {
    fn users(&self) -> MutexGuard<'_, HashMap<u64, Arc<User>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut users = self.answers.0.users();
        // The map's and this one: nobody else has it, and nobody can get it while the map is locked.
        if Arc::strong_count(&self.user) <= 2 {
            users.remove(&self.key);
        }
    }
}

/// The memory of an answer.
#[derive(Debug)]
struct Held {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
}

/// What an answer takes of its user's part.
#[derive(Debug)]
struct Share {
    known: Known,
    units: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.known.user.waiting_units.fetch_sub(self.units, Ordering::Relaxed);
    }
}

/// A body whose memory is counted.
struct HeldBody {
    body: Body,
    _held: Held,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
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

    fn reason(held: Result<Held, ApiError>) -> Reason {
        held.expect_err("refused").reason
    }

    #[test]
    fn refuses_answers_beyond_memory_of_user_and_all() {
        let answers = Answers::new(8);
        let ada = [answers.hold(Some(1), MIB).expect("the first"), answers.hold(Some(1), MIB).expect("the second")];
        assert_eq!(reason(answers.hold(Some(1), MIB)), Reason::RateLimited);
        let bob = answers.hold(None, 6 * MIB).expect("one alone may be large");
        assert_eq!(reason(answers.hold(Some(3), MIB)), Reason::UpstreamUnavailable);
        drop((ada, bob));
        drop(answers.hold(Some(4), 100 * MIB).expect("larger than all, alone"));
        assert!(answers.0.users().is_empty());
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
        assert!(answers.0.users().is_empty());
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
