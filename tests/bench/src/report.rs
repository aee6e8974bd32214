//! Results: rows of figures, each with its references.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::{cpu::Usage, machine::Machine, stats::micros_each};

/// Bound that a figure must keep today.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

/// References of a figure.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Reference {
    /// Figure of the 1.0.0 suite.
    pub(crate) baseline: &'static str,
    /// First milestone.
    pub(crate) milestone: &'static str,
    /// Goal.
    pub(crate) goal: &'static str,
    /// Bound that must be kept today.
    pub(crate) bound: Option<Bound>,
}

/// One measured value.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Name in JSON.
    pub(crate) key: &'static str,
    /// Name in the table.
    pub(crate) label: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) reference: Reference,
}

impl Figure {
    pub(crate) fn new(
        key: &'static str,
        label: &'static str,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self { key, label, value, unit, reference: Reference::default() }
    }

    #[must_use]
    pub(crate) fn compared_with(
        mut self,
        baseline: &'static str,
        milestone: &'static str,
        goal: &'static str,
    ) -> Self {
        self.reference = Reference { baseline, milestone, goal, bound: self.reference.bound };
        self
    }

    #[must_use]
    pub(crate) fn bounded(mut self, bound: Bound) -> Self {
        self.reference.bound = Some(bound);
        self
    }

    /// Returns `true` if the figure keeps its bound or has none.
    pub(crate) fn is_met(&self) -> bool {
        self.reference.bound.is_none_or(|bound| bound.is_met(self.value))
    }
}

/// Result of one row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) title: String,
    pub(crate) figures: Vec<Figure>,
    /// Number of items among which the CPU time is divided.
    pub(crate) items: usize,
    pub(crate) usage: Option<Usage>,
    /// Remarks for the reader.
    pub(crate) notes: Vec<String>,
}

impl Row {
    pub(crate) fn new(id: &'static str, title: impl Into<String>) -> Self {
        Self {
            id,
            title: title.into(),
            figures: Vec::new(),
            items: 0,
            usage: None,
            notes: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn figure(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }

    #[must_use]
    pub(crate) fn cpu(mut self, items: usize, usage: Usage) -> Self {
        if usage.others > usage.wall.as_secs_f64() * OTHERS_LIMIT {
            let cores = usage.others / usage.wall.as_secs_f64();
            let note = format!("other processes used {cores:.2} cores meanwhile: not reliable");
            self.notes.push(note);
        }
        (self.items, self.usage) = (items, Some(usage));
        self
    }

    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The row as one JSON object.
    pub(crate) fn json(&self, machine: &Machine, at: DateTime<Utc>) -> Value {
        let figures: Map<_, _> = self
            .figures
            .iter()
            .map(|figure| (figure.key.to_owned(), json!(figure.value)))
            .collect();
        json!({
            "at": at,
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine,
            "row": self.id,
            "title": self.title,
            "figures": figures,
            "met": self.figures.iter().all(Figure::is_met),
            "items": self.items,
            "cpu": self.usage.as_ref().map(|usage| cpu_json(usage, self.items)),
            "notes": self.notes,
        })
    }
}

/// Cores that other processes may use before a row counts as unreliable.
const OTHERS_LIMIT: f64 = 0.1;

fn cpu_json(usage: &Usage, items: usize) -> Value {
    let processes: Map<_, _> = usage
        .processes
        .iter()
        .map(|(name, seconds)| ((*name).to_owned(), json!(seconds)))
        .collect();
    let Usage { postgres, postgres_by_use, others, wall, .. } = usage;
    let each: Map<_, _> = usage
        .processes
        .iter()
        .map(|(name, seconds)| ((*name).to_owned(), json!(micros_each(*seconds, items))))
        .chain([("postgres".to_owned(), json!(micros_each(*postgres, items)))])
        .collect();
    json!({
        "seconds": processes,
        "postgresSeconds": postgres,
        "postgresSecondsByUse": postgres_by_use,
        "othersSeconds": others,
        "wallSeconds": wall.as_secs_f64(),
        "microsecondsEach": each,
    })
}

/// Milliseconds as a number.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_bound_at_the_bound() {
        let at_least = Bound::AtLeast(5_000.0);
        assert!(at_least.is_met(5_000.0) && !at_least.is_met(4_999.9));
        assert!(Bound::AtMost(250.0).is_met(250.0) && !Bound::AtMost(250.0).is_met(250.1));
        assert!(Figure::new("a", "a", 1.0, "").is_met());
        assert!(!Figure::new("a", "a", -1.0, "").bounded(Bound::AtLeast(0.0)).is_met());
    }

    #[test]
    fn notes_other_load_of_machine() {
        let usage = |others| Usage { others, wall: Duration::from_secs(2), ..Usage::default() };
        assert!(Row::new("burst", "").cpu(1, usage(0.1)).notes.is_empty());
        assert_eq!(Row::new("burst", "").cpu(1, usage(0.5)).notes.len(), 1);
    }
}
