//! Connections are accepted, and a server ends.
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, Cx};
use tidegate_net::{
    Incoming, ListenError, ListenOptions, Net, RateLimiter, ServerCx, ServerHandler, ServerKey,
};

use crate::callbacks::handler::HttpHandler;
use crate::exchange::options::HttpOptions;
use crate::server::clock::{self, DEADLINE};
use crate::server::protocol::PROTOCOL;
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
    let server = Server { options, limiter, handler: Some(handler) };
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

impl ServerHandler for Accept {
    fn on_connection(&mut self, mut conn: Incoming<'_>) {
        let mut cx = conn.cx();
        let at = cx.layer(&HTTP).0.conns.vacant_key();
        // An error: it was counted as rejected.
        let Ok(mut s) = conn.accept_as(&PROTOCOL, at as u64) else { return };
        let socket = s.key();
        let mut cx = s.cx();
        let (layer, _) = cx.layer(&HTTP);
        let options = layer.servers.get(self.0).map(|s| s.options).unwrap_or_default();
        layer.conns.insert(Conn::new(socket, self.0, options.limits));
        clock::set(&mut cx, socket, DEADLINE, options.headers_timeout);
    }

    fn on_close(&mut self, server: &mut ServerCx<'_>) {
        let mut cx = server.cx();
        let gone = cx.layer(&HTTP).0.servers.try_remove(self.0);
        if let Some(mut handler) = gone.and_then(|s| s.handler) {
            handler.on_close(server);
        }
    }
}
