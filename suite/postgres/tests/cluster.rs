//! The cluster's life: start, stop, find the data again, survive what happens to its owner.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use private_postgres::{Cluster, Error, Options, Shared};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the cluster accepts connections")
}

async fn write_answer(url: &str) {
    let mut connection = connect(url).await;
    let sql = "CREATE TABLE answers (answer int); INSERT INTO answers VALUES (42)";
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("the table is made");
}

async fn read_answer(url: &str) -> i32 {
    let mut connection = connect(url).await;
    sqlx::query_scalar("SELECT answer FROM answers")
        .fetch_one(&mut connection)
        .await
        .expect("the table is there")
}

/// A process that owns the cluster in `dir`, and its server's id.
fn start_holder(dir: &TempDir) -> (Child, i32, String) {
    let program = std::env::current_exe().expect("this program has a file");
    let built =
        program.ancestors().nth(2).map(|dir| dir.join("examples/hold")).expect("a target folder");
    let mut holder = Command::new(built)
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example is built");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("it says where it runs");
    let (pid, url) = line.trim().split_once(' ').expect("id and address");
    (holder, pid.parse().expect("a process id"), url.to_owned())
}

#[tokio::test]
async fn a_second_start_finds_the_data_on_the_same_port() {
    let dir = TempDir::new().unwrap();
    let first = Cluster::start(Options::new(dir.path())).await.unwrap();
    let port = first.port();
    first.create_database("kept").await.unwrap();
    first.create_database("kept").await.unwrap();
    write_answer(&first.url("kept")).await;
    first.stop().await.unwrap();

    let second = Cluster::start(Options::new(dir.path())).await.unwrap();

    assert_eq!(read_answer(&second.url("kept")).await, 42);
    assert_eq!(second.port(), port);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn two_clusters_run_side_by_side() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let starts = tokio::join!(
        Cluster::start(Options::throwaway(one.path())),
        Cluster::start(Options::throwaway(other.path()))
    );
    let (one, other) = (starts.0.unwrap(), starts.1.unwrap());

    write_answer(&one.url("postgres")).await;
    write_answer(&other.url("postgres")).await;

    assert_ne!(one.port(), other.port());
    one.stop().await.unwrap();
    assert_eq!(read_answer(&other.url("postgres")).await, 42);
    other.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(Options::throwaway(dir.path())).await.unwrap();

    let refused = Cluster::start(Options::throwaway(dir.path())).await;

    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_refused_when_it_was_asked_for() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let refused =
        Cluster::start(Options { port: Some(port), ..Options::throwaway(dir.path()) }).await;

    assert!(matches!(refused, Err(Error::PortTaken { port: p }) if p == port), "{refused:?}");
}

#[tokio::test]
async fn a_killed_owner_blocks_no_restart_and_loses_no_data() {
    let dir = TempDir::new().unwrap();
    let (mut owner, server, url) = start_holder(&dir);
    write_answer(&url).await;
    owner.kill().unwrap();
    owner.wait().unwrap();

    let cluster = Cluster::start(Options::new(dir.path())).await.unwrap();

    assert_eq!(read_answer(&cluster.url("postgres")).await, 42);
    assert_ne!(cluster.pid(), server);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_blocks_no_restart_and_loses_no_data() {
    let dir = TempDir::new().unwrap();
    let mut cluster = Cluster::start(Options::new(dir.path())).await.unwrap();
    write_answer(&cluster.url("postgres")).await;
    let killed = Command::new("kill").args(["-9", &cluster.pid().to_string()]).status().unwrap();
    assert!(killed.success());
    cluster.ended().await;
    drop(cluster);

    let again = Cluster::start(Options::new(dir.path())).await.unwrap();

    assert_eq!(read_answer(&again.url("postgres")).await, 42);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_foreign_process_with_the_noted_id_is_not_taken_for_the_server() {
    let dir = TempDir::new().unwrap();
    Cluster::start(Options::new(dir.path())).await.unwrap().stop().await.unwrap();
    let mut foreign = Command::new("sleep").arg("600").spawn().unwrap();
    let root = server_root(&dir).await;
    std::fs::write(
        root.join("data/postmaster.pid"),
        format!("{}\n{}\n", foreign.id(), root.display()),
    )
    .unwrap();

    let cluster = Cluster::start(Options::new(dir.path())).await.unwrap();

    cluster.stop().await.unwrap();
    assert!(foreign.try_wait().unwrap().is_none(), "the foreign process was left alone");
    foreign.kill().unwrap();
    foreign.wait().unwrap();
}

/// The folder that is really used, which differs when the server's account cannot enter the wanted
/// one.
async fn server_root(dir: &TempDir) -> PathBuf {
    let cluster =
        Cluster::start(Options::new(dir.path())).await.expect("the cluster starts and stops");
    let root = cluster.dir().to_owned();
    cluster.stop().await.expect("the cluster starts and stops");
    root
}

#[tokio::test]
async fn nobody_enters_without_the_password() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(Options::throwaway(dir.path())).await.unwrap();
    let guess = format!("postgres://postgres:guess@127.0.0.1:{}/postgres", cluster.port());

    let refused = PgConnection::connect(&guess).await;

    assert!(refused.is_err());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_shared_cluster_is_started_once_and_stopped_by_anyone() {
    let dir = TempDir::new().unwrap();
    let joins = tokio::join!(
        Cluster::share(Options::throwaway(dir.path())),
        Cluster::share(Options::throwaway(dir.path()))
    );
    let (one, other) = (joins.0.unwrap(), joins.1.unwrap());
    assert_eq!(one.port(), other.port());
    write_answer(&one.url("postgres")).await;
    assert_eq!(read_answer(&other.url("postgres")).await, 42);

    let refused = Cluster::start(Options::throwaway(dir.path())).await;

    assert!(matches!(refused, Err(Error::Running { .. })), "{refused:?}");
    assert!(Shared::stop(dir.path()).await.unwrap());
    assert!(!Shared::stop(dir.path()).await.unwrap());
}

#[tokio::test]
async fn names_that_would_need_quoting_are_refused() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(Options::throwaway(dir.path())).await.unwrap();

    for name in ["", "a-b", "a\"; DROP DATABASE postgres; --", &"x".repeat(64)] {
        assert!(matches!(cluster.create_database(name).await, Err(Error::Name(_))), "{name}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_the_servers_account_cannot_enter_is_replaced_by_one_it_can() {
    let outer = TempDir::new().unwrap();
    std::fs::set_permissions(outer.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let dir = outer.path().join("cluster");

    let cluster = Cluster::start(Options::throwaway(&dir)).await.unwrap();

    // An ordinary user's server runs as that user, who can enter.
    let used = cluster.dir().to_owned();
    assert_eq!(cluster.is_relocated(), nix::unistd::Uid::effective().is_root());
    write_answer(&cluster.url("postgres")).await;
    cluster.stop().await.unwrap();
    std::fs::remove_dir_all(used).unwrap();
}
