//! HTTP/1.1. The codec alone is in `codec/`, servers over real sockets are in `server/`. A number in
//! the name of a test is that of a behaviour in the list of `tests/README.md`.

mod codec;
mod server;

#[path = "../support/mod.rs"]
mod support;
