//! Full-text search in all tables of a database.

use sqlx::AssertSqlSafe;
use support::postgres::Database;

/// Names the tables of a database in which a row contains `text`, in upper or lower case.
pub(crate) async fn tables_containing(database: &Database, text: &str) -> Vec<String> {
    let pool = database.pool().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', table_schema, table_name) from information_schema.tables
         where table_type = 'BASE TABLE'
           and table_schema not in ('pg_catalog', 'information_schema')
         order by 1",
    )
    .fetch_all(&pool)
    .await
    .expect("the tables are listed");
    let mut found = Vec::new();
    for table in tables {
        let sql = format!(
            "select exists (select from {table} as entry where entry::text ilike '%' || $1 || '%')"
        );
        let contains = sqlx::query_scalar(AssertSqlSafe(sql)).bind(text).fetch_one(&pool).await;
        if contains.unwrap_or_else(|error| panic!("{table} is searched: {error}")) {
            found.push(format!("{} {table}", database.name()));
        }
    }
    pool.close().await;
    found
}
