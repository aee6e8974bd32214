//! Rules for the dependencies between the crates of the workspace.

use std::collections::BTreeSet;

use crate::{package::Package, violation::Violation, workspace::Member};

/// Crates from the bottom to the top. A crate is built with crates of lower layers only, so that a
/// change is compiled by those above it, and by nobody else.
const LAYERS: [(&str, &[&str]); 8] = [
    (
        "values",
        &["backoff", "env-config", "jwt-crypto", "private-postgres", "recurrence", "time-zone"],
    ),
    ("wire", &["contract", "fcm"]),
    ("connections", &["bus", "db"]),
    ("processes", &["provision", "sandbox", "service"]),
    ("REST", &["rest"]),
    (
        "services",
        &["event-service", "notification-scheduler", "notification-service", "reminder-service"],
    ),
    ("suite", &["suite"]),
    ("tests", &["architecture", "bench", "fuzz", "style", "support", "system"]),
];

/// Crates that depend on another one of their layer, in this direction only.
const WITHIN_LAYER: [(&str, &str); 4] =
    [("recurrence", "time-zone"), ("bus", "db"), ("bench", "support"), ("system", "support")];

/// Crate that is of use to others, and the only crates of ours that it may bring along.
const INDEPENDENT: [(&str, &[&str]); 6] = [
    ("backoff", &[]),
    ("contract", &["recurrence", "time-zone"]),
    ("fcm", &["jwt-crypto"]),
    ("jwt-crypto", &[]),
    ("recurrence", &["time-zone"]),
    ("time-zone", &[]),
];

/// Member whose whole tree of dependencies lacks some crates, and the reason.
const WITHOUT: [(&str, &[&str], &str); 4] = [
    (
        "contract",
        &["axum", "hyper", "sqlx", "tokio"],
        "whoever reads or writes an event can use it, in any kind of program",
    ),
    (
        "fcm",
        &["axum", "minijinja", "sqlx"],
        "it sends messages to FCM, whoever writes their texts and keeps their tokens",
    ),
    ("recurrence", &["axum", "sqlx", "tokio"], "rules of time need neither network nor database"),
    (
        "notification-scheduler",
        &["jsonwebtoken", "rest", "utoipa"],
        "the scheduler serves no REST API, and does not compile the code of one",
    ),
];

/// Checks the direct dependencies of each member.
#[must_use]
pub fn check_crates(members: &[Member]) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in members {
        let Some(layer) = layer_of(&member.name) else {
            let message = "is in no layer: add it to LAYERS of the architecture test".to_owned();
            found.push(violation(member, "crate-has-layer", message));
            continue;
        };
        for name in &member.dependencies {
            let Some(other) = layer_of(name) else {
                continue;
            };
            let is_listed = WITHIN_LAYER.contains(&(member.name.as_str(), name.as_str()));
            if other >= layer && !is_listed {
                let message = format!(
                    "depends on `{name}` ({}), which is not below it ({}): move what is needed \
                     into a lower crate, or take it as a parameter",
                    LAYERS[other].0, LAYERS[layer].0
                );
                found.push(violation(member, "crates-point-down", message));
            }
            let allowed = INDEPENDENT.iter().find(|(independent, _)| *independent == member.name);
            if allowed.is_some_and(|(_, names)| !names.contains(&name.as_str())) {
                let message = format!(
                    "depends on `{name}`, but can be used on its own: leave the connection of the \
                     two to their user"
                );
                found.push(violation(member, "crate-is-independent", message));
            }
        }
    }
    found
}

/// Checks that the sources of a member name each of its dependencies.
#[must_use]
pub fn check_dependencies(member: &Member, package: &Package) -> Vec<Violation> {
    let unused = package.unused_dependencies().into_iter().map(|name| {
        format!(
            "depends on `{name}`, which no source names: remove it, or move it to \
             `[dev-dependencies]` if only tests need it"
        )
    });
    unused.map(|message| violation(member, "dependency-is-used", message)).collect()
}

/// Members whose whole tree of dependencies has rules.
pub fn members_with_tree_rules() -> impl Iterator<Item = &'static str> {
    WITHOUT.iter().map(|(name, ..)| *name)
}

/// Checks the names of all crates that a member is built with, directly or not.
#[must_use]
pub fn check_tree(member: &Member, tree: &BTreeSet<String>) -> Vec<Violation> {
    let rules = WITHOUT.iter().filter(|(name, ..)| *name == member.name);
    let broken = rules.flat_map(|(_, forbidden, reason)| {
        forbidden.iter().filter(|name| tree.contains(**name)).map(move |name| {
            format!(
                "is built with `{name}`, but {reason}: `cargo tree -p {} -e normal -i {name}` shows \
                 which crate brings it",
                member.name
            )
        })
    });
    broken.map(|message| violation(member, "tree-is-free-of", message)).collect()
}

/// Layer of a crate, from 0 for the lowest.
fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, crates)| crates.contains(&name))
}

fn violation(member: &Member, rule: &'static str, message: String) -> Violation {
    Violation { file: format!("{}/Cargo.toml", member.folder), line: 0, rule, message }
}
