//! Variables that a configuration reads and the faults that it has, printable without any value.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// Columns of a text that is read on a terminal.
const WIDTH: usize = 100;

/// Variable that a configuration reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Name in the environment.
    pub name: &'static str,
    /// Meaning, in one line.
    pub about: &'static str,
    /// `true` if the start fails without it.
    pub required: bool,
    /// `true` if its value must never be shown.
    pub secret: bool,
    /// Value that is used if the variable is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// `true` if the environment sets it.
    pub set: bool,
}

impl Setting {
    /// Returns the meaning with the default, if there is one.
    fn meaning(&self) -> String {
        match self.default.as_deref().filter(|value| !value.is_empty()) {
            Some(default) => format!("{} [default: {default}]", self.about),
            None => self.about.to_owned(),
        }
    }
}

/// Variable that is missing or malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name in the environment.
    pub name: &'static str,
    /// Rule that is broken, without the value.
    pub problem: String,
}

/// Variables that a configuration reads, and the faults that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Variables, in the order in which they were read.
    pub settings: Vec<Setting>,
    /// Faults; none if the configuration is usable.
    pub faults: Vec<Fault>,
}

impl std::error::Error for Report {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:", self.count())?;
        for fault in &self.faults {
            let about = self.about(fault.name);
            // Further lines are details; the meaning belongs to the first.
            let (problem, detail) = fault.problem.split_once('\n').unwrap_or((&fault.problem, ""));
            writeln!(f, "  {:<24} {problem} ({about})", fault.name)?;
            detail.lines().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        write!(
            f,
            "Set these variables, or X_FILE=/path in place of X for a mounted Secret. \
             `config check` shows all variables."
        )
    }
}

impl Report {
    fn count(&self) -> String {
        let count = self.faults.len();
        format!("the configuration has {count} fault{}", if count == 1 { "" } else { "s" })
    }

    fn about(&self, name: &str) -> &'static str {
        let setting = self.settings.iter().find(|setting| setting.name == name);
        setting.map_or("", |setting| setting.about)
    }

    /// Returns all faults in one line, for a log.
    #[must_use]
    pub fn summary(&self) -> String {
        let faults: Vec<_> = self
            .faults
            .iter()
            .map(|Fault { name, problem }| {
                format!("{name} {}", problem.lines().next().unwrap_or_default())
            })
            .collect();
        format!("{}: {}", self.count(), faults.join("; "))
    }

    /// Returns the faults as the field of a log line.
    pub fn fields(&self) -> Map<String, Value> {
        let faults: Vec<_> = self
            .faults
            .iter()
            .map(|Fault { name, problem }| {
                json!({"variable": name, "problem": problem, "meaning": self.about(name)})
            })
            .collect();
        Map::from_iter([("faults".to_owned(), Value::Array(faults))])
    }

    /// Returns the table that `config check` prints: each variable with its state and meaning.
    #[must_use]
    pub fn table(&self) -> String {
        let widths = [self.name_width(), "required".len(), "default".len()];
        let row = |cells: [&str; 3], text: &str| {
            let [name, need, state] = widths;
            let start = format!("{:<name$}  {:<need$}  {:<state$}  ", cells[0], cells[1], cells[2]);
            indented(&start, text)
        };
        let mut rows = vec![row(["VARIABLE", "NEED", "STATE"], "MEANING")];
        for setting in &self.settings {
            let is_faulty = self.faults.iter().any(|fault| fault.name == setting.name);
            let state = match (is_faulty, setting.set, &setting.default) {
                (true, _, _) => "FAULT",
                (false, true, _) => "set",
                (false, false, Some(_)) => "default",
                (false, false, None) => "unset",
            };
            let need = if setting.required { "required" } else { "optional" };
            let secret = if setting.secret { " [secret]" } else { "" };
            rows.push(row([setting.name, need, state], &(setting.meaning() + secret)));
        }
        rows.join("\n")
    }

    /// Returns the part of `--help` that lists the variables: those that are required first.
    #[must_use]
    pub fn help(&self) -> String {
        let width = self.name_width();
        let rows = |required: bool| -> Vec<String> {
            let settings = self.settings.iter().filter(|setting| setting.required == required);
            settings
                .map(|setting| {
                    let start = format!("  {:<width$}  ", setting.name);
                    indented(&start, &setting.meaning())
                })
                .collect()
        };
        format!(
            "Required environment variables:\n{}\n\nOptional environment variables (some are \
             required together with others):\n{}\n\nA variable X may be given as X_FILE=/path, \
             the path of a file with its value. `config check` shows the\nstate of each variable \
             and never a value.",
            rows(true).join("\n"),
            rows(false).join("\n")
        )
    }

    fn name_width(&self) -> usize {
        self.settings.iter().map(|setting| setting.name.len()).max().unwrap_or_default()
    }
}

/// Appends a text to the start of a line; further lines are indented to the same column.
fn indented(start: &str, text: &str) -> String {
    let indent = start.chars().count();
    let (mut lines, mut line) = (Vec::new(), start.to_owned());
    for word in text.split(' ') {
        let is_first = line.chars().count() == indent;
        if !is_first && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if !is_first {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line.trim_end().to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let setting = |name, about, required, default: Option<&str>| Setting {
            name,
            about,
            required,
            secret: name == "TOKEN",
            default: default.map(str::to_owned),
            set: name == "TOKEN",
        };
        Report {
            settings: vec![
                setting("PORT", "REST port", false, Some("3000")),
                setting("BUS", "message bus", true, None),
                setting("TOKEN", "bearer token", false, None),
            ],
            faults: vec![Fault { name: "BUS", problem: "is not set\n  see the manual".into() }],
        }
    }

    #[test]
    fn lists_required_variables_first_in_the_help() {
        let help = report().help();
        let (required, optional) = help.split_once("Optional").expect("two lists");
        assert!(required.contains("BUS    message bus"), "{help}");
        assert!(optional.contains("PORT   REST port [default: 3000]"), "{help}");
        assert!(optional.contains("TOKEN  bearer token"), "{help}");
    }

    #[test]
    fn shows_need_state_and_meaning_in_the_table() {
        let table = report().table();
        let rows: Vec<_> = table.lines().skip(1).collect();
        assert_eq!(
            rows,
            [
                "PORT   optional  default  REST port [default: 3000]",
                "BUS    required  FAULT    message bus",
                "TOKEN  optional  set      bearer token [secret]",
            ]
        );
    }

    #[test]
    fn tells_faults_in_one_line_for_a_log() {
        assert_eq!(report().summary(), "the configuration has 1 fault: BUS is not set");
        assert_eq!(report().fields()["faults"][0]["variable"], "BUS");
    }

    #[test]
    fn wraps_long_meanings_at_their_column() {
        let text = indented("NAME  ", &"word ".repeat(40));
        assert!(text.lines().count() > 1, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("      word")), "{text}");
    }
}
