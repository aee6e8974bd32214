//! Memory budget that the callers of an API share, with a limit for each caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Divisor of the budget that yields the limit of one caller.
const CALLER_DIVISOR: usize = 4;

/// Memory budget.
#[derive(Debug, Clone)]
pub(super) struct MemoryBudget {
    used: Arc<Mutex<Used>>,
    bytes: usize,
}

/// Bytes in use.
#[derive(Debug, Default)]
struct Used {
    total: usize,
    by_caller: HashMap<u64, usize>,
}

/// Limit that a reservation would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// The limit of the caller.
    Caller,
    /// The whole budget.
    Total,
}

/// Reserved memory, released when it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: MemoryBudget,
    caller: Option<u64>,
    bytes: usize,
}

impl MemoryBudget {
    /// Creates a budget in MiB.
    pub(super) fn new(mib: usize) -> Self {
        Self { used: Arc::default(), bytes: mib * 1024 * 1024 }
    }

    /// Creates an empty reservation for a caller, or for one without a limit of its own.
    pub(super) fn reservation(&self, caller: Option<u64>) -> Reservation {
        Reservation { budget: self.clone(), caller, bytes: 0 }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Reserves more bytes. The only reservation of a caller may exceed the limit of the caller,
    /// and is cut to the whole budget if it is larger.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let all = self.budget.bytes;
        let bytes = bytes.min(all - self.bytes);
        let mut used = self.budget.used();
        if let Some(caller) = self.caller {
            let of_caller = used.by_caller.get(&caller).copied().unwrap_or(0);
            let is_only = of_caller == self.bytes;
            if !is_only && of_caller + bytes > all / CALLER_DIVISOR {
                return Err(Exceeded::Caller);
            }
        }
        if used.total + bytes > all {
            return Err(Exceeded::Total);
        }
        used.total += bytes;
        if let Some(caller) = self.caller {
            *used.by_caller.entry(caller).or_default() += bytes;
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut used = self.budget.used();
        used.total -= self.bytes;
        if let Some(caller) = self.caller
            && let Some(of_caller) = used.by_caller.get_mut(&caller)
        {
            *of_caller -= self.bytes;
            if *of_caller == 0 {
                used.by_caller.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn reserve(
        budget: &MemoryBudget,
        caller: Option<u64>,
        bytes: usize,
    ) -> Result<Reservation, Exceeded> {
        let mut reservation = budget.reservation(caller);
        reservation.grow(bytes).map(|()| reservation)
    }

    #[test]
    fn refuses_memory_beyond_limits() {
        let budget = MemoryBudget::new(8);
        let ada = [
            reserve(&budget, Some(1), MIB).expect("the first"),
            reserve(&budget, Some(1), MIB).expect("the second"),
        ];
        assert_eq!(reserve(&budget, Some(1), MIB).err(), Some(Exceeded::Caller));
        let nobody = reserve(&budget, None, 6 * MIB).expect("what is left");
        assert_eq!(reserve(&budget, Some(3), MIB).err(), Some(Exceeded::Total));
        drop((ada, nobody));
        drop(reserve(&budget, Some(4), 100 * MIB).expect("larger than the budget, alone"));
        let used = budget.used();
        assert_eq!((used.total, used.by_caller.len()), (0, 0));
    }

    #[test]
    fn allows_only_reservation_beyond_caller_limit() {
        let budget = MemoryBudget::new(8);
        let mut first = budget.reservation(Some(1));
        (0..3).for_each(|_| first.grow(MIB).expect("the only one"));
        assert_eq!(reserve(&budget, Some(1), 1).err(), Some(Exceeded::Caller));
        assert_eq!(reserve(&budget, Some(2), 2 * MIB).map(drop), Ok(()));
    }
}
