//! Environment that a process runs in.

use std::{fmt, str::FromStr};

/// Environment that the process runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEnv {
    /// Machine of a developer: `serve` applies migrations first.
    Local,
    /// Development environment of the cluster.
    Development,
    /// Environment that mirrors production.
    Staging,
    /// Production.
    Production,
}

impl FromStr for AppEnv {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "local" => Ok(Self::Local),
            "development" => Ok(Self::Development),
            "staging" => Ok(Self::Staging),
            "production" => Ok(Self::Production),
            _ => Err("expected local, development, staging or production"),
        }
    }
}

impl fmt::Display for AppEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        })
    }
}
