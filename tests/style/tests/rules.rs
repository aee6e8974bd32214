//! Rules on small sources, and on every source of the workspace.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use style::check;

fn found(source: &str) -> Vec<String> {
    check(source).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn names_opener_of_doc_comment() {
    let source = "//! What a module is.\n\n/// Whether a field is set.\n/// What follows is a sentence.\nfn f() {}";
    let lines: Vec<usize> = check(source).unwrap().iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 3], "the second line of a comment continues the first");
    assert!(found("/// Whatever\nfn f() {}\n// What a plain comment says\n").is_empty());
}

#[test]
fn names_synonym_in_identifier() {
    let source = "fn f() {\n    x.map(|it| it.y);\n    let old_verdict = LaneState::Open;\n}";
    let lines: Vec<usize> = check(source).unwrap().iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [2, 2, 3, 3]);
    assert_eq!(found("fn f() { g(\"it lanes\", item, split, lanes_of) }").len(), 1);
}

#[test]
fn names_wide_line_unless_literal_is_long() {
    let code = format!("fn f() {{ let x = {}; }}", "1 + ".repeat(30) + "1");
    assert_eq!(found(&code).len(), 1);
    let comment = format!("// {}", "a ".repeat(60));
    assert_eq!(found(&comment).len(), 1);
    let literal = format!("fn f() {{ g(\"{}\"); }}", "a".repeat(120));
    assert!(found(&literal).is_empty());
}

#[test]
fn every_source_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = sources(&root);
    assert!(files.len() > 100, "{} sources below {}", files.len(), root.display());
    let mut findings = Vec::new();
    for file in &files {
        let found = check(&fs::read_to_string(file).unwrap()).unwrap();
        let name = file.strip_prefix(&root).unwrap().display();
        findings.extend(found.iter().map(|finding| format!("{name}:{finding}")));
    }
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

/// Rust sources below a folder, without those of builds and tools.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let is_ours = !name.starts_with('.') && !["target", "node_modules"].contains(&&*name);
        if is_ours && entry.file_type().unwrap().is_dir() {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
