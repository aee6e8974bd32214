//! TLS settings against a server with TLS, secrets that change, and a database that stops
//! answering.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use support::wait_until;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn settings(pairs: &[(&str, &str)]) -> Result<DbSettings, env_config::Report> {
    env_config::read(&environment(pairs), DbSettings::read)
}

fn options(pairs: &[(&str, &str)]) -> PgConnectOptions {
    let pool = settings(pairs).expect("a complete configuration").pool("tests");
    (*pool.connect_options()).clone()
}

fn keys(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys/tls").join(name)
}

fn key_path(name: &str) -> String {
    keys(name).to_str().expect("utf-8").to_owned()
}

#[tokio::test]
async fn takes_tls_mode_of_url_before_variables() {
    let mode = |url: &str, more: &[(&str, &str)]| {
        let pairs = [&[("DATABASE_URL", url)], more].concat();
        format!("{:?}", options(&pairs).get_ssl_mode())
    };
    let (near, far) = ("postgres://u:p@127.0.0.1/x", "postgres://u:p@db.example.com/x");
    let shared = ("APP_ENV", "production");
    let ca = key_path("ca.pem");
    assert_eq!(mode(near, &[]), "Prefer");
    assert_eq!(mode(near, &[shared]), "Prefer");
    assert_eq!(mode(far, &[]), "Prefer");
    assert_eq!(mode(far, &[shared]), "Require");
    assert_eq!(mode(far, &[shared, ("DB_SSLMODE", "disable")]), "Disable");
    assert_eq!(
        mode(far, &[shared, ("DB_SSLMODE", "verify-full"), ("PGSSLMODE", "disable")]),
        "VerifyFull"
    );
    assert_eq!(mode(far, &[shared, ("PGSSLMODE", "verify-ca")]), "VerifyCa");
    assert_eq!(mode(far, &[("DB_SSLMODE", "allow")]), "Prefer");
    assert_eq!(mode(far, &[("DB_SSLROOTCERT", &ca)]), "VerifyFull");
    assert_eq!(mode(far, &[("DB_SSLROOTCERT", &ca), ("DB_SSLMODE", "require")]), "VerifyCa");
    let says = format!("{far}?sslmode=verify-full");
    assert_eq!(mode(&says, &[("DB_SSLMODE", "disable")]), "VerifyFull");
    let socket = "postgres:///x?host=/run/postgresql";
    assert_eq!(mode(socket, &[shared, ("DB_SSLMODE", "verify-full")]), "Disable");
}

#[tokio::test]
async fn reports_malformed_tls_settings_without_values() {
    let absent = key_path("absent.pem");
    let private = key_path("localhost.key.pem");
    for (name, value) in [
        ("DB_SSLMODE", "verify-fully"),
        ("PGSSLMODE", "verify-all"),
        ("DB_SSLROOTCERT", absent.as_str()),
        ("PGSSLROOTCERT", private.as_str()),
        ("DATABASE_URL", "postgres://u:hunter2@h/x?sslmode=maybe"),
        ("DATABASE_URL", "mysql://u:hunter2@h/x"),
    ] {
        let mut env = environment(&[("DATABASE_URL", "postgres://u:hunter2@h/x")]);
        env.insert(name.to_owned(), value.to_owned());
        let report = env_config::read(&env, DbSettings::read).expect_err("a fault");
        assert_eq!(report.faults.iter().map(|fault| fault.name).collect::<Vec<_>>(), [name]);
        assert!(
            !report.to_string().contains("hunter2") && !report.to_string().contains(value),
            "{report}"
        );
    }
}

/// Starts a server that accepts TLS if it has a certificate, and then refuses every password.
fn server(with_tls: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|socket| drop(greet(socket, with_tls)))
    });
    address
}

fn greet(mut socket: TcpStream, with_tls: bool) -> std::io::Result<()> {
    socket.set_read_timeout(Some(LIMIT))?;
    let mut request = [0; 8];
    socket.read_exact(&mut request)?;
    // SSLRequest (PostgreSQL's protocol, "Message Formats").
    let asks_for_tls = request[4..] == 80_877_103_u32.to_be_bytes();
    if !asks_for_tls {
        return socket.write_all(&refusal());
    }
    socket.write_all(if with_tls { b"S" } else { b"N" })?;
    if !with_tls {
        socket.read_exact(&mut request)?;
        return socket.write_all(&refusal());
    }
    let certificates = CertificateDer::pem_file_iter(keys("localhost.pem")).expect("a file");
    let certificates = certificates.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(keys("localhost.key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS");
    let config =
        config.with_no_client_auth().with_single_cert(certificates, key).expect("a configuration");
    let mut session = ServerConnection::new(Arc::new(config)).expect("a session");
    let mut stream = Stream::new(&mut session, &mut socket);
    stream.read_exact(&mut request)?;
    stream.write_all(&refusal())?;
    stream.flush()
}

/// ErrorResponse for a refused password. A client that receives it has accepted the transport.
fn refusal() -> Vec<u8> {
    let fields = b"SFATAL\0C28P01\0Mrefused\0\0";
    let length = u32::try_from(fields.len() + 4).expect("short");
    [b"E", &length.to_be_bytes()[..], fields].concat()
}

/// Returns whether client and server agree on a transport.
async fn agrees(address: SocketAddr, host: &str, more: &[(&str, &str)]) -> bool {
    let url = format!("postgres://u:p@{host}:{}/x", address.port());
    let options = options(&[&[("DATABASE_URL", url.as_str())], more].concat());
    let error = PgConnection::connect_with(&options).await.expect_err("refused in any case");
    matches!(&error, sqlx::Error::Database(error) if error.code().as_deref() == Some("28P01"))
}

#[tokio::test]
async fn verifies_certificate_and_host_by_mode() {
    let (ca, other) = (key_path("ca.pem"), key_path("other-ca.pem"));
    let tls = server(true);
    for (host, root, mode, expected) in [
        ("localhost", ca.as_str(), "verify-full", true),
        ("127.0.0.1", &ca, "verify-full", false),
        ("127.0.0.1", &ca, "verify-ca", true),
        ("localhost", &other, "verify-full", false),
        ("localhost", &other, "verify-ca", false),
        ("localhost", &other, "require", false),
        ("localhost", &ca, "require", true),
        ("localhost", &other, "prefer", true),
    ] {
        let variables = [("DB_SSLMODE", mode), ("DB_SSLROOTCERT", root)];
        assert_eq!(agrees(tls, host, &variables).await, expected, "{host} {root} {mode}");
    }
    let pem = std::fs::read_to_string(&ca).expect("a file");
    assert!(
        agrees(tls, "localhost", &[("DB_SSLMODE", "verify-full"), ("DB_SSLROOTCERT", &pem)]).await
    );
    assert!(
        !agrees(tls, "localhost", &[("DB_SSLMODE", "verify-full")]).await,
        "the system knows no such issuer"
    );
    assert!(agrees(tls, "127.0.0.1", &[("DB_SSLMODE", "require")]).await);
}

#[tokio::test]
async fn connects_without_tls_only_if_allowed() {
    let plain = server(false);
    for mode in ["require", "verify-ca", "verify-full"] {
        assert!(!agrees(plain, "localhost", &[("DB_SSLMODE", mode)]).await, "{mode}");
    }
    for mode in ["disable", "prefer"] {
        assert!(agrees(plain, "localhost", &[("DB_SSLMODE", mode)]).await, "{mode}");
    }
}

/// Network between a pool and its database.
#[derive(Default)]
struct Network {
    /// `true` while all packets are dropped.
    drops_packets: AtomicBool,
    /// Number of further connections that are accepted and never answered.
    unanswered: AtomicUsize,
}

/// A pool that reaches a database through a network that can fail.
async fn pool_through(
    database: &support::postgres::Database,
    network: &Arc<Network>,
) -> sqlx::PgPool {
    let real: PgConnectOptions = database.url().parse().expect("a URL");
    let real = SocketAddr::new(real.get_host().parse().expect("an address"), real.get_port());
    let address = forwarder(real, Arc::clone(network)).await;
    let url = database.url().replacen(&real.to_string(), &address.to_string(), 1);
    assert!(url.contains(&address.to_string()), "the URL names the database by its address");
    settings(&[("DATABASE_URL", &url)]).expect("settings").pool("tests")
}

async fn forwarder(to: SocketAddr, network: Arc<Network>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Ok((client, _)) = listener.accept().await {
            if network
                .unanswered
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
                .is_ok()
            {
                unanswered.push(client);
                continue;
            }
            let Ok(server) = tokio::net::TcpStream::connect(to).await else { continue };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(pump(from_client, to_server, Arc::clone(&network)));
            tokio::spawn(pump(from_server, to_client, Arc::clone(&network)));
        }
    });
    address
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    network: Arc<Network>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !network.drops_packets.load(Ordering::Acquire)
            && to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distinguishes_outage_from_slow_statement() {
    let database = support::postgres::database("probed").await;
    let network = Arc::new(Network::default());
    let pool = pool_through(&database, &network).await;
    let probe = Probe::new(pool.clone());
    tokio::select! {
        slept = sqlx::query("select pg_sleep(2.5)").execute(&pool) => {
            let _ = slept.expect("an answer");
        }
        () = probe.unreachable() => panic!("the database is only slow"),
    }
    network.drops_packets.store(true, Ordering::Release);
    let waiting = async { sqlx::query("select 1").execute(&pool).await };
    let found = async {
        tokio::time::timeout(LIMIT, probe.unreachable()).await.expect("found unreachable")
    };
    // Either the statement on an unpinged connection hangs, or no connection is available.
    tokio::select! {
        result = waiting => assert!(is_transient(&result.expect_err("no answer"))),
        () = found => {}
    }
    let error = sqlx::query("select 1").execute(&pool).await.expect_err("no connection");
    assert!(is_transient(&error), "{error}");
    network.drops_packets.store(false, Ordering::Release);
    wait_until(LIMIT, async || sqlx::query("select 1").execute(&pool).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_requests_when_one_connection_is_slow() {
    let database = support::postgres::database("slowly_probed").await;
    let network = Arc::new(Network::default());
    let pool = pool_through(&database, &network).await;
    let mut connection = pool.acquire().await.expect("connected");
    network.unanswered.store(1, Ordering::Release);
    let probe = Probe::new(pool.clone());
    tokio::select! {
        biased;
        slept = sqlx::query("select pg_sleep(2.5)").execute(&mut *connection) => {
            let _ = slept.expect("an answer");
        }
        () = probe.unreachable() => panic!("one connection alone is not enough"),
    }
    assert_eq!(network.unanswered.load(Ordering::Acquire), 0, "a connection was opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_as_replaced_user() {
    let database = support::postgres::database("rotated").await;
    let admin = database.pool().await;
    let run = async |sql: String| {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&admin).await.expect("a statement")
    };
    let name = format!("rotated_{}", contract::new_id().simple());
    let (old, new) = (format!("{name}_old"), format!("{name}_new"));
    run(format!("create role {old} login password 'same'")).await;
    run(format!("create role {new} login password 'same'")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("user");
    std::fs::write(&file, &old).expect("written");
    let at: PgConnectOptions = database.url().parse().expect("a URL");
    let (port, path) = (at.get_port().to_string(), file.to_str().expect("utf-8").to_owned());
    let pairs = [
        ("DB_HOST", at.get_host()),
        ("DB_PORT", &port),
        ("DB_NAME", at.get_database().expect("a name")),
        ("DB_USER_FILE", &path),
        ("DB_PASS", "same"),
    ];
    let pool = settings(&pairs).expect("settings").pool("tests");
    let user = async || {
        sqlx::query_scalar::<_, String>("select current_user::text").fetch_one(&pool).await
    };
    assert_eq!(user().await.expect("connected"), old);

    // As in an emergency: the old user may no longer connect, and its sessions are terminated.
    run(format!("alter role {old} nologin")).await;
    run(format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{old}'"))
        .await;
    let refused = wait_until(LIMIT, async || match user().await {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("28000") => {
            Some(sqlx::Error::Database(error))
        }
        _ => None,
    })
    .await;
    assert!(is_transient(&refused), "{refused}");
    assert_eq!(unreachable_reason(&refused), "the database refuses the user or the password");
    std::fs::write(&file, &new).expect("written");
    wait_until(LIMIT, async || user().await.is_ok_and(|user| user == new)).await;
    pool.close().await;
    run(format!("drop role {old}")).await;
    run(format!("drop role {new}")).await;
}
