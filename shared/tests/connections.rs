//! Limits of connections, tried by clients that break them: raw sockets, and HTTP/2 by its frames.

#![allow(clippy::panic, reason = "an answer without an error is a failure of its test")]

#[path = "connections/floods.rs"]
mod floods;
#[path = "connections/limit.rs"]
mod limit;
#[path = "connections/server.rs"]
mod server;
#[path = "connections/slow.rs"]
mod slow;
