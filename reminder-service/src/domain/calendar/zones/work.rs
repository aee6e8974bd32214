//! Bound on the work for the time zones that one file defines, and for the rules of which it needs
//! every instance.

use std::cell::Cell;

/// Work that is left. Each unit takes a few microseconds, and rarely 50.
#[derive(Debug)]
pub(in crate::domain::calendar) struct Work(Cell<usize>);

impl Work {
    /// Work for one file: 100 definitions, each compared with all zones, and thousands of times in
    /// zones that have no name.
    const OF_FILE: usize = 20_000;
    /// Work for a rule of an observance.
    pub(super) const RULE: usize = 10;
    /// Work for a comparison with all zones.
    pub(super) const COMPARISON: usize = 60;

    /// Work for up to 1,000 instances of a rule.
    pub(super) const EXPANSION: usize = 20;

    /// Work for a file.
    pub(in crate::domain::calendar) fn of_file() -> Self {
        Self(Cell::new(Self::OF_FILE))
    }

    /// Takes units; returns `false` if there are not as many, and takes none from then on.
    pub(in crate::domain::calendar) fn spend(&self, units: usize) -> bool {
        let left = self.0.get().checked_sub(units);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}
