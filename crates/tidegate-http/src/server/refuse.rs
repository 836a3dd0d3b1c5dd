//! A request is refused: its bytes are none, or it takes too long. It is answered if no answer has
//! begun, and the connection closes.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;
use tidegate_net::{Net, SocketKey};

use crate::callbacks::handler::{Broken, HttpHandler};
use crate::exchange::event::HttpEvent;
use crate::exchange::metrics::HttpMetrics;
use crate::message::refusal::Refusal;
use crate::server::{deliver, over, reply};
use crate::state::conn::{Phase, Reply};
use crate::state::layer::HTTP;

fn count(metrics: &mut HttpMetrics, why: &Refusal) {
    match why.status() {
        408 => metrics.timed_out += 1,
        _ => metrics.refused += 1,
    }
}

#[cold]
pub(super) fn refuse(d: &mut Dispatch<'_>, at: usize, socket: SocketKey, why: Refusal) {
    let (layer, mut driver) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    if conn.phase == Phase::Broken {
        return;
    }
    let (phase, begun, server) = (conn.phase, conn.reply != Reply::No, conn.server);
    conn.clean = false;
    conn.answering.keep_alive = false;
    if phase == Phase::Handling {
        if begun {
            conn.refused = Some(why);
            conn.phase = Phase::Broken;
            count(&mut layer.metrics, &why);
            driver.emit(|| HttpEvent::Refused { socket, why });
            layer.output.of(at).clear();
            // A response that looks whole must not be taken for one.
            return d.cx().socket(socket).reset();
        }
        over::end(conn, Some(Broken::Refused(why)));
    }
    conn.phase = Phase::Closing;
    let broke = phase == Phase::Handling;
    layer.metrics.in_flight -= usize::from(broke);
    layer.metrics.broken += u64::from(broke);
    count(&mut layer.metrics, &why);
    driver.emit(|| HttpEvent::Refused { socket, why });
    let handler = layer.servers.get_mut(server).and_then(|s| s.handler.take());
    let gathers = layer.output.gathers(at);
    if !matches!(phase, Phase::Discarding(_)) {
        reply::refusal(&mut d.cx(), at, socket, why.status(), why.what());
    }
    if let Some(handler) = handler {
        let call = |mut cx: Cx<'_>, h: &mut Box<dyn HttpHandler>| {
            h.on_refused(&mut cx.socket(socket), &why);
        };
        let back = |d: &mut Dispatch<'_>, h| deliver::server_back(d, server, Some(h));
        d.lend(handler, call, back, back);
        d.settle();
    }
    if !gathers {
        over::close(&mut d.cx(), at, socket);
    }
}
