use sqlx::{migrate::MigrationType, postgres::PgPoolOptions};
use support::postgres::Database;

use super::*;

/// A database with a table, and a pool whose sessions have a short statement timeout.
async fn database_with_items() -> (Database, PgPool) {
    let database = support::postgres::database("migrations").await;
    let options: PgConnectOptions = database.url().parse().unwrap();
    let options = options.options([("statement_timeout", "300ms")]);
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    sqlx::raw_sql("create table items (id int); insert into items values (1)")
        .execute(&pool)
        .await
        .unwrap();
    (database, pool)
}

fn migrator(statements: &[&str]) -> Migrator {
    let migration = |(number, sql): (usize, &&str)| {
        let no_tx = sql.starts_with("-- no-transaction");
        let sql = AssertSqlSafe((*sql).to_owned());
        let version = i64::try_from(number).unwrap() + 1;
        Migration::new(
            version,
            "test".into(),
            MigrationType::Simple,
            sqlx::SqlSafeStr::into_sql_str(sql),
            no_tx,
        )
    };
    Migrator::with_migrations(statements.iter().enumerate().map(migration).collect())
}

async fn run(pool: &PgPool, migrator: &Migrator) -> Result<(), MigrationError> {
    let pause = Duration::from_millis(200);
    Session::open((*pool.connect_options()).clone(), pause).await.unwrap().run(migrator).await
}

async fn is_valid(pool: &PgPool, index: &str) -> Option<bool> {
    let valid = "select indisvalid from pg_index where indexrelid = to_regclass($1)";
    sqlx::query_scalar(valid).bind(index).fetch_optional(pool).await.unwrap()
}

#[tokio::test]
async fn applies_migration_longer_than_statement_timeout() {
    let (_database, pool) = database_with_items().await;
    let slow = migrator(&["alter table items add column a int", "select pg_sleep(0.5)"]);
    run(&pool, &slow).await.unwrap();
    run(&pool, &slow).await.unwrap();
}

#[tokio::test]
async fn allows_reads_while_it_waits_for_lock() {
    let (_database, pool) = database_with_items().await;
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("select * from items").execute(&mut *holder).await.unwrap();
    let alter = migrator(&["alter table items add column a int"]);
    let migrating = run(&pool, &alter);
    let reading = async {
        // While the migration waits for its lock, readers queue behind it.
        let waiting = "select exists (
            select from pg_locks where not granted and mode = 'AccessExclusiveLock'
        )";
        let mut reader = pool.acquire().await.unwrap();
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&mut *reader).await.unwrap() {
            tokio::task::yield_now().await;
        }
        sqlx::raw_sql("set statement_timeout = '20s'").execute(&mut *reader).await.unwrap();
        let read = sqlx::query_scalar::<_, i64>("select count(*) from items")
            .fetch_one(&mut *reader)
            .await;
        holder.commit().await.unwrap();
        read
    };
    let (migrated, read) = tokio::join!(migrating, reading);
    assert_eq!((migrated.is_ok(), read.unwrap()), (true, 1));
}

#[tokio::test]
async fn rebuilds_index_of_interrupted_migration() {
    let (_database, pool) = database_with_items().await;
    let build = "-- no-transaction\n-- a comment\n\
        create index concurrently if not exists by_id on items (id)";
    sqlx::raw_sql("create index by_id on items (id)").execute(&pool).await.unwrap();
    invalidate(&pool, "by_id").await;

    run(&pool, &migrator(&[build])).await.unwrap();

    assert_eq!(is_valid(&pool, "by_id").await, Some(true));
}

/// Marks an index as invalid, as an interrupted build leaves it.
async fn invalidate(pool: &PgPool, index: &str) {
    let update = "update pg_index set indisvalid = false where indexrelid = to_regclass($1)";
    sqlx::query(update).bind(index).execute(pool).await.unwrap();
    assert_eq!(is_valid(pool, index).await, Some(false));
}

#[tokio::test]
async fn rebuilds_invalid_index_of_applied_migration() {
    let (_database, pool) = database_with_items().await;
    let all = migrator(&[
        "-- no-transaction\ncreate index concurrently if not exists by_id on items (id)",
        "-- no-transaction\ndrop index concurrently if exists gone",
    ]);
    run(&pool, &all).await.unwrap();
    invalidate(&pool, "by_id").await;

    run(&pool, &all).await.unwrap();

    assert_eq!((is_valid(&pool, "by_id").await, is_valid(&pool, "gone").await), (Some(true), None));
}

#[tokio::test]
async fn rebuilds_index_when_its_session_was_ended() {
    let (_database, pool) = database_with_items().await;
    let build = "-- no-transaction\ncreate index concurrently if not exists by_id on items (id)";
    // An open transaction blocks the build until its session is ended.
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("insert into items values (2)").execute(&mut *holder).await.unwrap();
    let all = migrator(&[build]);
    let ended = async {
        let end = "select bool_or(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()
                     and query ilike '%create index concurrently%'
                     and exists (
                         select from pg_index
                         where indexrelid = to_regclass('by_id') and not indisvalid
                     )";
        while sqlx::query_scalar::<_, Option<bool>>(end).fetch_one(&pool).await.unwrap()
            != Some(true)
        {
            tokio::task::yield_now().await;
        }
    };
    let (first, ()) = tokio::join!(run(&pool, &all), ended);
    assert!(first.is_err());
    holder.commit().await.unwrap();
    assert_eq!(is_valid(&pool, "by_id").await, Some(false));

    run(&pool, &all).await.unwrap();

    assert_eq!(is_valid(&pool, "by_id").await, Some(true));
}

#[tokio::test]
async fn migrates_once_when_processes_start_together() {
    let (_database, pool) = database_with_items().await;
    let all = migrator(&[
        "create table once (id int)",
        "-- no-transaction\ncreate index concurrently if not exists by_id on items (id)",
    ]);
    let (first, second, third) = tokio::join!(run(&pool, &all), run(&pool, &all), run(&pool, &all));
    assert!(first.is_ok() && second.is_ok() && third.is_ok(), "{first:?} {second:?} {third:?}");
    assert_eq!(is_valid(&pool, "by_id").await, Some(true));
}

#[tokio::test]
async fn rolls_back_migration_that_fails() {
    let (_database, pool) = database_with_items().await;
    let failing = migrator(&["alter table items add column a int; select 1 / 0"]);
    assert!(matches!(run(&pool, &failing).await, Err(MigrationError::Failed(_))));
    let columns = "select count(*) from information_schema.columns where table_name = 'items'";
    assert_eq!(sqlx::query_scalar::<_, i64>(columns).fetch_one(&pool).await.unwrap(), 1);
}

#[tokio::test]
async fn accepts_former_text_named_by_checksum() {
    let (_database, pool) = database_with_items().await;
    let former = migrator(&["alter table items add column a int; update items set a = 1"]);
    run(&pool, &former).await.unwrap();
    let checksum: String =
        former.iter().next().unwrap().checksum.iter().map(|byte| format!("{byte:02x}")).collect();
    let rewritten = |digits: &str| {
        migrator(&[&format!("-- replaces {digits}, which\nalter table items add column a int")])
    };

    assert!(run(&pool, &rewritten(&checksum[..39])).await.is_err(), "too few digits");
    assert!(run(&pool, &rewritten(&"0".repeat(40))).await.is_err(), "another text");
    run(&pool, &rewritten(&checksum[..40])).await.unwrap();
    run(&pool, &rewritten(&checksum[..40])).await.unwrap();
}

#[tokio::test]
async fn keeps_committed_chunks_of_failed_migration() {
    let (_database, pool) = database_with_items().await;
    let fill = "-- no-transaction
        do $$ begin
            for number in 2..4 loop insert into items values (number); commit; end loop;
            perform 1 / 0;
        end $$";
    assert!(run(&pool, &migrator(&[fill])).await.is_err());
    let kept =
        sqlx::query_scalar::<_, i64>("select count(*) from items").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 4);
}

#[test]
fn finds_concurrently_built_index() {
    for (sql, index) in [
        ("-- no-transaction\ncreate index concurrently if not exists a_b on t (x)", Some("a_b")),
        ("create unique index concurrently a_b on t (x)", Some("a_b")),
        ("-- built concurrently one day\ncreate index a_b on t (x)", None),
    ] {
        assert_eq!(concurrent_index(sql), index, "{sql}");
    }
}
