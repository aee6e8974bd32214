//! Breaches of rules, and the list of those that are known.

use std::{collections::BTreeSet, fmt};

/// Breach of a rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// File, or folder of the crate, from the root of the workspace.
    pub file: String,
    /// Line, from 1. 0 stands for the file as a whole.
    pub line: usize,
    /// Name of the rule.
    pub rule: &'static str,
    /// Fault, the reason of the rule, and what to do instead.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, message } = self;
        match line {
            0 => write!(f, "{file}: [{rule}] {message}"),
            _ => write!(f, "{file}:{line}: [{rule}] {message}"),
        }
    }
}

/// Compares violations with the list of those that are known, each a file and the name of a rule.
///
/// # Errors
/// A report that names every violation that the list lacks, and every entry of the list that no
/// violation needs any more.
pub fn compare(violations: &[Violation], known: &[(&str, &str)]) -> Result<(), String> {
    let is_known =
        |violation: &&Violation| known.contains(&(violation.file.as_str(), violation.rule));
    let occurring: BTreeSet<_> =
        violations.iter().map(|violation| (violation.file.as_str(), violation.rule)).collect();
    let mut report: Vec<String> = violations
        .iter()
        .filter(|violation| !is_known(violation))
        .map(ToString::to_string)
        .collect();
    report.extend(known.iter().filter(|entry| !occurring.contains(*entry)).map(|(file, rule)| {
        format!("{file}: keeps [{rule}] now: remove it from the list of exceptions")
    }));
    if report.is_empty() { Ok(()) } else { Err(report.join("\n")) }
}
