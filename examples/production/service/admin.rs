//! The second port, which no client reaches: is it alive, is it ready, what has it counted?

use std::cell::Cell;
use std::rc::Rc;

use tidegate::http::{Exchange, Head, Http, HttpHandler, HttpOptions, Response};
use tidegate::net::{AtLimit, ListenError};
use tidegate::prelude::*;
use tidegate::prometheus::{CONTENT_TYPE, Snapshot};
use tidegate::tls::TlsServer;

struct Admin {
    ready: Rc<Cell<bool>>,
    certificate: Option<TlsServer>,
}

/// Alive: the loop turns, else nobody answers. Ready: new clients are welcome. What is asked here
/// is not counted: `/readyz` that says no is no failed request of a client.
pub(crate) fn open(
    lp: &mut Loop,
    at: ListenOptions,
    ready: Rc<Cell<bool>>,
    certificate: Option<TlsServer>,
) -> Result<ServerKey, ListenError> {
    let at = at.max_connections(64, AtLimit::Hold);
    lp.http_serve(at, HttpOptions::new().counted(false), Admin { ready, certificate })
}

impl HttpHandler for Admin {
    fn on_request(&mut self, head: &Head<'_>, mut x: Exchange<'_>) {
        match head.path() {
            "/healthz" => x.reply(200, "alive\n"),
            "/readyz" if self.ready.get() => x.reply(200, "ready\n"),
            "/readyz" => x.reply(503, "leaving\n"),
            "/metrics" => {
                let mut all = Snapshot::take(&mut x.socket());
                if let Some(certificate) = &self.certificate {
                    all = all.with_tls("service", certificate.stats(), certificate.not_after());
                }
                let fields = [("content-type", CONTENT_TYPE)];
                let _ = x.respond(Response::new(200).headers(&fields), all.text());
            }
            _ => x.reply(404, "no such place\n"),
        }
    }
}
