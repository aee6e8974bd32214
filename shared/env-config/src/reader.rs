//! Reads variables from the environment, and records each variable and each fault.

use std::{collections::BTreeMap, fmt::Display, path::PathBuf, str::FromStr};

use secrecy::SecretString;

use super::{
    live::LiveSecret,
    report::{Fault, Report, Setting},
    secret_file,
};

/// Source of variables: the process, or a map in tests and in the suite.
pub trait Env: Send + Sync {
    /// Returns the value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

/// Reads variables one by one and collects every fault instead of stopping at the first.
pub struct Reader<'a> {
    env: &'a dyn Env,
    report: Report,
}

impl<'a> Reader<'a> {
    /// Creates a reader of an environment.
    #[must_use]
    pub fn new(env: &'a dyn Env) -> Self {
        Self { env, report: Report::default() }
    }

    /// Reads a required variable.
    pub fn required<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
        about: &'static str,
    ) -> Option<T> {
        let raw = self.read(name, about, true, false, None);
        if raw.is_none() {
            self.missing(name);
        }
        self.parse(name, raw)
    }

    /// Reads an optional variable.
    pub fn optional<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
        about: &'static str,
    ) -> Option<T> {
        let raw = self.read(name, about, false, false, None);
        self.parse(name, raw)
    }

    /// Reads a variable with a default; `None` only if it is set and malformed, which is recorded
    /// as a fault.
    pub fn or<T: FromStr<Err: Display> + Display>(
        &mut self,
        name: &'static str,
        about: &'static str,
        default: T,
    ) -> Option<T> {
        match self.read(name, about, false, false, Some(default.to_string())) {
            None => Some(default),
            raw => self.parse(name, raw),
        }
    }

    /// Reads an optional secret.
    pub fn secret(&mut self, name: &'static str, about: &'static str) -> Option<SecretString> {
        self.read(name, about, false, true, None).map(SecretString::from)
    }

    /// Reads a required secret.
    pub fn required_secret(
        &mut self,
        name: &'static str,
        about: &'static str,
    ) -> Option<SecretString> {
        let raw = self.read(name, about, true, true, None);
        if raw.is_none() {
            self.missing(name);
        }
        raw.map(SecretString::from)
    }

    /// Reads an optional secret. If it comes from a file, the file is read again while the process
    /// runs; see [`LiveSecret`].
    pub fn live_secret(&mut self, name: &'static str, about: &'static str) -> Option<LiveSecret> {
        let value = self.read(name, about, false, true, None);
        self.live(name, value)
    }

    /// Reads a required secret, which is read again like a [`LiveSecret`].
    pub fn required_live_secret(
        &mut self,
        name: &'static str,
        about: &'static str,
    ) -> Option<LiveSecret> {
        let value = self.read(name, about, true, true, None);
        if value.is_none() {
            self.missing(name);
        }
        self.live(name, value)
    }

    /// Reads an optional value that is not a secret, and is read again like a [`LiveSecret`].
    pub fn live_value(&mut self, name: &'static str, about: &'static str) -> Option<LiveSecret> {
        let value = self.read(name, about, false, false, None);
        self.live(name, value)
    }

    fn live(&self, name: &'static str, value: Option<String>) -> Option<LiveSecret> {
        let value = SecretString::from(value?);
        Some(match self.file_of(name) {
            Some(path) => LiveSecret::from_file(name, path, value),
            None => LiveSecret::fixed(value),
        })
    }

    /// Returns whether a variable is set and contains only blanks or nothing.
    #[must_use]
    pub fn is_blank(&self, name: &str) -> bool {
        self.env.get(name).is_some_and(|value| value.trim().is_empty())
    }

    /// Path of the file that contains a variable (`X_FILE`), if it is set.
    fn file_of(&self, name: &str) -> Option<PathBuf> {
        self.env.get(&format!("{name}_FILE")).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// Records a fault of a variable; `problem` must not contain its value.
    pub fn fault(&mut self, name: &'static str, problem: impl Into<String>) {
        if !self.report.faults.iter().any(|fault| fault.name == name) {
            self.report.faults.push(Fault { name, problem: problem.into() });
        }
    }

    /// Records that a variable is missing.
    pub fn missing(&mut self, name: &'static str) {
        self.fault(name, "is not set");
    }

    /// Returns the recorded variables and faults.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    fn parse<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
        raw: Option<String>,
    ) -> Option<T> {
        match raw?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(name, format!("is malformed: {}", plain(&error.to_string())));
                None
            }
        }
    }

    fn read(
        &mut self,
        name: &'static str,
        about: &'static str,
        required: bool,
        secret: bool,
        default: Option<String>,
    ) -> Option<String> {
        let direct = self.env.get(name).filter(|value| !value.trim().is_empty());
        let file = self.file_of(name);
        let set = direct.is_some() || file.is_some();
        if !self.report.settings.iter().any(|setting| setting.name == name) {
            self.report.settings.push(Setting { name, about, required, secret, default, set });
        }
        match (direct, file) {
            (Some(_), Some(_)) => {
                self.fault(name, format!("is given twice: {name} and {name}_FILE"));
                None
            }
            (Some(value), None) => Some(value.trim().to_owned()),
            (None, Some(path)) => match secret_file::read(&path) {
                Ok(text) => Some(text),
                Err(problem) => {
                    self.fault(name, format!("its file ({name}_FILE) {problem}"));
                    None
                }
            },
            (None, None) => None,
        }
    }
}

/// An error of a parser of the standard library in plain words.
fn plain(error: &str) -> &str {
    match error {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "expected a whole number, 0 or more"
        }
        "number too large to fit in target type" => "the number is too large",
        "provided string was not `true` or `false`" => "expected true or false",
        other => other,
    }
}
