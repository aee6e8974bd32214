//! Checks the migrations of every service by the rules of
//! docs/adr/0012-migrations-beside-traffic.md.

use std::{collections::BTreeSet, fs, path::Path};

/// Services with migrations, each with the last migration that was written before the rules. No
/// release contained it, so it is never applied to a large table.
const OWNERS: [(&str, i64); 3] =
    [("event-service", 2), ("notification-service", 5), ("reminder-service", 2)];
/// Tables that stay small, as a relay empties them.
const SMALL: [&str; 2] = ["outbox", "commands"];
/// Comment that allows the next statement to hold a lock, with its reason.
const ALLOWED: &str = "-- may lock:";

/// Words of each statement in lower case, without comments and bodies of functions.
fn statements(sql: &str) -> Vec<Vec<String>> {
    let mut text = String::new();
    let mut is_allowed = false;
    for line in sql.lines() {
        let line = line.trim();
        is_allowed |= line.starts_with(ALLOWED);
        let code = line.split("--").next().unwrap_or_default();
        if !code.trim().is_empty() && !is_allowed {
            text += &format!(" {}", code.to_lowercase());
        }
        is_allowed &= !code.contains(';');
    }
    // Bodies of functions run later, not during the migration; the body of a `do` runs as a part of
    // it.
    let mut outside = String::new();
    for (number, piece) in text.split("$$").enumerate() {
        let is_run = outside
            .rsplit(';')
            .next()
            .is_some_and(|statement| statement.trim_start().starts_with("do "));
        if number % 2 == 0 {
            outside += piece;
        } else if is_run {
            outside += &piece.replace(';', " ");
        }
        outside += " ";
    }
    let words = |statement: &str| {
        statement.replace('(', " (").split_whitespace().map(str::to_owned).collect()
    };
    outside.split(';').map(words).filter(|words: &Vec<String>| !words.is_empty()).collect()
}

/// Returns the statements of a migration that break the rules.
fn faults(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    let has_no_transaction = sql.starts_with("-- no-transaction");
    let mut made = BTreeSet::new();
    let mut faults = Vec::new();
    for words in &statements {
        let after = |word: &str| {
            words.iter().position(|found| found == word).and_then(|at| words.get(at + 1))
        };
        let begins = |start: &[&str]| {
            words.iter().zip(start).filter(|(word, start)| word == start).count() == start.len()
        };
        let is_index = begins(&["create", "index"]) || begins(&["create", "unique", "index"]);
        if begins(&["create", "table"]) {
            let name =
                words[2..].iter().find(|word| !["if", "not", "exists"].contains(&word.as_str()));
            made.extend(name);
        }
        if !is_index {
            continue;
        }
        let is_concurrent = words.iter().any(|word| word == "concurrently");
        if is_concurrent && (!has_no_transaction || statements.len() > 1) {
            faults.push(format!(
                "{}: concurrently needs `-- no-transaction` and a file of its own",
                words.join(" ")
            ));
        } else if is_concurrent && !words.iter().any(|word| word == "exists") {
            faults.push(format!(
                "{}: without `if not exists` it cannot be tried again",
                words.join(" ")
            ));
        } else if !is_concurrent
            && after("on")
                .is_some_and(|table| !made.contains(table) && !SMALL.contains(&table.as_str()))
        {
            faults.push(format!("{}: locks a table that may be large", words.join(" ")));
        }
    }
    if has_no_transaction && statements.len() != 1 {
        faults.push("without a transaction there is one statement".to_owned());
    }
    faults.extend(table_wide_changes(&statements, &made, has_no_transaction));
    faults
}

/// Returns the statements that change or read a whole table that may be large while other sessions
/// wait: rows, and tables of an `alter table` in the same transaction, stay locked until the
/// transaction ends.
fn table_wide_changes(
    statements: &[Vec<String>],
    made: &BTreeSet<&String>,
    has_no_transaction: bool,
) -> Vec<String> {
    let is_large = |table: Option<&String>| {
        table.is_some_and(|table| !made.contains(table) && !SMALL.contains(&table.as_str()))
    };
    let alters = statements.iter().any(|words| {
        words.starts_with(&["alter".into(), "table".into()]) && !made.contains(&words[2])
    });
    let mut faults = Vec::new();
    for words in statements {
        let has = |word: &str| words.iter().any(|found| found == word);
        let fault = match words[0].as_str() {
            "do" if !(has_no_transaction && has("commit"))
                && ["update", "delete", "insert"].into_iter().any(has) =>
            {
                "changes rows without a commit after each chunk"
            }
            "update" if is_large(words.get(1)) => "changes all rows in one transaction",
            "delete" if is_large(words.get(2)) => "changes all rows in one transaction",
            "insert" if alters && has("select") => {
                "reads tables under the lock of an `alter table`"
            }
            _ => continue,
        };
        faults.push(format!("{}: {fault}", words.join(" ")));
    }
    faults
}

#[test]
fn migrations_never_lock_large_tables() {
    let mut found = Vec::new();
    for (owner, last) in OWNERS {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(owner).join("migrations");
        for file in fs::read_dir(folder).expect("a folder") {
            let path = file.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let version: i64 =
                name.split('_').next().and_then(|number| number.parse().ok()).expect("a number");
            if version > last {
                let sql = fs::read_to_string(&path).expect("text");
                found.extend(
                    faults(&sql).into_iter().map(|fault| format!("{owner} {name}: {fault}")),
                );
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn finds_changes_of_whole_tables() {
    let chunks = "do $$ begin
        loop update t set x = 1 where y; commit; exit when not found; end loop; end $$;";
    for (sql, number) in [
        ("alter table t add column x int;\nupdate t set x = 1 from u where t.id = u.id;", 1),
        ("update t set x = 1;", 1),
        ("-- no-transaction\nupdate t set x = 1;", 1),
        ("delete from t where x;", 1),
        ("create table t (x int); insert into t values (1); update t set x = 2;", 0),
        ("update outbox set x = 1;", 0),
        ("insert into n (x) select x from t; alter table t add column y int;", 1),
        (
            "create table n (x int); alter table n alter x set storage external;
            insert into n (x) select x from t;",
            0,
        ),
        ("-- no-transaction\ninsert into n (x) select x from t;", 0),
        (chunks, 1),
        (&format!("-- no-transaction\n{chunks}"), 0),
        ("-- no-transaction\ndo $$ begin update t set x = 1; end $$;", 1),
        ("do $$ begin perform 1; end $$;", 0),
        (
            "create function f() returns void language plpgsql
            as $$ begin update t set x = 1; end $$;",
            0,
        ),
        ("-- may lock: it has few rows\nupdate t set x = 1;", 0),
    ] {
        assert_eq!(faults(sql).len(), number, "{sql}: {:?}", faults(sql));
    }
}

#[test]
fn finds_indexes_that_lock() {
    for (sql, number) in [
        ("create index a on t (x);", 1),
        ("-- why\ncreate unique index a on t(x);", 1),
        ("create table t (x int);\ncreate index a on t (x);", 0),
        (
            "create table if not exists t (x int);
            create index a on t (x); create index b on u (x);",
            1,
        ),
        ("-- no-transaction\ncreate index concurrently if not exists a on t (x);", 0),
        ("-- no-transaction\ncreate index concurrently a on t (x);", 1),
        ("create index concurrently if not exists a on t (x);", 1),
        ("-- no-transaction\ncreate index concurrently if not exists a on t (x); select 1;", 2),
        (
            "create function f() returns void language plpgsql
            as $$ begin create index a on t (x); end $$;",
            0,
        ),
        ("create index a on outbox (x); begin;", 0),
        ("-- may lock: the table is rewritten here\ncreate index a on t (x);", 0),
    ] {
        assert_eq!(faults(sql).len(), number, "{sql}: {:?}", faults(sql));
    }
}
