//! One pass of a connection, in order: read, write what is queued, finish, deliver effects, rest.
//!
//! The loop calls in here, by the kind of its handle. What each step does is in the file of
//! its name: `read.rs`, `write.rs`. What a connection does that is not open yet is in `client/`.
#![forbid(unsafe_code)]

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Handle, Kind};
use tidegate_loop::{Cx, Key};
use tidegate_stream::{Effect, ReadState};

use crate::callbacks::protocol::Protocol;
use crate::error::close::Reason;
use crate::error::fault::Timeout;
use crate::event::SocketEvent;
use crate::key::{OWNER, SocketKey};
use crate::socket::call::{call, call_upper};
use crate::socket::filters::news::settle;
use crate::socket::read::{Reads, pull, read};
use crate::socket::write::arm_retry;
use crate::socket::{close, expire};
use crate::state::deadlines::clocks::Due;
use crate::state::layer::NET;
use crate::state::owed::Owed;
use crate::state::socket::{Socket, Watched};
use crate::state::wire::Wire;

/// An open connection. One that connects is of a kind in `client/`.
pub(crate) static SOCKET: Kind = Kind::new("socket", &OWNER)
    .ready(ready)
    .pending(pending)
    .close(close::asked)
    .closed(close::closed)
    .describe(describe);

/// The same, of which a protocol was seen to read itself.
static PULLED: Kind = Kind::new("socket", &OWNER)
    .ready(ready_to_pull)
    .pending(pending)
    .close(close::asked)
    .closed(close::closed)
    .describe(describe);

/// The most effects that one dispatch delivers.
const TELL: usize = 1000;

pub(crate) fn describe(cx: &mut Cx<'_>, key: Key, _: u64) -> String {
    let (layer, d) = cx.layer(&NET);
    let Some(s) = layer.socket(&d, SocketKey(key)) else { return String::new() };
    let text = s.describe();
    let Some((p, data)) = s.upper.protocol() else { return text };
    match (p.describe)(cx, SocketKey(key), data).as_str() {
        "" => format!("{text}, {}", p.name()),
        more => format!("{text}, {}: {more}", p.name()),
    }
}

/// Delivers effects of API calls. A connection that is queued delivers them in its dispatch.
pub(crate) fn pending(d: &mut Dispatch<'_>, key: Key, _: u64) {
    if !d.driver().handle(&OWNER, key).is_some_and(|h| h.is_queued()) {
        deliver(d, SocketKey(key));
    }
}

/// The connection's turn in the ready pass: read, write, deliver effects, rest.
pub(crate) fn ready(d: &mut Dispatch<'_>, raw: Key, _: u64) {
    let key = SocketKey(raw);
    match read(d, key) {
        Reads::Quiet => {}
        Reads::Pulled => {
            let (layer, mut driver) = d.layer(&NET);
            if let Some(mut h) = driver.handle(&OWNER, raw) {
                let s = layer.sockets.get_mut(h.data() as usize, key);
                h.turn_into(s.and_then(|s| s.upper.lends()).unwrap_or(&PULLED));
            }
        }
        Reads::Done => go_on(d, key),
    }
}

/// The same without the loop's buffer, which a protocol that reads itself does not need. Whatever
/// else there is to do, `ready` does.
pub(crate) fn ready_to_pull(d: &mut Dispatch<'_>, raw: Key, index: u64) {
    let bits = d.readiness();
    match pull(d, SocketKey(raw), index as usize, bits) {
        Some(Reads::Done) => go_on(d, SocketKey(raw)),
        Some(_) => {}
        None => ready(d, raw, index),
    }
}

/// After the reads.
#[inline(never)]
pub(crate) fn go_on(d: &mut Dispatch<'_>, key: SocketKey) {
    let mut lingers = false;
    let (layer, mut driver) = d.layer(&NET);
    let told = layer.with(&mut driver, key, |s, h, shared| {
        if !s.duplex.is_open() {
            return false;
        }
        if s.duplex.ends_with_peer() && !s.is_piped_from(h) {
            s.end(h, shared);
        }
        if s.duplex.write.wants_write() {
            s.flush(h, shared);
            if !matches!(s.wire, Wire::Plain) {
                s.offer_again(h, shared);
            }
        }
        s.finish();
        let told = s.duplex.write.has_effect()
            || s.duplex.is_done()
            || !s.owed.is_none()
            || s.has_due_timer()
            || s.clocks.is_due()
            || s.new_hangup(h).is_some();
        if s.clocks.was_probed() {
            h.pend();
        }
        if !told {
            s.rest(h);
        }
        lingers = s.clocks.has_linger() && s.duplex.is_open() && s.is_half_closed(h);
        if lingers && !s.duplex.read.is_flowing() && s.duplex.read != ReadState::Ended {
            s.clocks.peer_gone(h.nanos());
        }
        s.stirred = told || s.fresh || !s.is_quiet();
        s.lendable = match s.upper.lends() {
            Some(kind) => s.may_be_lent() && h.turn_into(kind),
            None => false,
        };
        told
    });
    if lingers {
        expire::arm(&mut d.cx(), key);
    }
    if told == Some(true) {
        deliver(d, key);
        let (layer, mut driver) = d.layer(&NET);
        if let Some((s, mut h)) = layer.lend_socket(&mut driver, key) {
            s.rest(&mut h);
        }
    }
}

impl Socket {
    /// A dispatch had more to tell than it may: the rest comes in the next turn, which does not
    /// block.
    #[cold]
    pub(crate) fn go_on_later(&mut self, h: &mut Handle<'_>) {
        self.busy = true;
        h.set_busy(true);
        h.queue();
    }

    /// After a dispatch: a connection that can go on is queued, and a new one
    /// that cannot is registered.
    #[inline]
    pub(crate) fn rest(&mut self, h: &mut Handle<'_>) {
        if !self.duplex.is_open() {
            return;
        }
        let bits = h.readiness();
        let can_read = bits.has(Readiness::READABLE) && self.takes_bytes();
        let can_write = bits.has(Readiness::WRITABLE) && self.duplex.write.wants_write();
        if can_read || can_write {
            h.queue();
        } else if self.watched == Watched::Nothing {
            self.watch(h);
        }
    }
}

/// Calls the callbacks for the effects of the machines, in order, and ends a connection that both
/// sides have ended.
fn deliver(d: &mut Dispatch<'_>, key: SocketKey) {
    for _ in 0..TELL {
        let (layer, mut driver) = d.layer(&NET);
        let Some((effect, s, mut h)) = layer.take_effect(&mut driver, key) else { return };
        let pipe = s.pipes().and_then(|p| p.from);
        match effect {
            Some(Effect::Drain) => {
                s.tell(&mut h, || SocketEvent::Drain);
                if let Some(pipe) = pipe {
                    pipe.drained(d);
                    let (layer, driver) = d.layer(&NET);
                    // A source of the user's that panics ends the pipe, and this with it.
                    if layer.socket(&driver, key).is_none_or(|s| !s.duplex.is_open()) {
                        return;
                    }
                }
                call(d, key, |h, s| h.on_drain(s), |d, p, data| (p.drain)(d, key, data));
            }
            Some(Effect::Finish) => {
                s.tell(&mut h, || SocketEvent::Finish);
                let (handler, lingers) = (s.upper.take_user(), s.note_end(&h));
                let finish = |d: &mut Dispatch<'_>, p: &Protocol, data| (p.finish)(d, key, data);
                call_upper(d, key, handler, |h, s| h.on_finish(s), finish);
                if lingers {
                    expire::arm(&mut d.cx(), key);
                }
                if let Some(pipe) = pipe {
                    pipe.finished(d);
                }
                d.settle();
            }
            Some(Effect::Written(id)) => call(
                d,
                key,
                |h, s| h.on_written(s, id, Ok(())),
                |d, p, data| (p.written)(d, key, data, id, Ok(())),
            ),
            _ => {
                if !matches!(s.wire, Wire::Plain) && s.has_news() {
                    if !settle(d, key) {
                        return;
                    }
                    continue;
                }
                if s.duplex.is_done() {
                    return s.destroy(&mut h, Reason::Ended);
                }
                if !s.owed.is_none() {
                    if s.owed.take(Owed::SHUTDOWN) && s.duplex.is_open() {
                        let f =
                            |d: &mut Dispatch<'_>, p: &Protocol, data| (p.shutdown)(d, key, data);
                        call(d, key, |h, s| h.on_shutdown(s), f);
                        continue;
                    }
                    if s.owed.take(Owed::RETRY) && !s.owed.has(Owed::RETRYING) {
                        s.owed.add(Owed::RETRYING);
                        arm_retry(&mut d.cx(), key);
                        continue;
                    }
                    if s.owed.take(Owed::WAKE) && s.duplex.is_open() {
                        let f = |d: &mut Dispatch<'_>, p: &Protocol, data| (p.woken)(d, key, data);
                        call(d, key, |_, _| {}, f);
                        continue;
                    }
                    if s.take_room(&h) {
                        let f =
                            |d: &mut Dispatch<'_>, p: &Protocol, data| (p.writable)(d, key, data);
                        call(d, key, |_, _| {}, f);
                        continue;
                    }
                }
                if let Some(peer) = s.new_hangup(&h) {
                    s.hangup = peer;
                    call(
                        d,
                        key,
                        |h, s| h.on_hangup(s, peer),
                        |d, p, data| (p.hangup)(d, key, data, peer),
                    );
                    continue;
                }
                if s.is_discarded() {
                    return s.destroy(&mut h, Reason::Destroyed);
                }
                if s.is_abandoned(&h) {
                    return s.end_abandoned(&mut h);
                }
                if let Some(token) = s.take_due_timer() {
                    call(
                        d,
                        key,
                        |h, s| h.on_timer(s, token),
                        |d, p, data| (p.timer)(d, key, data, token),
                    );
                    continue;
                }
                let due = expire::take_due(s, &mut h);
                if let Some(Due::Now(which)) = due {
                    s.tell(&mut h, || SocketEvent::TimedOut(which));
                }
                match due {
                    Some(Due::NotYet) => expire::arm(&mut d.cx(), key),
                    Some(Due::Now(Timeout::Idle)) if s.duplex.is_open() => {
                        let timeout = |d: &mut Dispatch<'_>, p: &Protocol, data| {
                            (p.timeout)(d, key, data);
                        };
                        call(d, key, |h, s| h.on_timeout(s), timeout);
                        expire::arm(&mut d.cx(), key);
                    }
                    Some(Due::Now(which)) => {
                        let reason = match s.only_discards() {
                            true => Reason::Destroyed,
                            false => expire::reason(s, &h, which),
                        };
                        s.end_or_rest(&mut h, reason);
                    }
                    None => return,
                }
            }
        }
    }
    let (layer, mut driver) = d.layer(&NET);
    if let Some((s, mut h)) = layer.lend_socket(&mut driver, key) {
        s.go_on_later(&mut h);
    }
}
