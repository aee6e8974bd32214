//! Start of `postgres` on a port, up to its first answer.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use crate::{
    Error, Options,
    binaries::Binaries,
    folder::Folder,
    postmaster::{self, Lifetime},
    process::{self, Process},
};

/// Longest time of a start; recovery after a crash reads up to `max_wal_size` of log.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Largest number of attempts to start, if another process took the port or the shared memory of
/// the previous server is still in use.
const MAX_ATTEMPTS: u32 = 20;

/// Name of the superuser, and of the database that always exists.
const SUPERUSER: &str = "postgres";

/// Port and password of a server.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) port: u16,
    pub(crate) password: String,
}

impl Address {
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(SUPERUSER)
            .password(&self.password)
            .database(database);
        PgConnection::connect_with(&options).await
    }
}

/// Starts the server and waits until it accepts connections. The caller holds the folder's lock.
pub(crate) async fn start(
    folder: &Folder,
    binaries: &Binaries,
    options: &Options,
    lifetime: Lifetime,
) -> Result<(Process, Address), Error> {
    let password = folder.password()?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let address =
            Address { port: choose_port(folder, options.port)?, password: password.clone() };
        let log_start = fs::metadata(folder.log()).map_or(0, |metadata| metadata.len());
        let process = launch(folder, binaries, options, lifetime, address.port)?;
        postmaster::note(folder, process.pid(), lifetime)?;
        match answers(&process, &address, folder, log_start).await {
            Ok(()) => {
                let path = folder.port_file();
                fs::write(&path, address.port.to_string()).map_err(Error::file("write", &path))?;
                return Ok((process, address));
            }
            Err(Error::Ended { tail, .. })
                if attempts < MAX_ATTEMPTS && is_transient(&tail, options.port) =>
            {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Returns `true` if another start may succeed.
fn is_transient(log: &str, wanted: Option<u16>) -> bool {
    let port_lost =
        log.contains("could not bind") || log.contains("could not create any TCP/IP sockets");
    let memory_in_use = log.contains("shared memory block");
    memory_in_use || (port_lost && wanted.unwrap_or(0) == 0)
}

fn launch(
    folder: &Folder,
    binaries: &Binaries,
    options: &Options,
    lifetime: Lifetime,
    port: u16,
) -> Result<Process, Error> {
    let program = binaries.program("postgres");
    let mut postgres = process::command(&program, folder);
    postgres.arg("-D").arg(folder.data()).arg("-p").arg(port.to_string());
    // Only TCP on the loopback: the path of a Unix socket has at most 107 bytes, and that of a
    // checkout is often longer.
    postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    for (name, value) in options.server_settings() {
        postgres.arg("-c").arg(format!("{name}={value}"));
    }
    let log = folder.open_log()?;
    postgres.stdout(log.try_clone().map_err(Error::file("open", folder.log()))?).stderr(log);
    if lifetime == Lifetime::Owned {
        // A fast shutdown.
        process::die_with_parent(&mut postgres, Signal::SIGINT);
    }
    Process::start(postgres).map_err(Error::run(program))
}

/// Returns the requested port if it is free, else the last one if it is free, else any free one.
fn choose_port(folder: &Folder, wanted: Option<u16>) -> Result<u16, Error> {
    if let Some(port) = wanted.filter(|port| *port != 0) {
        return if is_free(port) { Ok(port) } else { Err(Error::PortTaken { port }) };
    }
    let last =
        fs::read_to_string(folder.port_file()).ok().and_then(|text| text.trim().parse().ok());
    match last.filter(|port| is_free(*port)) {
        Some(port) => Ok(port),
        None => any_free_port().map_err(Error::file("choose a port for", &folder.root)),
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn any_free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn answers(
    process: &Process,
    address: &Address,
    folder: &Folder,
    log_start: u64,
) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        if let Some(status) = process.exit_status() {
            let log = folder.log_since(log_start);
            let tail = log
                .lines()
                .rev()
                .take(8)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n");
            return Err(Error::Ended { status: status.to_string(), log: folder.log(), tail });
        }
        let last = match address.connect(SUPERUSER).await {
            Ok(connection) => {
                let _ = connection.close().await;
                return Ok(());
            }
            Err(error) => error,
        };
        if begun.elapsed() > START_LIMIT {
            process.signal(Signal::SIGQUIT);
            return Err(Error::NotReady {
                seconds: START_LIMIT.as_secs(),
                log: folder.log(),
                source: Some(last),
            });
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}
