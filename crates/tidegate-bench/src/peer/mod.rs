//! The peers: one file for each server that is measured.
//!
//! Read `contract.rs` first: it says what each of them does, so that all do the same work. Then
//! `floor.rs`, which does it by hand over epoll. libuv's server itself is `sys/libuv_server.c`.
//! `rustls.rs` is the server by hand with TLS. Clients are in `load.rs`, and what starts a server
//! in `server.rs`.
#![forbid(unsafe_code)]

pub mod contract;
pub mod floor;
pub mod hyper;
#[cfg(libuv)]
pub mod libuv;
pub mod quinn;
pub mod rustls;
pub mod tidegate;
pub mod tokio;
