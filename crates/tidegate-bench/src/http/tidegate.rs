//! tidegate's server.
#![forbid(unsafe_code)]

use tidegate::http::{Http, Response};
use tidegate::prelude::*;

use super::{BACKLOG, BODY};

pub(super) fn serve(port: u16) {
    let mut lp = Loop::new().expect("a loop");
    let at = ListenOptions::new(format!("127.0.0.1:{port}")).backlog(BACKLOG as u32);
    let server = lp.http_listen(at, |head, x| match head.path() {
        "/hello" => {
            let fields = [("Content-Type", "text/plain")];
            // The client may be gone.
            let _ = x.respond(Response::new(200).headers(&fields), BODY);
        }
        _ => x.reply(404, ""),
    });
    server.expect("a port");
    lp.run().expect("a poller");
}
