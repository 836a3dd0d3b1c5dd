//! TLS over real sockets, against rustls' own other side and against the tools of others. Tests
//! are numbered by the behaviours that TLS libraries and Node test: `tests/README.md` has the
//! table.

mod agreeing;
mod authority;
mod carrying;
mod observed;
mod peer;
mod refusing;
mod requests;
mod tools;

#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use tidegate::prelude::*;
use tidegate::tls::{TlsClient, TlsServer};

use crate::authority::Authority;

/// A server that echoes, and its address.
pub(crate) fn echo(lp: &mut Loop, tls: &TlsServer) -> (ServerKey, SocketAddr) {
    let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
    let server = lp.listen(options, |conn| {
        conn.accept(
            On::new()
                .data(|s, chunk| {
                    if s.write(chunk) == Flow::Full {
                        s.pause();
                    }
                })
                .drain(|s| s.resume())
                .close(|_, _| {}),
        );
    });
    let server = server.unwrap();
    (server, lp.server(server).local_addr().unwrap())
}

/// A server for `tide.example` with defaults, and who signed for it.
pub(crate) fn tide() -> (Authority, TlsServer) {
    let ca = Authority::new();
    let tls = TlsServer::builder().identity(ca.leaf("tide.example")).build().unwrap();
    (ca, tls)
}

/// A client of ours that trusts this authority.
pub(crate) fn ours(ca: &Authority) -> TlsClient {
    TlsClient::builder().roots(ca.roots()).build().unwrap().name("tide.example").unwrap()
}
