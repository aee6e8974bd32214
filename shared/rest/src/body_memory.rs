//! Memory of request bodies: all bodies in memory share one budget, and a caller may send a few
//! large bodies at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use env_config::Reader;
use service::http::{ApiError, Reason};

use super::memory_budget::{Exceeded, MemoryBudget, Reservation};

/// Bytes of a body that are not counted, which most bodies do not exceed. The rate limit bounds the
/// number of such bodies.
const FREE_BYTES: usize = 2 * 1024;
/// Size from which on a body counts as large.
const LARGE_BYTES: usize = 64 * 1024;
/// Most large bodies of one caller at once.
const MAX_LARGE_OF_CALLER: usize = 2;
/// Time after which a refused client may retry.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Memory of the request bodies of one API.
#[derive(Debug, Clone)]
pub(super) struct BodyMemory {
    budget: MemoryBudget,
    large: Arc<Mutex<HashMap<u64, usize>>>,
}

/// Memory of one body, released when it is dropped. Hold it as long as the parsed body is in use.
#[derive(Debug)]
pub struct HeldMemory {
    memory: BodyMemory,
    caller: u64,
    bytes: usize,
    reservation: Reservation,
    is_large: bool,
}

/// Reads `HTTP_BODY_MEMORY_MIB`.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<usize> {
    const NAME: &str = "HTTP_BODY_MEMORY_MIB";
    let about =
        "memory of all request bodies together, in MiB; waiting answers may use as much again";
    let mib = reader.or(NAME, about, DEFAULT_MIB)?;
    if (8..=4_096).contains(&mib) {
        return Some(mib);
    }
    reader.fault(NAME, "is malformed: expected 8 to 4096");
    None
}

/// Default of `HTTP_BODY_MEMORY_MIB`.
pub(super) const DEFAULT_MIB: usize = 32;

impl BodyMemory {
    pub(super) fn new(mib: usize) -> Self {
        Self { budget: MemoryBudget::new(mib), large: Arc::default() }
    }

    /// Memory of a body of which nothing was received yet.
    pub(super) fn hold(&self, caller: u64) -> HeldMemory {
        let reservation = self.budget.reservation(Some(caller));
        HeldMemory { memory: self.clone(), caller, bytes: 0, reservation, is_large: false }
    }

    fn large(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldMemory {
    /// Reserves memory for bytes that arrived.
    ///
    /// # Errors
    /// `RATE_LIMITED` if the caller sends too many large bodies at once, or uses too much memory;
    /// `UPSTREAM_UNAVAILABLE` if the budget is used up.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let counted = |bytes: usize| bytes.saturating_sub(FREE_BYTES);
        let more = counted(self.bytes + bytes) - counted(self.bytes);
        self.bytes += bytes;
        if self.bytes > LARGE_BYTES && !self.is_large {
            self.count_large()?;
        }
        self.reservation.grow(more).map_err(|refused| {
            let (reason, message) = match refused {
                Exceeded::Caller => (
                    Reason::RateLimited,
                    "you send too much at once; try again when a request is answered",
                ),
                Exceeded::Total => (
                    Reason::UpstreamUnavailable,
                    "too many large bodies are being received; try again",
                ),
            };
            ApiError::new(reason, message).after(RETRY_AFTER)
        })
    }

    fn count_large(&mut self) -> Result<(), ApiError> {
        let mut large = self.memory.large();
        let open = large.entry(self.caller).or_default();
        if *open >= MAX_LARGE_OF_CALLER {
            let message = format!(
                "{MAX_LARGE_OF_CALLER} large bodies of yours are being received; try again when one \
                 is answered"
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
    fn refuses_bodies_beyond_budget() {
        let memory = BodyMemory::new(8);
        let mut held: Vec<_> = (0..2).map(|caller| memory.hold(caller)).collect();
        for body in &mut held {
            body.grow(4 * MIB).expect("within the memory");
        }
        let mut small = memory.hold(9);
        small.grow(FREE_BYTES).expect("small bodies are free");
        assert_eq!(small.grow(64 * 1024).expect_err("full").reason, Reason::UpstreamUnavailable);
        drop(held);
        memory.hold(3).grow(4 * MIB).expect("released");
    }

    #[test]
    fn bounds_memory_of_small_bodies_of_caller() {
        let memory = BodyMemory::new(8);
        let hold = || {
            let mut body = memory.hold(1);
            body.grow(16 * 1024).map(|()| body)
        };
        let held: Vec<_> = std::iter::from_fn(|| hold().ok()).take(1_000).collect();
        assert_eq!(held.len(), 2 * MIB / (14 * 1024));
        assert_eq!(hold().expect_err("beyond the limit of the caller").reason, Reason::RateLimited);
        memory.hold(2).grow(16 * 1024).expect("somebody else's");
    }

    #[test]
    fn refuses_third_large_body_of_caller() {
        let memory = BodyMemory::new(32);
        let (mut first, mut second, mut third) = (memory.hold(1), memory.hold(1), memory.hold(1));
        first.grow(MIB).expect("the first");
        second.grow(MIB).expect("the second");
        assert_eq!(third.grow(MIB).expect_err("the third").reason, Reason::RateLimited);
        memory.hold(2).grow(MIB).expect("somebody else's");
        drop((first, second, third));
        memory.hold(1).grow(MIB).expect("released");
        assert!(memory.large().is_empty());
    }
}
