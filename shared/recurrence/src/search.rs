//! Bounded searches: each check of a day, a period or a year is a step, and a [`Search`] has a
//! limited number of them, whatever the rule.

use crate::calendar::{DAY, LAST_DAY};

/// Error of a search that has used up its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// Remaining steps of a search, and its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    steps: u32,
    pub(crate) last_day: i64,
}

impl Search {
    /// Creates a search of a number of steps for instances up to a local time.
    pub(crate) fn new(steps: u32, until: i64) -> Self {
        Self { steps, last_day: until.div_euclid(DAY).min(LAST_DAY) }
    }

    /// Continues the search, with the steps that are left, for instances before another local time.
    pub(crate) fn continue_before(&mut self, end: i64) {
        self.last_day = (end - 1).div_euclid(DAY).min(LAST_DAY);
    }

    pub(crate) const fn steps_left(&self) -> u32 {
        self.steps
    }

    #[inline]
    pub(crate) fn step(&mut self) -> Result<(), Exhausted> {
        self.spend(1)
    }

    /// Takes a number of steps from those that are left.
    pub(crate) fn spend(&mut self, steps: u32) -> Result<(), Exhausted> {
        self.steps = self.steps.checked_sub(steps).ok_or(Exhausted)?;
        Ok(())
    }
}
