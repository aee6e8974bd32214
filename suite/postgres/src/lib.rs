//! A private PostgreSQL cluster in a folder, for the suite and for tests.
//!
//! [`Cluster::start`] finds an installed server (or downloads one), creates the cluster once, runs
//! `postgres` as a child process and stops it at the end; the next start finds the data.
//! [`Cluster::share`] starts a server that keeps running when the process that started it ends, for
//! test processes.
//!
//! The server listens on the loopback interface only. Its password is generated for the folder and
//! stored there, readable by its owner only. PostgreSQL refuses to run as root: started by root, it
//! runs as `postgres` (or `nobody`).

mod account;
mod binaries;
mod cluster;
mod error;
mod fetch;
mod folder;
mod initdb;
mod options;
mod postmaster;
pub mod process;
mod server;
mod shared;

pub use cluster::Cluster;
pub use error::Error;
pub use options::Options;
pub use shared::Shared;
