//! Rules for the files of a service: the modules that it has, and their sizes.

use crate::{package::Package, violation::Violation};

/// Longest source file, in lines.
const MAX_LINES: usize = 400;

/// Longest `main.rs`, in lines.
const MAX_LINES_OF_MAIN: usize = 40;

/// Files that every service has.
const REQUIRED: [&str; 7] = ["app", "config", "domain", "lib", "main", "store", "usecases"];

/// Modules that a service has if it needs them.
const OPTIONAL: [&str; 4] = ["consumer", "routes", "tasks", "telemetry"];

/// Checks that a service has the modules of every service and no others besides its own.
#[must_use]
pub fn check_shape(service: &Package, own: &[&str]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut note = |file: String, rule, message: String| {
        found.push(Violation { file: format!("{}/{file}", service.name), line: 0, rule, message });
    };
    for name in REQUIRED {
        let file = format!("src/{name}.rs");
        if !service.sources.iter().any(|source| source.path == file) {
            let message = "is missing: all services have the same shape, so that whoever knows one \
                           finds the way in the others (docs/ARCHITECTURE.md)";
            note(file, "service-has-module", message.to_owned());
        }
    }
    for name in service.top_level() {
        if ![&REQUIRED[..], &OPTIONAL, own].iter().any(|known| known.contains(&name)) {
            let message = format!(
                "is a module that no other service has: move it below `domain`, `usecases`, \
                 `store` or one of {OPTIONAL:?}, or name it in the architecture test"
            );
            note(format!("src/{name}.rs"), "service-has-shape", message);
        }
    }
    for source in &service.sources {
        let lines = source.text.lines().count();
        if source.path == "src/main.rs" && lines > MAX_LINES_OF_MAIN {
            let message = format!(
                "has {lines} lines, more than {MAX_LINES_OF_MAIN}: `main` only starts what `app` \
                 assembles, so that tests start the same"
            );
            note(source.path.clone(), "main-is-thin", message);
        }
    }
    found.sort();
    found
}

/// Checks the length and the name of a source file, given its path from the root of the workspace.
#[must_use]
pub fn check_file(file: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut note = |rule, message: String| {
        found.push(Violation { file: file.to_owned(), line: 0, rule, message });
    };
    let lines = text.lines().count();
    if lines > MAX_LINES {
        let message = format!(
            "has {lines} lines, more than {MAX_LINES}: a reader needs a name for each of its parts: \
             split it by topic"
        );
        note("file-is-short", message);
    }
    if file.ends_with("/mod.rs") {
        let message = "is named after no topic: rename `topic/mod.rs` to `topic.rs`".to_owned();
        note("module-has-name", message);
    }
    found
}
