//! A private PostgreSQL cluster in a folder, for a suite or a test run that finds nothing
//! configured.
//!
//! [`Cluster::start`] finds an installed server (or fetches one), makes the cluster once, runs
//! `postgres` as a child and stops it again; the next start finds the data. [`Cluster::share`] is
//! the other way of life: a server that outlives the process that started it, for test processes
//! that come and go.
//!
//! The server listens on the loopback interface only and asks for a password that was generated for
//! the folder and lies there readable by its owner alone. PostgreSQL refuses to run as root:
//! started by root, it runs as `postgres` (or `nobody`).

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
