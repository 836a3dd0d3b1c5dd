//! Making a connection: lookup, attempts, one winner.
//!
//! | step | event | next |
//! |---|---|---|
//! | lookup | the addresses | attempts (`attempts.rs`), in the order of `race.rs` |
//! | lookup | none | `on_close` |
//! | attempts | one has connected | the others are closed, `on_connect` |
//! | attempts | the last has failed | `on_close` with all of them |
//! | any | connect timeout, `destroy` | everything is closed, `on_close` |
//! | any | it has failed, and may be tried again | everything is closed, a timer, lookup |
//!
//! Every failure, also of the address, arrives at `on_close`: one path to handle.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use socket2::SockRef;
use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_loop::{AsCx, Cx, Key, TableFull};

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::handler::Handler;
use crate::callbacks::protocol::Protocol;
use crate::callbacks::upper::Upper;
use crate::client::attempts;
use crate::client::name::{ask, look_up};
use crate::endpoint::Endpoint;
use crate::error::close::{Close, Reason, Reset};
use crate::error::listen::AddressError;
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::key::{OWNER, SocketKey};
use crate::options::address::{Target, check_path};
use crate::options::connect::{ConnectOptions, Family};
use crate::socket::filters::news::made;
use crate::socket::{close, expire, pass};
use crate::state::connecting::Connecting;
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::NET;
use crate::state::remote::new_bits;
use crate::state::socket::Life;
use crate::sys;

/// A connection that is not made yet.
static CONNECTING: Kind = Kind::new("socket", &OWNER)
    .ready(ready)
    .pending(|d, key, data| {
        ask(d, SocketKey(key));
        rest(&mut d.cx(), SocketKey(key));
        pass::pending(d, key, data);
    })
    .close(close::asked)
    .closed(close::closed)
    .describe(pass::describe);

/// The poller spoke of it, or a deadline asks once more.
#[cold]
fn ready(d: &mut Dispatch<'_>, raw: Key, data: u64) {
    let key = SocketKey(raw);
    if attempts::complete(d, key) {
        made(d, key);
        return pass::ready(d, raw, data);
    }
    let (layer, mut driver) = d.layer(&NET);
    if let Some((s, mut h)) = layer.lend_socket(&mut driver, key) {
        // Attempts beside it have their dispatch before its deadline passes.
        if s.clocks.was_probed() {
            h.pend();
        }
    }
}

pub(crate) fn start(
    cx: &mut Cx<'_>,
    options: ConnectOptions,
    handler: Box<dyn Handler>,
) -> SocketKey {
    match begin_as(cx, options, Upper::User(handler)) {
        Ok(key) => key,
        Err((full, upper)) => {
            let key = SocketKey(cx.driver().stale_key());
            if let Upper::User(handler) = upper {
                refuse(cx, key, handler, full.into());
            }
            key
        }
    }
}

/// The same for a layer.
pub(crate) fn start_as(
    cx: &mut Cx<'_>,
    options: ConnectOptions,
    protocol: &'static Protocol,
    data: u64,
) -> Result<SocketKey, TableFull> {
    begin_as(cx, options, Upper::Protocol(protocol, data)).map_err(|(full, _)| full)
}

fn begin_as(
    cx: &mut Cx<'_>,
    mut options: ConnectOptions,
    upper: Upper,
) -> Result<SocketKey, (TableFull, Upper)> {
    let (layer, mut d) = cx.layer(&NET);
    let mut h = match d.insert(&CONNECTING, layer.sockets.next() as u64) {
        Ok(handle) => handle,
        Err(full) => {
            d.bury((options.lookup, options.filters));
            return Err((full, upper));
        }
    };
    let key = SocketKey(h.key());
    options.stream.complete(&layer.shared.limits);
    let s = layer.sockets.make(key, Life::Connecting, &options.stream, &h);
    s.clocks.set_until(options.timeout, s.since);
    s.upper = upper;
    s.steer_reads();
    s.tell_busy(&mut h);
    let target = options.to.target();
    let mut factories = std::mem::take(&mut options.filters);
    factories.splice(..0, options.proxy_header.take());
    if !factories.is_empty() {
        let host = target.as_ref().ok().and_then(Target::host);
        s.make_filters(&mut h, &factories, host.as_deref());
        h.bury(factories);
    }
    s.rare_or_new().connecting = Some(Box::new(Connecting {
        options,
        port: 0,
        host: None,
        name: None,
        waiting: VecDeque::new(),
        left_out: 0,
        running: Vec::new(),
        failed: Vec::new(),
        delay: None,
        tries: 1,
        rest: None,
        alone_since: 0,
    }));
    aim(cx, key, target);
    expire::arm(cx, key);
    Ok(key)
}

/// A try begins.
fn aim(cx: &mut Cx<'_>, key: SocketKey, target: Result<Target, AddressError>) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut d, key) else { return };
    let Some(family) = s.connecting().map(|c| c.options.family) else { return };
    match target {
        Ok(Target::Addr(addr)) if family.has(addr.ip()) => begin(cx, key, addr),
        Ok(Target::Addr(_)) => {
            let text = "the option family asks for the other family";
            s.fail(&mut h, Stage::Lookup, io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Target::Path(path)) => to_path(cx, key, &path),
        Ok(Target::AnyHost(port)) => {
            let host: IpAddr = match family {
                Family::V6 => Ipv6Addr::LOCALHOST.into(),
                _ => Ipv4Addr::LOCALHOST.into(),
            };
            begin(cx, key, (host, port).into());
        }
        Ok(Target::Name(host, port)) => look_up(cx, key, host, port),
        Err(e) => s.fail(&mut h, Stage::Lookup, e.into()),
    }
}

/// A try has failed, and another is to come: starts its timer.
fn rest(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, d) = cx.layer(&NET);
    let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting_mut()) else { return };
    let Some(after) = c.rest.take() else { return };
    if let Some(old) = c.delay.take() {
        let _ = cx.timer_stop(old);
    }
    let timer = cx.timer(after, move |cx, _| again(cx, key));
    let (layer, d) = cx.layer(&NET);
    if let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting_mut()) {
        c.delay = Some(timer);
    }
}

/// The next try.
fn again(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, h)) = layer.lend_socket(&mut d, key).filter(|(s, _)| s.duplex.is_open()) else {
        return;
    };
    let now = as_nanos(h.clock());
    let Some(c) = s.connecting_mut() else { return };
    c.begin_again();
    let (target, timeout) = (c.options.to.target(), c.options.timeout);
    s.clocks.set_until(timeout, now);
    aim(cx, key, target);
    expire::arm(cx, key);
}

/// To a Unix domain socket: done at once, told in the ready pass.
fn to_path(cx: &mut Cx<'_>, key: SocketKey, path: &Path) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut d, key) else { return };
    if let Some(c) = s.connecting_mut() {
        c.name = Some(Endpoint::Path(path.to_owned()).to_string());
    }
    s.tell(&mut h, || SocketEvent::AttemptStart { to: Endpoint::Path(path.to_owned()) });
    let Some(c) = s.connecting() else { return };
    let made = c.options.check_unix().and_then(|()| {
        check_path(path)?;
        let stream = sys::unix_connect(path)?;
        c.options.stream.apply(SockRef::from(&stream))?;
        Ok(stream)
    });
    match made {
        Ok(stream) => {
            s.stream = Some(stream);
            s.watch(&mut h);
            h.assume(new_bits(None));
            h.queue();
        }
        Err(e) => s.try_failed(&mut h, Stage::Connect, e),
    }
}

/// There is no slot to close, so the one event comes from a tick.
fn refuse(cx: &mut Cx<'_>, key: SocketKey, mut handler: Box<dyn Handler>, e: io::Error) {
    let reason = Reason::Failed(Arc::new(NetError::new(Stage::Connect, e)));
    cx.owed_tick(move |cx| {
        let close = Close {
            reason,
            peer: None,
            unsent: 0,
            bytes_read: 0,
            bytes_written: 0,
            piped: false,
            reset: Reset::No,
        };
        handler.on_close(&mut SocketCx::new(cx.cx(), key), close);
    });
}

fn begin(cx: &mut Cx<'_>, key: SocketKey, addr: SocketAddr) {
    let (layer, d) = cx.layer(&NET);
    if let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting_mut()) {
        c.waiting.push_back(addr);
    }
    attempts::next(cx, key);
}
