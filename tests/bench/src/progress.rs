//! Progress bars on a terminal; elsewhere one line for each step.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// Progress of a step.
#[derive(Debug, Clone)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A step that is repeated `total` times.
    pub(crate) fn counting(step: &str, total: usize) -> Self {
        Self::new(
            step,
            ProgressBar::new(total as u64),
            "{msg:<44} [{bar:30}] {pos}/{len} {per_sec:>12} {elapsed:>4}",
        )
    }

    /// A step of unknown length.
    pub(crate) fn waiting(step: &str) -> Self {
        Self::new(step, ProgressBar::new_spinner(), "{msg:<44} {spinner} {elapsed}")
    }

    fn new(step: &str, bar: ProgressBar, template: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            eprintln!("{step} …");
        }
        // The templates are constants of this module.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(step.to_owned());
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
