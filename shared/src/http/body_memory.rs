//! Memory of request bodies: all that are held at once share a bounded amount, and one caller has a
//! few large ones.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    ApiError, Reason,
    memory_budget::{Budget, Refused, Taken},
};
use crate::config::Reader;

/// Bytes of a body that are not counted: those of most requests. The calls that a user may make in
/// the time for a body bound the number of these.
const FREE_BYTES: usize = 2 * 1024;
/// A body that is larger counts as a large one of its caller.
const LARGE_BYTES: usize = 64 * 1024;
/// Large bodies of one caller at once.
const LARGE_OF_CALLER: usize = 2;
/// When to come again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The memory of request bodies of one API.
#[derive(Debug, Clone)]
pub(super) struct BodyMemory {
    budget: Budget,
    large: Arc<Mutex<HashMap<u64, usize>>>,
}

/// The memory of one body, given back when it is dropped: hold it until what was made of the body
/// is done with.
#[derive(Debug)]
pub struct HeldMemory {
    memory: BodyMemory,
    caller: u64,
    bytes: usize,
    taken: Taken,
    is_large: bool,
}

/// Reads `HTTP_BODY_MEMORY_MIB`.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<usize> {
    const NAME: &str = "HTTP_BODY_MEMORY_MIB";
    let about = "MiB that request bodies may take together, and answers that wait as much again";
    let mib = reader.or(NAME, about, DEFAULT_MIB)?;
    if (8..=4_096).contains(&mib) {
        return Some(mib);
    }
    reader.fault(NAME, "is malformed: expected 8 to 4096");
    None
}

/// The default of `HTTP_BODY_MEMORY_MIB`.
pub(super) const DEFAULT_MIB: usize = 32;

impl BodyMemory {
    pub(super) fn new(mib: usize) -> Self {
        Self { budget: Budget::new(mib), large: Arc::default() }
    }

    /// The memory of a body that has not begun.
    pub(super) fn hold(&self, caller: u64) -> HeldMemory {
        let taken = self.budget.nothing(Some(caller));
        HeldMemory { memory: self.clone(), caller, bytes: 0, taken, is_large: false }
    }

    fn large(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldMemory {
    /// Asks for more, as it arrives.
    ///
    /// # Errors
    /// `RATE_LIMITED` when the caller has too many large bodies at once, or too much memory in all
    /// of them; `UPSTREAM_UNAVAILABLE` when all memory is taken.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let counted = |bytes: usize| bytes.saturating_sub(FREE_BYTES);
        let more = counted(self.bytes + bytes) - counted(self.bytes);
        self.bytes += bytes;
        if self.bytes > LARGE_BYTES && !self.is_large {
            self.note_large()?;
        }
        self.taken.grow(more).map_err(|refused| {
            let (reason, message) = match refused {
                Refused::Caller => (
                    Reason::RateLimited,
                    "you send too much at once; try again when a request is answered",
                ),
                Refused::All => (
                    Reason::UpstreamUnavailable,
                    "too many large bodies are being received; try again",
                ),
            };
            ApiError::new(reason, message).after(RETRY_AFTER)
        })
    }

    fn note_large(&mut self) -> Result<(), ApiError> {
        let mut large = self.memory.large();
        let open = large.entry(self.caller).or_default();
        if *open >= LARGE_OF_CALLER {
            let message = format!(
                "you send {LARGE_OF_CALLER} large bodies already; try again when one is answered"
            );
            return Err(ApiError::new(Reason::RateLimited, message).after(RETRY_AFTER));
        }
        *open += 1;
        self.is_large = true;
        Ok(())
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        if self.is_large {
            let mut large = self.memory.large();
            if let Some(open) = large.get_mut(&self.caller) {
                *open -= 1;
                if *open == 0 {
                    large.remove(&self.caller);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn refuses_bodies_beyond_the_memory_of_all() {
        let memory = BodyMemory::new(8);
        let mut held: Vec<_> = (0..2).map(|caller| memory.hold(caller)).collect();
        for body in &mut held {
            body.grow(4 * MIB).expect("within the memory");
        }
        let mut small = memory.hold(9);
        small.grow(FREE_BYTES).expect("small bodies are free");
        assert_eq!(small.grow(64 * 1024).expect_err("full").reason, Reason::UpstreamUnavailable);
        drop(held);
        memory.hold(3).grow(4 * MIB).expect("given back");
    }

    #[test]
    fn bounds_memory_of_small_bodies_of_one_caller() {
        let memory = BodyMemory::new(8);
        let hold = || {
            let mut body = memory.hold(1);
            body.grow(16 * 1024).map(|()| body)
        };
        let held: Vec<_> = std::iter::from_fn(|| hold().ok()).take(1_000).collect();
        assert_eq!(held.len(), 2 * MIB / (14 * 1024));
        assert_eq!(hold().expect_err("their part").reason, Reason::RateLimited);
        memory.hold(2).grow(16 * 1024).expect("somebody else's");
    }

    #[test]
    fn refuses_a_third_large_body_of_one_caller() {
        let memory = BodyMemory::new(32);
        let (mut first, mut second, mut third) = (memory.hold(1), memory.hold(1), memory.hold(1));
        first.grow(MIB).expect("the first");
        second.grow(MIB).expect("the second");
        assert_eq!(third.grow(MIB).expect_err("the third").reason, Reason::RateLimited);
        memory.hold(2).grow(MIB).expect("somebody else's");
        drop((first, second, third));
        memory.hold(1).grow(MIB).expect("given back");
        assert!(memory.large().is_empty());
    }
}
