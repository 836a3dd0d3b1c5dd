//! Connections are accepted or attached, and a server ends.
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, Cx, KeyError};
use tidegate_net::{
    Incoming, ListenError, ListenOptions, Net, RateLimiter, ServerCx, ServerHandler, ServerKey,
    SocketKey,
};

use crate::callbacks::handler::HttpHandler;
use crate::exchange::options::HttpOptions;
use crate::server::clock;
use crate::server::protocol::PROTOCOL;
use crate::state::clocks::Clock;
use crate::state::conn::Conn;
use crate::state::layer::{HTTP, Server};

/// Takes a server's connections; its place in the layer.
struct Accept(usize);

pub(crate) fn open(
    cx: &mut Cx<'_>,
    at: ListenOptions,
    options: HttpOptions,
    handler: Box<dyn HttpHandler>,
) -> Result<ServerKey, ListenError> {
    let limiter = options.request_rate.map(RateLimiter::new);
    let server = Server { options, limiter, handler: Some(handler), is_attached: false };
    let place = cx.layer(&HTTP).0.servers.insert(server);
    let is_tcp = at.is_tcp();
    // A client may end its side after the request, and wants the answer.
    let at = at.allow_half_open(true);
    let opened = cx.serve(if is_tcp { at.no_delay(true) } else { at }, Accept(place));
    if opened.is_err() {
        let (layer, mut d) = cx.layer(&HTTP);
        d.bury(layer.servers.remove(place).handler);
    }
    opened
}

/// Serves a connection that is there already.
pub(crate) fn attach(
    cx: &mut Cx<'_>,
    socket: SocketKey,
    options: HttpOptions,
    handler: Box<dyn HttpHandler>,
) -> Result<(), KeyError> {
    if let Err(e) = cx.socket(socket).state() {
        cx.driver().bury(handler);
        return Err(e);
    }
    let (layer, _) = cx.layer(&HTTP);
    let limiter = options.request_rate.map(RateLimiter::new);
    let server = Server { options, limiter, handler: Some(handler), is_attached: true };
    let server = layer.servers.insert(server);
    let at = layer.conns.insert(Conn::new(socket, server, &options));
    if !cx.socket(socket).set_protocol(&PROTOCOL, at as u64) {
        let (layer, mut d) = cx.layer(&HTTP);
        let (_, server) = layer.remove(at);
        d.bury(server.and_then(|s| s.handler));
        return Err(KeyError::Closed);
    }
    // A client may end its side after the request, and wants the answer.
    cx.socket(socket).set_allow_half_open(true);
    clock::set(cx, at, socket, Clock::Head, options.headers_timeout);
    Ok(())
}

impl ServerHandler for Accept {
    fn on_connection(&mut self, mut conn: Incoming<'_>) {
        let mut cx = conn.cx();
        let (layer, _) = cx.layer(&HTTP);
        let at = layer.conns.vacant_key();
        let Some(options) = layer.servers.get(self.0).map(|s| s.options) else { return };
        // An error: it was counted as rejected.
        let Ok(mut s) = conn.accept_as(&PROTOCOL, at as u64) else { return };
        let socket = s.key();
        let mut cx = s.cx();
        cx.layer(&HTTP).0.conns.insert(Conn::new(socket, self.0, &options));
        clock::set(&mut cx, at, socket, Clock::Head, options.headers_timeout);
    }

    fn on_close(&mut self, server: &mut ServerCx<'_>) {
        let mut cx = server.cx();
        let gone = cx.layer(&HTTP).0.servers.try_remove(self.0);
        if let Some(mut handler) = gone.and_then(|s| s.handler) {
            handler.on_close(server);
        }
    }
}
