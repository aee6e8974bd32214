//! Lifecycle of a cluster: start, stop, restart with the data, and the end of its owner.

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

/// Starts a process that owns the cluster in `dir`. Returns it, the id of its server and the URL.
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
async fn finds_data_and_port_after_restart() {
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
async fn runs_two_clusters_side_by_side() {
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
async fn refuses_folder_in_use() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(Options::throwaway(dir.path())).await.unwrap();

    let refused = Cluster::start(Options::throwaway(dir.path())).await;

    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn refuses_requested_port_in_use() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let refused =
        Cluster::start(Options { port: Some(port), ..Options::throwaway(dir.path()) }).await;

    assert!(matches!(refused, Err(Error::PortTaken { port: p }) if p == port), "{refused:?}");
}

#[tokio::test]
async fn restarts_with_data_when_owner_was_killed() {
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
async fn restarts_with_data_when_server_was_killed() {
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
async fn ignores_other_process_with_noted_id() {
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

/// Folder of the cluster, which is not `dir` if the account of the server cannot enter that.
async fn server_root(dir: &TempDir) -> PathBuf {
    let cluster =
        Cluster::start(Options::new(dir.path())).await.expect("the cluster starts and stops");
    let root = cluster.dir().to_owned();
    cluster.stop().await.expect("the cluster starts and stops");
    root
}

#[tokio::test]
async fn refuses_wrong_password() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(Options::throwaway(dir.path())).await.unwrap();
    let guess = format!("postgres://postgres:guess@127.0.0.1:{}/postgres", cluster.port());

    let refused = PgConnection::connect(&guess).await;

    assert!(refused.is_err());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn starts_shared_cluster_once_and_stops_it() {
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
async fn refuses_names_that_need_quoting() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(Options::throwaway(dir.path())).await.unwrap();

    for name in ["", "a-b", "a\"; DROP DATABASE postgres; --", &"x".repeat(64)] {
        assert!(matches!(cluster.create_database(name).await, Err(Error::Name(_))), "{name}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn moves_when_account_cannot_enter_folder() {
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
