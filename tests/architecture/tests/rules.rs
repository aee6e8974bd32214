//! Rules on small sources that break each of them, and on sources that keep them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use architecture::{
    Member, Package, Source, Violation, check_crates, check_cycles, check_dependencies,
    check_directions, check_file, check_shape, check_tree, compare,
};

/// Service of these files, each a path below `src` and its content. The root declares their
/// top-level modules.
fn service(files: &[(&str, &str)]) -> Package {
    let names: BTreeSet<&str> = files.iter().map(|(path, _)| first_of(path)).collect();
    let root = names.iter().map(|name| format!("mod {name};\n")).collect::<String>();
    let is_root_given = names.contains("lib");
    let root = ("lib.rs", root.as_str());
    let all = files.iter().chain((!is_root_given).then_some(&root));
    let sources = all
        .map(|(path, text)| Source { path: format!("src/{path}"), text: (*text).to_owned() })
        .collect();
    let dependencies = ["axum", "bus", "chrono", "contract", "rest", "sqlx", "tokio", "uuid"];
    Package::read("test-service", dependencies, sources).unwrap()
}

fn first_of(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap()
}

/// Lines and rules that a file breaks; the other files are empty modules.
fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
    let names = ["app", "config", "consumer", "domain", "routes", "store", "tasks", "usecases"];
    let files: Vec<String> = names.iter().map(|name| format!("{name}.rs")).collect();
    let mut all: Vec<(&str, &str)> =
        files.iter().map(|file| (file.as_str(), "")).filter(|(file, _)| *file != path).collect();
    all.push((path, text));
    let found = check_directions(&service(&all));
    found.into_iter().map(|violation| (violation.line, violation.rule)).collect()
}

#[test]
fn names_library_in_domain() {
    let source =
        "use std::fmt;\nuse sqlx::PgPool;\nfn f() { tokio::spawn(x); }\nuse contract::Reason;";
    let rule = "domain-imports-values-only";
    assert_eq!(broken("domain/due.rs", source), [(2, rule), (3, rule)]);
}

#[test]
fn names_module_in_domain() {
    let source = "use crate::config::Config;\nuse crate::domain::due;\nuse super::super::store::S;";
    let rule = "domain-is-closed";
    assert_eq!(broken("domain/due.rs", source), [(1, rule), (3, rule)]);
}

#[test]
fn names_clock_and_chance_in_domain() {
    let rule = "domain-is-deterministic";
    for effect in [
        "use chrono::Utc;fn f() { Utc::now() }",
        "fn f() { std::time::Instant::now() }",
        "use uuid::Uuid as Id;fn f() { Id::now_v7() }",
        "use std::{env, fmt};",
        "fn f() { std::fs::read(x) }",
    ] {
        assert_eq!(broken("domain.rs", effect), [(1, rule)], "{effect}");
        assert!(broken("usecases.rs", effect).is_empty(), "{effect}");
    }
    let pure = "use std::time::Instant;fn f(now: Instant) { uuid::Uuid::new_v5(a, b) }";
    assert!(broken("domain.rs", pure).is_empty());
}

#[test]
fn names_use_case_and_http_in_store() {
    let source = "use crate::usecases::Error;\nfn f(x: axum::Json<u8>) -> rest::Body {}";
    let expected = [(1, "store-below-use-cases"), (2, "store-without-http")];
    assert_eq!(broken("store.rs", source)[..2], expected);
}

#[test]
fn names_http_in_use_case() {
    let rule = "use-cases-without-http";
    let source = "use {sqlx::PgPool, axum::{Json, http as h}};\nuse crate::store::read;";
    assert_eq!(broken("usecases/create_reminder.rs", source), [(1, rule), (1, rule)]);
}

#[test]
fn names_import_of_caller() {
    let rule = "callers-on-top";
    for path in ["store.rs", "usecases.rs", "config.rs", "dispatch.rs"] {
        let source = "use crate::{app, routes::AppState};\nfn f() { crate::consumer::run() }";
        assert_eq!(broken(path, source), [(1, rule), (1, rule), (2, rule)], "{path}");
    }
    assert!(broken("app.rs", "use crate::{consumer, routes, tasks, store, usecases};").is_empty());
    assert_eq!(broken("tasks/purge.rs", "use crate::routes::x;"), [(1, rule)]);
}

#[test]
fn names_statement_outside_of_store() {
    let rule = "sql-in-store-only";
    for statement in [
        "fn f() { sqlx::query!(\"select 1\") }",
        "fn f() { let q = sqlx::query_as::<_, Row>(\"select 1\"); }",
        "use sqlx::query_scalar;",
        "use sqlx::QueryBuilder as Q;",
        "use sqlx as database;fn f() { database::raw_sql(\"select 1\") }",
    ] {
        assert_eq!(broken("routes/create.rs", statement), [(1, rule)], "{statement}");
        assert!(broken("store/create.rs", statement).is_empty(), "{statement}");
    }
    assert!(broken("routes/create.rs", "use axum::extract::Query;").is_empty());
}

#[test]
fn names_transaction_of_caller() {
    let source =
        "async fn f(pool: PgPool) {\n    let t = pool.begin().await;\n    t.commit().await\n}";
    let rule = "callers-begin-no-transaction";
    for path in ["routes/create.rs", "consumer.rs", "tasks/purge.rs"] {
        assert_eq!(broken(path, source), [(2, rule), (3, rule)], "{path}");
    }
    assert!(broken("usecases/create_reminder.rs", source).is_empty());
    assert!(broken("routes/calendar.rs", "fn f() { parser.begin(line) }").is_empty());
}

#[test]
fn follows_names_to_their_origin() {
    let through_root = service(&[
        ("lib.rs", "mod domain; mod store;\npub use store::Pool as Connections;"),
        ("domain.rs", "use crate::Connections;"),
        ("store.rs", "pub struct Pool;"),
    ]);
    assert_eq!(check_directions(&through_root)[0].rule, "domain-is-closed");
    let through_globs = service(&[
        ("domain.rs", "mod due { use super::{*, sql::*}; fn f() { db::Pool::x() } }\nmod sql;"),
        ("domain/sql.rs", "pub use sqlx as db;"),
    ]);
    let found = check_directions(&through_globs);
    let files: Vec<&str> = found.iter().map(|violation| violation.file.as_str()).collect();
    assert_eq!(files, ["test-service/src/domain.rs", "test-service/src/domain/sql.rs"]);
}

#[test]
fn names_cycle_of_modules() {
    let cycle = service(&[
        ("channels.rs", "use crate::store::Row;"),
        ("dispatch.rs", "use crate::{channels, domain};"),
        ("domain.rs", ""),
        ("store.rs", "\nuse crate::dispatch::Lease;"),
    ]);
    let found = check_cycles(&cycle);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].file, "test-service/src/channels.rs");
    let arrow = "`store` imports `crate::dispatch::Lease` (src/store.rs:2)";
    assert!(found[0].message.contains(arrow), "{}", found[0]);
    let ways = [
        ("store.rs", "use crate::domain;"),
        ("domain.rs", ""),
        ("app.rs", "use crate::{domain, store};"),
    ];
    assert!(check_cycles(&service(&ways)).is_empty());
}

#[test]
fn prefers_own_module_to_crate_of_same_name() {
    let source = "mod bus;\nuse bus::Route;\nfn f() { self::bus::x(); bus::y() }";
    assert!(broken("domain.rs", source).is_empty());
    assert_eq!(broken("domain.rs", "fn f() { bus::y() }").len(), 1);
}

#[test]
fn names_imported_type_once() {
    let source = "use contract::Reason;\nuse crate::store::Row;\nfn f() { Row::new(); Row::A }";
    assert_eq!(broken("domain.rs", source), [(2, "domain-is-closed")]);
}

#[test]
fn exempts_code_of_tests() {
    let inline =
        "#[cfg(test)]\nmod tests { use sqlx::PgPool; }\n#[cfg(all(test, unix))] use axum::x;";
    assert!(broken("domain.rs", inline).is_empty());
    let files =
        [("domain.rs", "#[cfg(test)]\nmod tests;"), ("domain/tests.rs", "use sqlx::query;")];
    assert!(check_directions(&service(&files)).is_empty());
    assert_eq!(broken("domain.rs", "#[cfg(not(test))]\nuse sqlx::PgPool;").len(), 1);
    let after = "#[cfg(test)]\nfn helper<A, B>(a: A) { a }\nuse sqlx::PgPool;";
    assert_eq!(broken("domain.rs", after).len(), 1, "only the helper is exempt");
}

#[test]
fn reads_arguments_of_macros_and_attributes() {
    let source = "#[derive(sqlx::FromRow)]\nstruct S;\nfn f() { assert!(tokio::x::y()) }";
    assert_eq!(broken("domain.rs", source).len(), 2);
}

#[test]
fn tells_paths_from_methods_and_qualified_types() {
    let rule = "domain-imports-values-only";
    let path = "fn f() -> S { S { a, ..tokio::x() } }\nfn g() { for i in 0..tokio::y() {} }";
    assert_eq!(broken("domain.rs", path), [(1, rule), (2, rule)]);
    let method = "fn f() { x.tokio::<u8>(); <T as Clone>::bus::<u8>(); Vec::<u8>::axum::new() }";
    assert!(broken("domain.rs", method).is_empty());
}

#[test]
fn names_missing_and_unknown_modules() {
    let service = service(&[("app.rs", ""), ("waiting.rs", ""), ("render.rs", "")]);
    let found = check_shape(&service, &["render"]);
    let files: Vec<_> = found.iter().map(|found| (found.file.as_str(), found.rule)).collect();
    let missing = ["config", "domain", "main", "store", "usecases"];
    let paths = missing.map(|name| format!("test-service/src/{name}.rs"));
    let mut expected: Vec<_> =
        paths.iter().map(|path| (path.as_str(), "service-has-module")).collect();
    expected.push(("test-service/src/waiting.rs", "service-has-shape"));
    assert_eq!(files, expected);
}

#[test]
fn names_long_files() {
    let main = "fn main() {}\n".repeat(41);
    let rules: Vec<_> =
        check_shape(&service(&[("main.rs", &main)]), &[]).iter().map(|found| found.rule).collect();
    assert!(rules.contains(&"main-is-thin"));
    let rules = |file, lines| check_file(file, &"\n".repeat(lines)).len();
    assert_eq!((rules("a/src/b.rs", 400), rules("a/src/b.rs", 401)), (0, 1));
    assert_eq!(rules("a/src/b/mod.rs", 1), 1);
}

fn member(name: &str, dependencies: &[&str]) -> Member {
    let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
    Member { name: name.to_owned(), folder: name.to_owned(), dependencies }
}

#[test]
fn names_crates_that_point_up() {
    let rules = |name, dependencies: &[&str]| -> Vec<_> {
        check_crates(&[member(name, dependencies)]).iter().map(|found| found.rule).collect()
    };
    assert_eq!(rules("service", &["bus", "contract", "tokio"]), [""; 0]);
    assert_eq!(rules("service", &["rest"]), ["crates-point-down"]);
    assert_eq!(rules("event-service", &["reminder-service"]), ["crates-point-down"]);
    assert_eq!(rules("bus", &["db", "support"]), ["crates-point-down"]);
    assert_eq!(rules("fcm", &["jwt-crypto", "backoff"]), ["crate-is-independent"]);
    assert_eq!(rules("manager", &[]), ["crate-has-layer"]);
}

#[test]
fn names_unused_dependencies() {
    let service = service(&[
        ("app.rs", "use axum::x;\nfn f() { bus::y(); build!(contract, z) }"),
        ("domain.rs", "#[cfg(test)] mod tests { use rest::x; }"),
    ]);
    let found = check_dependencies(&member("test-service", &[]), &service);
    let messages: Vec<&str> = found.iter().map(|found| &*found.message).collect();
    let starts =
        ["chrono", "rest", "sqlx", "tokio", "uuid"].map(|name| format!("depends on `{name}`"));
    assert_eq!(messages.len(), starts.len(), "{messages:?}");
    assert!(messages.iter().zip(&starts).all(|(message, start)| message.starts_with(start)));
}

#[test]
fn names_crates_in_tree() {
    let tree = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let scheduler = member("notification-scheduler", &[]);
    assert_eq!(check_tree(&scheduler, &tree(&["utoipa", "sqlx", "rest"])).len(), 2);
    assert!(check_tree(&member("event-service", &[]), &tree(&["utoipa"])).is_empty());
}

#[test]
fn reports_new_violation_and_stale_exception() {
    let violation = Violation {
        file: "a/src/b.rs".to_owned(),
        line: 7,
        rule: "domain-is-closed",
        message: "imports `c`".to_owned(),
    };
    let violations = [violation];
    assert_eq!(compare(&violations, &[("a/src/b.rs", "domain-is-closed")]), Ok(()));
    let report = compare(&violations, &[("a/src/b.rs", "main-is-thin")]).unwrap_err();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[0], "a/src/b.rs:7: [domain-is-closed] imports `c`");
    assert!(lines[1].starts_with("a/src/b.rs: keeps [main-is-thin] now"), "{report}");
}
