//! Options of a cluster.

use std::path::PathBuf;

/// Options of a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the cluster, its password and its log. It is created if it does not exist.
    pub dir: PathBuf,
    /// TCP port on 127.0.0.1. `None` or `Some(0)`: the last one if it is free, else any free one.
    pub port: Option<u16>,
    /// `true` if a commit survives a crash of the machine. `false` is for tests: no fsync at all,
    /// and a cluster that was not shut down cleanly is created again.
    pub durable: bool,
    /// Server settings that override the built-in ones, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// A durable cluster in `dir`, on a free port.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None, durable: true, settings: Vec::new() }
    }

    /// A cluster for tests in `dir`: nothing is flushed to disk.
    pub fn throwaway(dir: impl Into<PathBuf>) -> Self {
        Self { durable: false, ..Self::new(dir) }
    }

    /// Settings that `postgres` is started with, apart from address and port.
    pub(crate) fn server_settings(&self) -> Vec<(String, String)> {
        let always = [
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("lc_messages", "C"),
            ("logging_collector", "off"),
            ("log_line_prefix", "%m [%p] %d "),
            ("log_checkpoints", "off"),
            ("max_connections", "300"),
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("random_page_cost", "1.1"),
            ("jit", "off"),
            ("autovacuum_naptime", "10s"),
            ("checkpoint_timeout", "15min"),
            ("max_wal_size", "2GB"),
        ];
        let by_durability: &[(&str, &str)] = if self.durable {
            &[("shared_buffers", "256MB"), ("wal_compression", "on")]
        } else {
            &[
                ("shared_buffers", "128MB"),
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
                // A test that ends while it connects leaves a half-open connection, which would
                // block the removal of its database for a minute.
                ("authentication_timeout", "5s"),
            ]
        };
        let built_in = always.iter().chain(by_durability);
        built_in
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .chain(self.settings.iter().cloned())
            .collect()
    }
}
