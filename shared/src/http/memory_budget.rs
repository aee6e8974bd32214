//! Memory that the callers of an API share: all of it is bounded, and so is one caller's part.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One caller's part of the whole, as its divisor.
const PART: usize = 4;

/// Memory of one kind.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    used: Arc<Mutex<Used>>,
    bytes: usize,
}

/// Bytes in use.
#[derive(Debug, Default)]
struct Used {
    by_all: usize,
    by_caller: HashMap<u64, usize>,
}

/// Why memory is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The caller has their part.
    Caller,
    /// All of it is in use.
    All,
}

/// Memory that was taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    budget: Budget,
    caller: Option<u64>,
    bytes: usize,
}

impl Budget {
    /// Memory of so many MiB.
    pub(super) fn new(mib: usize) -> Self {
        Self { used: Arc::default(), bytes: mib * 1024 * 1024 }
    }

    /// Nothing yet, for a caller; none is somebody without a part of their own.
    pub(super) fn nothing(&self, caller: Option<u64>) -> Taken {
        Taken { budget: self.clone(), caller, bytes: 0 }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Takes that much more. What is the caller's only one may exceed their part, and takes the
    /// whole if it is larger.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        let all = self.budget.bytes;
        let bytes = bytes.min(all - self.bytes);
        let mut used = self.budget.used();
        if let Some(caller) = self.caller {
            let theirs = used.by_caller.get(&caller).copied().unwrap_or(0);
            let is_only_one = theirs == self.bytes;
            if !is_only_one && theirs + bytes > all / PART {
                return Err(Refused::Caller);
            }
        }
        if used.by_all + bytes > all {
            return Err(Refused::All);
        }
        used.by_all += bytes;
        if let Some(caller) = self.caller {
            *used.by_caller.entry(caller).or_default() += bytes;
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut used = self.budget.used();
        used.by_all -= self.bytes;
        if let Some(caller) = self.caller
            && let Some(theirs) = used.by_caller.get_mut(&caller)
        {
            *theirs -= self.bytes;
            if *theirs == 0 {
                used.by_caller.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn take(budget: &Budget, caller: Option<u64>, bytes: usize) -> Result<Taken, Refused> {
        let mut taken = budget.nothing(caller);
        taken.grow(bytes).map(|()| taken)
    }

    #[test]
    fn refuses_memory_beyond_part_of_caller_and_all() {
        let budget = Budget::new(8);
        let ada = [
            take(&budget, Some(1), MIB).expect("the first"),
            take(&budget, Some(1), MIB).expect("the second"),
        ];
        assert_eq!(take(&budget, Some(1), MIB).err(), Some(Refused::Caller));
        let nobody = take(&budget, None, 6 * MIB).expect("what is left");
        assert_eq!(take(&budget, Some(3), MIB).err(), Some(Refused::All));
        drop((ada, nobody));
        drop(take(&budget, Some(4), 100 * MIB).expect("larger than all, alone"));
        let used = budget.used();
        assert_eq!((used.by_all, used.by_caller.len()), (0, 0));
    }

    #[test]
    fn lets_the_only_one_of_a_caller_grow_beyond_their_part() {
        let budget = Budget::new(8);
        let mut first = budget.nothing(Some(1));
        (0..3).for_each(|_| first.grow(MIB).expect("the only one"));
        assert_eq!(take(&budget, Some(1), 1).err(), Some(Refused::Caller));
        assert_eq!(take(&budget, Some(2), 2 * MIB).map(drop), Ok(()));
    }
}
