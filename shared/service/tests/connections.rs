//! Limits of connections, tested by clients that exceed them: raw sockets, and HTTP/2 frames.

#![allow(clippy::panic, reason = "an answer without an error is a failure of its test")]

#[path = "connections/floods.rs"]
mod floods;
#[path = "connections/limit.rs"]
mod limit;
#[path = "connections/server.rs"]
mod server;
#[path = "connections/slow.rs"]
mod slow;
