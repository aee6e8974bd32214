//! Query plans of the checked statements: finds those that read a whole table.
//!
//! The statements come from `.sqlx`, so each is planned exactly as the service runs it. The planner
//! may use neither sequential scans nor joins that read both sides completely; a scan that remains
//! has no index that finds its rows.

use std::{fs, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// A statement's text and the number of its parameters.
struct Statement {
    text: String,
    parameters: usize,
}

/// Returns `TABLE: STATEMENT` for each statement that reads one of the tables of a database
/// completely, without those that begin with one of `except`. Statements of other databases are
/// skipped.
///
/// # Panics
/// If `.sqlx` cannot be read, or a statement of this database cannot be planned.
pub async fn whole_table_reads(url: &str, except: &[&str]) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let settings =
        "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
                    set plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(settings).execute(&mut connection).await.expect("settings");
    let (mut reads, mut planned) = (Vec::new(), 0);
    for statement in statements() {
        let Some(plan) = plan(&mut connection, &statement).await else { continue };
        planned += 1;
        let mut tables = Vec::new();
        walk(&plan[0]["Plan"], false, &mut tables);
        let text = statement.text.split_whitespace().collect::<Vec<_>>().join(" ");
        reads.extend(tables.into_iter().map(|table| format!("{table}: {text}")));
    }
    reads.retain(|read| {
        !read.starts_with("pg_") && !except.iter().any(|except| read.starts_with(except))
    });
    assert!(planned > 10, "only {planned} statements were planned");
    reads
}

fn statements() -> Vec<Statement> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let files = fs::read_dir(&folder).expect("the checked statements");
    let mut statements: Vec<Statement> = files
        .map(|file| {
            let text = fs::read_to_string(file.expect("a file").path()).expect("a statement");
            let described: Value = serde_json::from_str(&text).expect("JSON");
            let parameters =
                described["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
            Statement {
                text: described["query"].as_str().unwrap_or_default().to_owned(),
                parameters,
            }
        })
        .collect();
    statements.sort_by(|one, other| one.text.cmp(&other.text));
    statements
}

/// Plans a statement; `None` if it belongs to another database.
async fn plan(connection: &mut PgConnection, statement: &Statement) -> Option<Value> {
    let prepare = AssertSqlSafe(format!("prepare inspected as {}", statement.text));
    if let Err(error) = sqlx::raw_sql(prepare).execute(&mut *connection).await {
        let code =
            error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        // An undefined table, column or function; or a statement that cannot be prepared, such as
        // `set`.
        let is_of_another = code
            .as_deref()
            .is_some_and(|code| ["42P01", "42703", "42883", "42601"].contains(&code));
        assert!(is_of_another, "{error}: {}", statement.text);
        return None;
    }
    let arguments = vec!["null"; statement.parameters].join(", ");
    let arguments = if arguments.is_empty() { arguments } else { format!("({arguments})") };
    let explain = AssertSqlSafe(format!("explain (format json) execute inspected{arguments}"));
    let explained = sqlx::raw_sql(explain).fetch_one(&mut *connection).await;
    let row = explained.unwrap_or_else(|error| panic!("{error}: {}", statement.text));
    let deallocate = sqlx::raw_sql("deallocate inspected").execute(connection).await;
    deallocate.expect("deallocated");
    let plan: Value = row.get(0);
    Some(plan)
}

/// Collects the tables that are read completely below a node. `is_limited`: only the first rows of
/// the node are used, so that the table is not read completely.
fn walk(node: &Value, is_limited: bool, tables: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let is_limited = match kind {
        "Limit" => true,
        "Sort" | "Aggregate" | "Hash" | "Materialize" | "WindowAgg" | "Unique" => false,
        _ => is_limited,
    };
    let has_no_condition = match kind {
        "Seq Scan" => true,
        // Without a filter it reads what its index holds, such as the few rows of a partial one.
        "Index Scan" | "Index Only Scan" => {
            node["Index Cond"].is_null() && !node["Filter"].is_null()
        }
        _ => false,
    };
    if let (true, false, Some(table)) =
        (has_no_condition, is_limited, node["Relation Name"].as_str())
    {
        tables.push(table.to_owned());
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        let goes_on = matches!(
            child["Parent Relationship"].as_str(),
            Some("Outer" | "Inner" | "Member" | "Subquery")
        );
        walk(child, is_limited && goes_on, tables);
    }
}
