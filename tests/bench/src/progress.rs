//! Bars on a terminal; elsewhere a line for each thing begun.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// Something that takes long.
#[derive(Debug, Clone)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Something that is done `total` times.
    pub(crate) fn counting(what: &str, total: usize) -> Self {
        Self::new(
            what,
            ProgressBar::new(total as u64),
            "{msg:<44} [{bar:30}] {pos}/{len} {per_sec:>12} {elapsed:>4}",
        )
    }

    /// Something whose end is not known.
    pub(crate) fn waiting(what: &str) -> Self {
        Self::new(what, ProgressBar::new_spinner(), "{msg:<44} {spinner} {elapsed}")
    }

    fn new(what: &str, bar: ProgressBar, template: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            eprintln!("{what} …");
        }
        // The templates are constants of this module; without one the bar has its usual look.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.inc(count);
    }

    pub(crate) fn set(&self, position: usize) {
        self.0.set_position(position as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
