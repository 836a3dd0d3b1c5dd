//! A request is refused: its bytes are not valid, or it takes too long. If no answer has begun, it
//! gets one with the reason, and the connection closes; else the connection is reset.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;
use tidegate_net::{Net, SocketKey};

use crate::callbacks::handler::{Broken, HttpHandler};
use crate::exchange::event::HttpEvent;
use crate::message::refusal::Refusal;
use crate::server::{deliver, over, reply};
use crate::state::conn::{Phase, Unread};
use crate::state::layer::{HTTP, Layer};

#[cold]
pub(super) fn refuse(d: &mut Dispatch<'_>, at: usize, socket: SocketKey, why: Refusal) {
    let (layer, mut driver) = d.layer(&HTTP);
    let Layer { conns, servers, output, metrics, .. } = layer;
    let Some(conn) = conns.get_mut(at).filter(|c| c.socket == socket) else { return };
    let phase = conn.phase;
    if matches!(phase, Phase::Broken(_)) {
        return;
    }
    let in_exchange = phase == Phase::Handling;
    let begun = in_exchange && conn.reply.has_begun();
    match why.status() {
        408 => metrics.timed_out += 1,
        _ => metrics.refused += 1,
    }
    driver.emit(|| HttpEvent::Refused { socket, why });
    if begun {
        conn.phase = Phase::Broken(Some(why));
        output.of(at).clear();
    } else {
        conn.phase = Phase::Closing(Unread::Something);
    }
    if in_exchange && !begun {
        conn.leave(Some(Broken::Refused(why)));
        over::end(conn);
        metrics.in_flight -= 1;
        metrics.broken += 1;
    }
    let (server, gathers) = (conn.server, output.gathers(at));
    let handler = servers.get_mut(server).and_then(|s| s.handler.take());
    if begun {
        // A response that looks whole must not be taken for one.
        d.cx().socket(socket).reset();
    } else if !matches!(phase, Phase::Discarding(_)) {
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
    if !gathers && !begun {
        over::close(&mut d.cx(), at, socket);
    }
}
