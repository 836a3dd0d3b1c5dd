//! A client asks more often than it may: it gets 429, and its next request is not read before it may
//! ask again. So one that does not obey costs two answers for each request that it may make.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;
use tidegate_net::{Net, SocketKey};

use crate::exchange::key::ExchangeKey;
use crate::exchange::response::Response;
use crate::server::{over, reply};
use crate::state::layer::HTTP;

/// The only timer of the connection that is not one of its clocks.
const HOLD: u64 = 0;

/// How long the client of this connection must wait with its request; `None`: it may ask now, which
/// is counted. A client on a Unix domain socket has no address and no limit.
#[cold]
pub(super) fn wait(cx: &mut Cx<'_>, server: usize, socket: SocketKey) -> Option<Duration> {
    let peer = cx.socket(socket).peer_addr()?;
    let (layer, d) = cx.layer(&HTTP);
    let limiter = layer.servers.get_mut(server)?.limiter.as_mut()?;
    limiter.take(peer.ip(), d.now()).err()
}

/// The answer. What comes behind the request waits.
#[cold]
pub(super) fn refuse(d: &mut Dispatch<'_>, key: ExchangeKey, wait: Duration) {
    let (layer, _) = d.layer(&HTTP);
    layer.metrics.limited += 1;
    if let Some(conn) = layer.exchange(key) {
        conn.held = true;
    }
    // Rounded up: a client that obeys is not refused again.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let mut cx = d.cx();
    cx.socket(key.socket).set_timer(HOLD, wait);
    let after = seconds.to_string();
    let answer = Response::new(429).header("Retry-After", &after);
    let _ = reply::whole(&mut cx, key, &answer, "".into());
}

/// The client may ask again.
pub(super) fn go_on(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    conn.held = false;
    over::resume(&mut d.cx(), at, socket);
}
