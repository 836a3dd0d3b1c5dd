//! Connections that begin with a header of the PROXY protocol: whose header is taken, where the
//! client's address is then, limits for each client, headers that we send, and haproxy and nginx on
//! the other side. Which bytes are a header is under test beside the code.

mod headers;
mod limits;
mod sending;
#[cfg(target_os = "linux")]
mod tools;

use std::net::SocketAddr;

use tidegate::net::{Close, Incoming, ProxyFault, ProxyProtocol, ServerHandler, TrustedProxies};
use tidegate::prelude::*;

use crate::support::*;

/// Headers from this host.
pub(crate) fn from_loopback() -> ProxyProtocol {
    ProxyProtocol::new("127.0.0.0/8 ::1".parse::<TrustedProxies>().unwrap())
}

pub(crate) fn plain() -> ListenOptions {
    ListenOptions::new("127.0.0.1:0")
}

pub(crate) const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n";

/// The same in version 2.
pub(crate) const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xc7\x38\x01\xbb";

/// Echoes; logs who comes, and why somebody does not.
pub(crate) struct Echo(pub(crate) Log);

impl ServerHandler for Echo {
    fn on_connection(&mut self, mut conn: Incoming<'_>) {
        let (peer, via) = (conn.peer_addr().unwrap(), conn.transport_peer());
        assert_ne!(Some(peer), None);
        let local = conn.proxy_header().is_some_and(|h| h.is_local());
        let by = match via {
            Some(via) if via == peer => "itself",
            Some(via) => {
                assert!(via.ip().is_loopback());
                "loopback"
            }
            None => "a path",
        };
        let peer = if by == "itself" { "a peer".to_owned() } else { peer.to_string() };
        self.0.add(format!("{peer} by {by}{}", if local { ", local" } else { "" }));
        let log = self.0.clone();
        conn.accept(
            On::new()
                .data(|s, chunk| {
                    let _ = s.write(chunk);
                })
                .close(move |_, close| {
                    log.add(format!("closed {}", close.peer.unwrap()));
                }),
        );
    }

    fn on_refused(&mut self, _: &mut ServerCx<'_>, close: Close) {
        let error = close.reason.error().unwrap();
        let fault = ProxyFault::of(error).map(|fault| fault.code());
        assert!(fault.is_none() || error.code() == fault);
        self.0.add(format!("refused {}", fault.unwrap_or("by its deadline")));
    }
}

pub(crate) fn echo(lp: &mut Loop, options: ListenOptions) -> (ServerKey, SocketAddr, Log) {
    let log = Log::default();
    let server = lp.serve(options, Echo(log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    (server, at, log)
}

pub(crate) fn end(lp: &mut Loop, server: ServerKey) {
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}
