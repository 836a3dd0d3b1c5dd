//! The name of a connect becomes addresses: by the system's resolver, or by the user's lookup.
//!
//! Then they race (`attempts.rs`, in the order of `race.rs`).
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidegate_loop::kind::{Dispatch, Handle, Runtime};
use tidegate_loop::{AsCx, Cx};

use crate::client::{attempts, race};
use crate::error::close::Reason;
use crate::error::fault::LookupFault;
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::key::SocketKey;
use crate::lookup::{self, Asker};
use crate::options::connect::LookupAnswer;
use crate::state::connecting::Connecting;
use crate::state::layer::NET;
use crate::state::socket::Socket;

pub(crate) fn look_up(cx: &mut Cx<'_>, key: SocketKey, host: String, port: u16) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut d, key) else { return };
    s.tell(&mut h, || SocketEvent::LookupStart { host: host.clone() });
    let Some(c) = s.connecting_mut() else { return };
    c.port = port;
    c.name = Some(format!("{host}:{port}"));
    if c.options.lookup.is_some() {
        // It is the user's code: not in here.
        c.host = Some(host);
        return h.pend();
    }
    let asker = Asker {
        key: key.into(),
        waits: |cx, key| waits_for_lookup(cx, SocketKey(key)),
        answer: |cx, key, found| looked_up(cx, SocketKey(key), found),
    };
    if let Err(e) = lookup::start(cx, &host, asker) {
        let (layer, mut d) = cx.layer(&NET);
        if let Some((s, mut h)) = layer.lend_socket(&mut d, key) {
            lookup_failed(s, &mut h, e);
        }
    }
}

fn lookup_failed(s: &mut Socket, h: &mut Handle<'_>, e: io::Error) {
    let took = s.age(h);
    let error = NetError::new(Stage::Lookup, e);
    s.tell(h, || {
        let text = error.in_words();
        SocketEvent::LookupFailed { error: text, code: error.code(), took }
    });
    s.try_failed(h, Stage::Lookup, error.into_source());
}

/// Calls the user's own lookup, if that is due.
pub(crate) fn ask(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, driver) = d.layer(&NET);
    let Some(c) = layer.socket(&driver, key).and_then(|s| s.connecting_mut()) else { return };
    let (Some(host), Some(custom)) = (c.host.take(), c.options.lookup.clone()) else { return };
    let cx = &mut d.cx();
    let asked = catch_unwind(AssertUnwindSafe(|| (custom.0)(cx, &host, LookupAnswer(key))));
    let (layer, mut driver) = d.layer(&NET);
    driver.bury(custom);
    if let Err(payload) = asked {
        if let Some((s, mut h)) = layer.lend_socket(&mut driver, key) {
            s.destroy(&mut h, Reason::Panicked);
        }
        driver.panic_later(payload);
    }
    d.settle();
}

fn is_before_attempts(s: &Socket) -> bool {
    let early = |c: &Connecting| {
        c.name.is_some() && c.waiting.is_empty() && c.running.is_empty() && c.failed.is_empty()
    };
    s.connecting().is_some_and(early) && s.stream.is_none() && s.duplex.is_open()
}

fn waits_for_lookup(cx: &mut Cx<'_>, key: SocketKey) -> bool {
    let (layer, d) = cx.layer(&NET);
    layer.socket(&d, key).is_some_and(|s| is_before_attempts(s))
}

/// The answer of a lookup, for one who may wait for it.
pub(crate) fn looked_up(cx: &mut Cx<'_>, key: SocketKey, found: io::Result<Vec<SocketAddr>>) {
    let (layer, mut d) = cx.layer(&NET);
    if !layer.socket(&d, key).is_some_and(|s| is_before_attempts(s)) {
        return d.bury(found);
    }
    let Some((s, mut h)) = layer.lend_socket(&mut d, key) else { return };
    let Some(c) = s.connecting_mut() else { return };
    let (family, port) = (c.options.family, c.port);
    let error = match found {
        Ok(mut found) => {
            found.retain(|addr| family.has(addr.ip()));
            // With its scope, if it is link-local.
            found.iter_mut().for_each(|addr| addr.set_port(port));
            if !found.is_empty() {
                (c.waiting, c.left_out) = race::order(found, c.options.race.addresses);
                if h.is_observed() {
                    looked_up_is_told(s, &mut h);
                }
                return attempts::next(cx, key);
            }
            LookupFault::NotFound.into()
        }
        Err(e) => e,
    };
    lookup_failed(s, &mut h, error);
}

#[cold]
fn looked_up_is_told(s: &Socket, rt: &mut Runtime<'_>) {
    let Some(c) = s.connecting() else { return };
    let (took, left_out) = (s.age(rt), c.left_out);
    let addresses = c.waiting.iter().map(SocketAddr::ip).collect();
    s.tell(rt, || SocketEvent::LookedUp { addresses, left_out, took });
}

impl LookupAnswer {
    /// The addresses, in the order in which to try them. Nothing happens if no connection waits any
    /// more, or in another loop than that of the connection.
    pub fn give(self, cx: &mut impl AsCx, found: io::Result<Vec<IpAddr>>) {
        let port_to_come = |ip| SocketAddr::new(ip, 0);
        let found = found.map(|ips| ips.into_iter().map(port_to_come).collect());
        looked_up(&mut cx.cx(), self.0, found);
    }
}
