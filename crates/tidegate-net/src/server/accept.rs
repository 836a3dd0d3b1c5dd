//! A server opens, and the accept loop.
//!
//! The accept loop is bounded by `accept_budget`. Stopped by it, the listener
//! is queued again and the next poll does not block: connections that wait are
//! carried over, never forgotten.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Driver, Kind, Trigger};
use tidegate_loop::{Cx, Key};

use crate::callbacks::contexts::Incoming;
use crate::callbacks::server_handler::ServerHandler;
use crate::endpoint::Endpoint;
use crate::error::listen::ListenError;
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::key::{OWNER, ServerKey};
use crate::limit::peers::Peers;
use crate::metrics::ServerStats;
use crate::options::listen::{AtLimit, ListenOptions, OutOfDescriptors};
use crate::server::call::call_at;
use crate::server::control::{close, closed, look};
use crate::server::held::resume_held;
use crate::server::overload::{Refused, failed, turned_away};
use crate::server::{bind, gate, offer};
use crate::server_event::{BatchEnd, ServerEvent};
use crate::state::fairness::claims::Place;
use crate::state::fairness::pace::{FirstReads, Pace};
use crate::state::layer::{Held, Layer, NET, Offer};
use crate::state::listener::{Listener, State};
use crate::sys::{self, ListenSocket};

static SERVER: Kind = Kind::new("server", &OWNER)
    .ready(ready)
    // A connection of this loop closed while a server waited for its descriptor.
    .pending(|d, _, _| resume_held(&mut d.cx()))
    .close(|cx, key, _| {
        // `close_all` may mean the one that is offered, too.
        let (layer, mut d) = cx.layer(&NET);
        offer::place(layer, &mut d);
        close(cx, ServerKey(key))
    })
    .closed(closed)
    .describe(|cx, key, _| {
        match look(cx, ServerKey(key), |l| (l.local.clone(), l.stats.connections)) {
            Ok((local, connections)) => format!("on {local}, {connections} connections"),
            Err(e) => e.to_string(),
        }
    });

/// Opens a server. `handler` is kept, or dropped after the current callback.
pub(crate) fn open(
    cx: &mut Cx<'_>,
    options: ListenOptions,
    handler: Box<dyn ServerHandler>,
) -> Result<ServerKey, ListenError> {
    let (socket, local) = match bind::first(&options) {
        Ok(bound) => bound,
        Err(e) => {
            cx.driver().bury((handler, options.admission.gate));
            return Err(e);
        }
    };
    let opened = enter(cx, &options, socket, local, handler).map_err(ListenError::Failed);
    cx.driver().bury(options.admission.gate);
    opened
}

fn enter(
    cx: &mut Cx<'_>,
    options: &ListenOptions,
    mut socket: ListenSocket,
    local: Endpoint,
    handler: Box<dyn ServerHandler>,
) -> Result<ServerKey, NetError> {
    let (layer, mut d) = cx.layer(&NET);
    let entry = layer.listeners.vacant_entry();
    let ready = d.insert(&SERVER, entry.key() as u64).map_err(io::Error::from);
    let ready = ready.and_then(|mut h| match h.register_level(&mut socket) {
        Ok(trigger) => Ok((h, trigger)),
        Err(e) => {
            h.free();
            Err(e)
        }
    });
    let (mut h, trigger) = match ready {
        Ok(ready) => ready,
        Err(e) => {
            d.bury(handler);
            return Err(NetError::new(Stage::Register, e));
        }
    };
    let (limits, mut stream) = (&layer.shared.limits, options.stream);
    stream.complete(limits);
    let server = ServerKey(h.key());
    let listener = entry.insert(Listener {
        key: server,
        state: State::Listening,
        socket: Some(socket),
        handler: Some(handler),
        local,
        budget: options.accept_budget.unwrap_or(limits.accept_budget),
        trigger,
        pace: Pace::default(),
        first_reads: FirstReads::default(),
        place: Place::default(),
        stream,
        spare: match options.admission.out_of_descriptors {
            OutOfDescriptors::Shed => sys::spare(),
            OutOfDescriptors::Hold => None,
        },
        is_guarded: options.admission.is_guarded(),
        peers: Peers::new(options.admission.per_peer),
        admission: options.admission.clone(),
        stats: ServerStats::default(),
        gauged: None,
        farewell: None,
        reporter: None,
    });
    listener.tell(&mut h, || ServerEvent::Listening);
    Ok(server)
}

/// The server's turn in the ready pass: accepts until the queue is empty, the
/// budget is spent, or going back to the poller is cheaper.
fn ready(d: &mut Dispatch<'_>, raw: Key, _: u64) {
    let server = ServerKey(raw);
    let (layer, mut driver) = d.layer(&NET);
    let Layer { listeners, claims, held, .. } = layer;
    let Some(mut h) = driver.handle(&OWNER, raw) else { return };
    let Some(l) = listeners.get_mut(h.data() as usize) else { return };
    if l.state != State::Listening || !h.readiness().has(Readiness::READABLE) {
        return;
    }
    // A level-triggered one sees what came free before those that are held are back.
    let early = *held > 0 && l.trigger == Trigger::Level;
    if early && claims.lets_held_come(&mut l.place) {
        h.queue();
        return layer.pend_held(&mut driver);
    }
    if claims.must_yield(&mut l.place) {
        return h.queue();
    }
    let budget = l.budget;
    let want = match l.trigger {
        // Few descriptors are free: the others get one, too, before this one gets more.
        Trigger::Level if *held > 0 || claims.is_first(&l.place) => 1,
        Trigger::Level => l.pace.want(budget, h.batch(), h.away()),
        Trigger::Edge => budget,
    };
    let (mut tried, mut accepted) = (0, 0);
    let stopped = loop {
        if tried == want {
            break if want == budget { BatchEnd::Budget } else { BatchEnd::Enough };
        }
        tried += 1;
        match accept_one(d, server, accepted) {
            Ok(()) => accepted += 1,
            Err(Refused::Connection) => {}
            Err(Refused::Batch(end)) => {
                tried -= 1;
                break end;
            }
        }
    };
    let (layer, mut driver) = d.layer(&NET);
    let Layer { listeners, claims, .. } = layer;
    let handle = driver.handle(&OWNER, raw);
    let l = handle.and_then(|h| Some((listeners.get_mut(h.data() as usize)?, h)));
    if let Some((l, mut h)) = l {
        if accepted > 0 {
            claims.served(&mut l.place);
        }
        match stopped {
            BatchEnd::Budget => {
                l.stats.carried_over += 1;
                h.queue();
            }
            BatchEnd::Enough => h.forget(Readiness::READABLE),
            _ => {}
        }
        l.pace.learn(tried, want, budget);
        l.tell(&mut h, || ServerEvent::AcceptBatch { accepted, stopped });
    }
    if layer.held > 0 && accepted > 0 {
        // There was a descriptor for this one: the next is for another.
        resume_held(&mut d.cx());
    }
}

#[inline(always)]
fn accept_one(d: &mut Dispatch<'_>, server: ServerKey, accepted: u32) -> Result<(), Refused> {
    let (layer, mut driver) = d.layer(&NET);
    let Some((l, mut h)) = layer.lend_listener(&mut driver, server) else {
        return Err(Refused::Batch(BatchEnd::Closed));
    };
    let Some(socket) = &l.socket else { return Err(Refused::Batch(BatchEnd::Closed)) };
    if l.state != State::Listening {
        return Err(Refused::Batch(BatchEnd::Closed));
    }
    let full = l.is_full();
    if full && l.admission.at_limit == AtLimit::Hold {
        l.leave_poller(&mut h);
        l.state = State::Full;
        let connections = l.stats.connections;
        l.tell(&mut h, || ServerEvent::Full { connections });
        return Err(Refused::Batch(BatchEnd::Full));
    }
    match h.try_io(Readiness::READABLE, || socket.accept()) {
        Ok((stream, peer)) => {
            l.stats.accepted += 1;
            if full {
                return Err(turned_away(d, server, stream, peer));
            }
            if l.is_guarded {
                return guarded(d, server, stream, peer);
            }
            l.stats.connections += 1;
            let (handler, place) = (l.handler.take(), h.data() as usize);
            let held = Held { server, place, stream, peer, counted: false };
            hold_offer(layer, &mut driver, held);
            call_at(d, server, place, handler, |h, cx| {
                h.on_connection(Incoming::new(cx, server, peer));
            });
            Ok(())
        }
        Err(e) => Err(failed(d, server, accepted, e)),
    }
}

/// The block list, limits of its peer, and filters that are to get ready first.
#[cold]
#[inline(never)]
fn guarded(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    stream: TcpStream,
    peer: Option<SocketAddr>,
) -> Result<(), Refused> {
    let (layer, mut driver) = d.layer(&NET);
    let Some((l, mut h)) = layer.lend_listener(&mut driver, server) else {
        return Err(Refused::Batch(BatchEnd::Closed));
    };
    // Of a proxy only the block list is asked: its clients are asked when it has named them.
    let names_peer = l.admission.gate.names_peer;
    let admitted = match peer {
        None => Ok(false),
        Some(peer) => l.ask_block_list(&mut h, peer).and_then(|()| match names_peer {
            true => Ok(false),
            false => l.count_peer(&mut h, peer),
        }),
    };
    let counted = match admitted {
        Ok(counted) => counted,
        Err(counter) => {
            *counter(&mut l.stats) += 1;
            return Err(Refused::Connection);
        }
    };
    l.stats.connections += 1;
    if !l.admission.gate.filters.is_empty() {
        gate::admit(d, server, stream, peer, counted);
        return Ok(());
    }
    let (handler, place) = (l.handler.take(), h.data() as usize);
    hold_offer(layer, &mut driver, Held { server, place, stream, peer, counted });
    call_at(d, server, place, handler, |h, cx| {
        h.on_connection(Incoming::new(cx, server, peer));
    });
    Ok(())
}

/// What `on_connection` decides about.
#[inline(always)]
fn hold_offer(layer: &mut Layer, d: &mut Driver<'_>, held: Held) {
    layer.offer = Offer::Held(held);
    // An observer knows it by its key.
    if d.is_observed() {
        offer::place(layer, d);
    }
}
