//! What a configuration asks for and what is wrong with it, printable without any value.

use std::fmt;

use serde::Serialize;

/// A variable that a configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Its name in the environment.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Whether the start fails without it.
    pub required: bool,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// What is used when it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether the environment sets it.
    pub set: bool,
}

/// A variable that is missing or malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its name in the environment.
    pub name: &'static str,
    /// What is wrong, without the value.
    pub problem: String,
}

/// Every variable asked for and every fault found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they were asked for.
    pub settings: Vec<Setting>,
    /// Empty when the configuration is usable.
    pub faults: Vec<Fault>,
}

impl std::error::Error for Report {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        writeln!(f, "the configuration has {count} fault{}:", if count == 1 { "" } else { "s" })?;
        for fault in &self.faults {
            let about = self
                .settings
                .iter()
                .find(|setting| setting.name == fault.name)
                .map_or("", |setting| setting.about);
            // What is said on further lines is detail; the meaning belongs to the first.
            let (problem, detail) = fault.problem.split_once('\n').unwrap_or((&fault.problem, ""));
            writeln!(f, "  {:<24} {problem} ({about})", fault.name)?;
            detail.lines().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        write!(
            f,
            "Set the variables above, or X_FILE=/path for a mounted Secret; `config check` shows them all."
        )
    }
}

impl Report {
    /// The table that `config check` prints: every variable, whether it is set, and the faults.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![format!("{:<28} {:<9} {:<8} meaning", "variable", "state", "kind")];
        for setting in &self.settings {
            let fault = self.faults.iter().any(|fault| fault.name == setting.name);
            let state = match (fault, setting.set, &setting.default) {
                (true, _, _) => "FAULT",
                (false, true, _) => "set",
                (false, false, Some(_)) => "default",
                (false, false, None) => "unset",
            };
            let kind = if setting.secret {
                "secret"
            } else if setting.required {
                "required"
            } else {
                "optional"
            };
            let default = setting
                .default
                .as_ref()
                .filter(|value| !value.is_empty())
                .map(|value| format!(" [{value}]"));
            lines.push(format!(
                "{:<28} {state:<9} {kind:<8} {}{}",
                setting.name,
                setting.about,
                default.unwrap_or_default()
            ));
        }
        lines.join("\n")
    }
}
