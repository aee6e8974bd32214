//! Fuzz targets of the parsers: functions that take any bytes, and panic if a property of what was
//! parsed does not hold.
//!
//! `make fuzz` runs each target with libFuzzer, guided by coverage. The tests of this crate run
//! each over its seeds and over some variants of them.

mod calendar_file;
mod occurrence_edit;
mod recurrence_rule;
mod schedule_text;
mod times;

pub use calendar_file::calendar_file;
pub use occurrence_edit::occurrence_edit;
pub use recurrence_rule::recurrence_rule;
pub use times::times;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the target, of its binary and of its folders.
    pub name: &'static str,
    /// Checks one input.
    ///
    /// # Panics
    /// If a property does not hold.
    pub run: fn(&[u8]),
    /// Folders with inputs to begin with, in the workspace.
    pub seeds: &'static [&'static str],
}

/// All targets.
pub const TARGETS: [Target; 4] = [
    Target {
        name: "recurrence_rule",
        run: recurrence_rule,
        seeds: &["tests/fuzz/seeds/recurrence_rule"],
    },
    Target {
        name: "calendar_file",
        run: calendar_file,
        seeds: &[
            "tests/fuzz/seeds/calendar_file",
            "reminder-service/tests/fixtures/calendars",
            "reminder-service/tests/fixtures/calendars/exports",
        ],
    },
    Target { name: "times", run: times, seeds: &["tests/fuzz/seeds/times"] },
    Target {
        name: "occurrence_edit",
        run: occurrence_edit,
        seeds: &["tests/fuzz/seeds/occurrence_edit", "tests/fuzz/seeds/recurrence_rule"],
    },
];
