//! Databases for tests: one for each test, copied from a template, dropped afterwards.

use sqlx::{Connection, PgConnection};

async fn names(url: &str, pattern: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.expect("the cluster answers");
    let sql = "SELECT datname::text FROM pg_database WHERE datname LIKE $1";
    sqlx::query_scalar(sql)
        .bind(pattern)
        .fetch_all(&mut connection)
        .await
        .expect("the names are read")
}

#[tokio::test]
async fn creates_separate_databases() {
    let (one, other) =
        tokio::join!(support::postgres::database("one"), support::postgres::database("other"));

    sqlx::raw_sql("CREATE TABLE only_here ()").execute(&one.pool().await).await.unwrap();

    let elsewhere = sqlx::raw_sql("SELECT FROM only_here").execute(&other.pool().await).await;
    assert!(elsewhere.is_err());
}

#[tokio::test]
async fn drops_database_when_somebody_is_connected() {
    let database = support::postgres::database("leaving").await;
    let _pool = database.pool().await;
    let name = database.name().to_owned();

    drop(database);

    let url = support::postgres::cluster_url().await.unwrap();
    assert!(names(&url, &name).await.is_empty());
}

#[tokio::test]
async fn fills_template_once_and_copies_it() {
    let key = format!("filled once {}", std::process::id());
    let fill = async |url: String| {
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::raw_sql("CREATE TABLE seats AS SELECT 7 AS number").execute(&mut connection).await?;
        Ok(connection.close().await?)
    };
    let first = support::postgres::database_from("copy", &key, fill).await;
    let second =
        support::postgres::database_from("copy", &key, async |_| panic!("it is there already"))
            .await;

    for database in [first, second] {
        let number: i32 = sqlx::query_scalar("SELECT number FROM seats")
            .fetch_one(&database.pool().await)
            .await
            .unwrap();
        assert_eq!(number, 7);
    }
}

#[tokio::test]
async fn runs_watchdog_inside_cluster() {
    let database = support::postgres::database("watched").await;

    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE query LIKE '%pg_try_advisory_lock(watching)%' \
               AND pid <> pg_backend_pid() AND state = 'active'";
    let watchdogs: i64 = sqlx::query_scalar(sql).fetch_one(&database.pool().await).await.unwrap();

    assert_eq!(watchdogs, 1);
}
