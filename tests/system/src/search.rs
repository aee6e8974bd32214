//! Looking through whole databases.

use sqlx::AssertSqlSafe;
use support::postgres::Database;

/// The tables of a database in which a row says `text` somewhere, upper case or lower.
pub(crate) async fn tables_that_say(database: &Database, text: &str) -> Vec<String> {
    let pool = database.pool().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', table_schema, table_name) from information_schema.tables
         where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema') order by 1",
    )
    .fetch_all(&pool)
    .await
    .expect("the tables are listed");
    let mut found = Vec::new();
    for table in tables {
        let sql = format!(
            "select exists (select from {table} as it where it::text ilike '%' || $1 || '%')"
        );
        let says = sqlx::query_scalar(AssertSqlSafe(sql)).bind(text).fetch_one(&pool).await;
        if says.unwrap_or_else(|error| panic!("{table} is searched: {error}")) {
            found.push(format!("{} {table}", database.name()));
        }
    }
    pool.close().await;
    found
}
