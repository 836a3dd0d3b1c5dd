//! Futures of others on the loop, unchanged but for the types of the runtime: `bytes` (the traits
//! of futures-io and tokio), `hyper_server`, `hyper_client` and `http2` (hyper 1), `websocket`
//! (async-tungstenite), `tls` (tokio-rustls), `sendable` (what is `Send`). What a socket or a task
//! does itself is in `tests/tasks/`. Other programs judge where they are installed.

mod bytes;
mod http2;
mod hyper_client;
mod hyper_server;
mod judge;
mod sendable;
mod serving;
mod tls;
mod websocket;

#[path = "../support/mod.rs"]
mod support;
