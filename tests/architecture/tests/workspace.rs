//! Rules on the sources and manifests of the workspace, and the page of its graph.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use std::{env, fs};

use architecture::{
    Member, Violation, check_crates, check_cycles, check_dependencies, check_directions,
    check_file, check_shape, check_tree, compare, dependency_tree, members,
    members_with_tree_rules, render, root, source, sources,
};

/// Services, each with the modules that only it has: providers and their senders, the clock of the
/// database, a command that renders templates; clients of the other services.
const SERVICES: [(&str, &[&str]); 4] = [
    ("event-service", &[]),
    ("notification-scheduler", &[]),
    ("notification-service", &["channels", "clock", "dispatch", "render"]),
    ("reminder-service", &["peers"]),
];

/// Files that are known to break a rule, by file and rule. An entry that is not needed fails.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Manifests with dependencies that no source names.
const UNNAMED_DEPENDENCIES: &[(&str, &str)] = &[("suite/sandbox/Cargo.toml", "dependency-is-used")];

fn member_named(members: &[Member], name: &str) -> Member {
    members.iter().find(|member| member.name == name).unwrap().clone()
}

fn expect_only(found: &[Violation], known: &[(&str, &str)]) {
    if let Err(report) = compare(found, known) {
        panic!("\n{report}");
    }
}

#[test]
fn services_keep_shape_and_directions() {
    let root = root();
    let members = members(&root).unwrap();
    let mut found = Vec::new();
    for (name, own) in SERVICES {
        let package = member_named(&members, name).package(&root).unwrap();
        let references = package.references().len();
        assert!(references > 100, "{name}: only {references} references are read");
        found.extend(check_shape(&package, own));
        found.extend(check_directions(&package));
        found.extend(check_cycles(&package));
    }
    expect_only(&found, EXCEPTIONS);
}

#[test]
fn files_are_short() {
    let root = root();
    let files = sources(&root).unwrap();
    assert!(files.len() > 100, "{} sources below {}", files.len(), root.display());
    let sources = files.iter().map(|file| source(&root, file).unwrap());
    let found: Vec<_> = sources.flat_map(|source| check_file(&source.path, &source.text)).collect();
    expect_only(&found, &[]);
}

#[test]
fn crates_depend_on_lower_layers() {
    expect_only(&check_crates(&members(&root()).unwrap()), &[]);
}

#[test]
fn sources_name_every_dependency() {
    let root = root();
    let mut found = Vec::new();
    for member in members(&root).unwrap() {
        found.extend(check_dependencies(&member, &member.package(&root).unwrap()));
    }
    expect_only(&found, UNNAMED_DEPENDENCIES);
}

#[test]
fn trees_lack_foreign_crates() {
    let root = root();
    let members = members(&root).unwrap();
    for name in members_with_tree_rules() {
        let tree = dependency_tree(&root, name).unwrap();
        assert!(tree.contains(name) && tree.contains("thiserror"), "{name}: {tree:?}");
        expect_only(&check_tree(&member_named(&members, name), &tree), &[]);
    }
}

#[test]
fn matches_committed_graph() {
    let root = root();
    let members = members(&root).unwrap();
    let packages: Vec<_> = members.iter().map(|member| member.package(&root).unwrap()).collect();
    let current = render(&members, &packages);
    let file = root.join("docs/architecture-graph.md");
    if env::var_os("UPDATE_GRAPH").is_some() {
        fs::write(&file, &current).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let difference = difference(&committed, &current);
    assert!(
        committed == current,
        "docs/architecture-graph.md is out of date: `make graph` writes it\n{difference}"
    );
}

/// Lines that only one of two pages has.
fn difference(committed: &str, current: &str) -> String {
    let only = |sign: char, page: &str, other: &str| -> String {
        let others: Vec<&str> = other.lines().collect();
        let lines = page.lines().filter(|line| !others.contains(line));
        lines.map(|line| format!("{sign} {line}\n")).collect()
    };
    only('-', committed, current) + &only('+', current, committed)
}
