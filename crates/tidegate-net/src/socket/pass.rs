//! One pass of a connection, in order: read, write what is queued, finish, tell, rest.
//!
//! The loop calls in here, by the kind of its handle. What each step does is in the file of
//! its name: `read.rs`, `write.rs`, `interest.rs`; what a connection that is not open yet does
//! is in `client/`.
#![forbid(unsafe_code)]

use tidegate_loop::Key;
use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_stream::{Effect, ReadState};

use crate::client::{attempts, name};
use crate::error::close::Reason;
use crate::error::fault::Timeout;
use crate::event::SocketEvent;
use crate::key::SocketKey;
use crate::socket::call::{call, call_only};
use crate::socket::read::{Reads, read};
use crate::socket::{close, expire};
use crate::state::clocks::Due;
use crate::state::layer::Layer;
use crate::state::socket::Life;

pub(crate) static SOCKET: Kind = Kind {
    name: "socket",
    ready,
    pending: |d, key, _| {
        name::ask(d, SocketKey(key));
        // One that is to have its dispatch tells then.
        if !d.driver().is_queued(key) {
            deliver(d, SocketKey(key));
        }
    },
    close: |cx, key, _| {
        let (layer, mut d) = cx.parts::<Layer>();
        layer.with(&mut d, SocketKey(key), |s, d, _| s.destroy(d, Reason::Destroyed));
        Ok(())
    },
    closed: close::closed,
    describe: |cx, key, _| {
        let (layer, d) = cx.parts::<Layer>();
        layer.socket(&d, SocketKey(key)).map_or_else(String::new, |s| s.describe())
    },
};

/// What is told in one dispatch, at most.
const TELL: usize = 1000;

/// The connection's turn in the ready pass: read, write, tell, rest.
fn ready(d: &mut Dispatch<'_>, raw: Key, _: u64) {
    let key = SocketKey(raw);
    loop {
        match read(d, key) {
            Reads::Quiet => return,
            Reads::Done => break,
            Reads::NotOpen if connected(d, key) => {}
            Reads::NotOpen => return still_connecting(d, key),
        }
    }
    let mut lingers = false;
    let (layer, mut driver) = d.parts::<Layer>();
    let told = layer.with(&mut driver, key, |s, d, shared| {
        if s.duplex.ends_with_peer() && !s.is_piped_from(d) {
            s.end(d, shared);
        }
        if s.duplex.write.wants_write() {
            s.flush(d);
        }
        s.finish();
        let told = s.duplex.write.has_effect()
            || s.duplex.is_done()
            || s.shutting_down
            || s.clocks.is_due();
        if s.clocks.was_probed() {
            d.pend(key.0);
        }
        if !told {
            s.rest(d);
        }
        lingers = s.duplex.is_open() && s.clocks.has_linger() && s.is_half_closed(d);
        if lingers && !s.duplex.read.wants_read() && s.duplex.read != ReadState::Ended {
            s.clocks.peer_gone(d.nanos());
        }
        told
    });
    if lingers {
        expire::arm(&mut d.cx(), key);
    }
    if told == Some(true) {
        deliver(d, key);
        let (layer, mut driver) = d.parts::<Layer>();
        if let Some(s) = layer.socket(&driver, key) {
            s.rest(&mut driver);
        }
    }
}

/// The poller spoke of a connection that is not open yet. `true` if it is now: then it was
/// told.
#[cold]
fn connected(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    let (layer, driver) = d.parts::<Layer>();
    let waits = layer.socket(&driver, key).is_some_and(|s| s.life == Life::Connecting);
    if !waits || !attempts::complete(d, key) {
        return false;
    }
    call(d, key, |h, s| h.on_connect(s));
    true
}

/// Asked once more for its deadline, and not connected: attempts beside it have their dispatch
/// first.
#[cold]
fn still_connecting(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.parts::<Layer>();
    if layer.socket(&driver, key).is_some_and(|s| s.clocks.was_probed()) {
        driver.pend(key.0);
    }
}

/// Tells what the machines decided, in order, and ends what both sides ended.
fn deliver(d: &mut Dispatch<'_>, key: SocketKey) {
    for _ in 0..TELL {
        let (layer, mut driver) = d.parts::<Layer>();
        let Some((effect, s)) = layer.take_effect(&driver, key) else { return };
        let pipe = s.pipes().and_then(|p| p.from);
        match effect {
            Some(Effect::Drain) => {
                s.tell(&mut driver, || SocketEvent::Drain);
                if let Some(pipe) = pipe {
                    pipe.drained(d);
                    let (layer, driver) = d.parts::<Layer>();
                    // A source of the user's that panics ends the pipe, and this with it.
                    if layer.socket(&driver, key).is_none_or(|s| !s.duplex.is_open()) {
                        return;
                    }
                }
                call(d, key, |h, s| h.on_drain(s));
            }
            Some(Effect::Finish) => {
                s.tell(&mut driver, || SocketEvent::Finish);
                let (handler, lingers) = (s.handler.take(), s.note_end(&driver));
                call_only(d, key, handler, |h, s| h.on_finish(s));
                if lingers {
                    expire::arm(&mut d.cx(), key);
                }
                if let Some(pipe) = pipe {
                    pipe.finished(d);
                }
                d.settle();
            }
            Some(Effect::Written(id)) => call(d, key, |h, s| h.on_written(s, id, Ok(()))),
            _ => {
                if s.duplex.is_done() {
                    return s.destroy(&mut driver, Reason::Ended);
                }
                if std::mem::take(&mut s.shutting_down) && s.duplex.is_open() {
                    call(d, key, |h, s| h.on_shutdown(s));
                    continue;
                }
                let due = expire::take_due(s, &mut driver);
                if let Some(Due::Now(which)) = due {
                    s.tell(&mut driver, || SocketEvent::TimedOut(which));
                }
                match due {
                    Some(Due::NotYet) => expire::arm(&mut d.cx(), key),
                    Some(Due::Now(Timeout::Idle)) if s.duplex.is_open() => {
                        call(d, key, |h, s| h.on_timeout(s));
                        expire::arm(&mut d.cx(), key);
                    }
                    Some(Due::Now(which)) => {
                        let reason = expire::reason(s, &driver, which);
                        s.destroy(&mut driver, reason);
                    }
                    None => return,
                }
            }
        }
    }
    // The rest in the next turn, which is to come.
    let (layer, mut driver) = d.parts::<Layer>();
    if let Some(s) = layer.socket(&driver, key) {
        s.busy = true;
        driver.set_busy(key.0, true);
        driver.queue(key.0);
    }
}
