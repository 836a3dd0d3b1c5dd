//! One pass of a UDP socket, in order: hear errors, receive, send what is queued, tell, rest. The
//! loop calls in here, by the kind of the handle.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_loop::{Cx, Key, KeyError};

use crate::callbacks::contexts::UdpCx;
use crate::datagram::{UdpClose, UdpReason};
use crate::key::UdpKey;
use crate::udp::call::call;
use crate::udp::machine::queue::Entry;
use crate::udp::state::{Life, Told, UDP, Udp};
use crate::udp::{receive, send};
use crate::udp_event::UdpEvent;

pub(crate) static DATAGRAMS: Kind = Kind::new("udp", UDP.owner())
    .ready(ready)
    .pending(pending)
    .close(|cx, key, _| destroy(cx, UdpKey(key)))
    .closed(closed)
    .describe(describe);

/// How long to wait when nothing announces that there is room.
const BACK_OFF: Duration = Duration::from_millis(1);

/// The most that one dispatch tells.
const TELL: usize = 1000;

fn describe(cx: &mut Cx<'_>, key: Key, _: u64) -> String {
    let (layer, d) = cx.layer(&UDP);
    let Some(u) = layer.get(&d, UdpKey(key)) else { return String::new() };
    let Some(socket) = &u.socket else { return "closing".into() };
    let mut text = match socket.local_addr() {
        Ok(local) => format!("on {local}"),
        Err(e) => format!("on {e}"),
    };
    if let Ok(peer) = socket.peer_addr() {
        text += &format!(" with {peer}");
    }
    match u.waiting().datagrams {
        0 => {}
        n => text += &format!(", {n} datagrams wait to be sent"),
    }
    if u.is.paused {
        text += ", paused";
    }
    text
}

/// The socket's turn in the ready pass.
fn ready(d: &mut Dispatch<'_>, raw: Key, _: u64) {
    let key = UdpKey(raw);
    let (layer, mut driver) = d.layer(&UDP);
    let Some((u, mut h, _)) = layer.lend(&mut driver, key) else { return };
    let bits = h.readiness();
    if bits.has(Readiness::ERROR) {
        h.forget(Readiness::ERROR);
        u.watch_again(&mut h);
        if u.is.hears_errors {
            receive::hear(u, &mut h);
        }
    }
    if u.is.blocked && bits.has(Readiness::WRITABLE) {
        h.forget(Readiness::WRITABLE);
        u.is.blocked = false;
    }
    if u.receives() && (bits.has(Readiness::READABLE) || u.has_kept()) {
        receive::receive(d, key);
    }
    finish(d, key);
}

/// What API calls left to be done. A socket that is queued does it in its dispatch.
fn pending(d: &mut Dispatch<'_>, raw: Key, _: u64) {
    if d.driver().handle(UDP.owner(), raw).is_some_and(|h| !h.is_queued()) {
        finish(d, UdpKey(raw));
    }
}

/// The second half of a pass: sends, tells, and rests.
#[inline]
fn finish(d: &mut Dispatch<'_>, key: UdpKey) {
    let (layer, mut driver) = d.layer(&UDP);
    let Some((u, mut h, shared)) = layer.lend(&mut driver, key) else { return };
    if u.queue.is_some() {
        u.flush(&mut h, shared, send::TURN);
    }
    if u.has_news() {
        tell(d, key);
        let (layer, mut driver) = d.layer(&UDP);
        let Some((u, mut h, _)) = layer.lend(&mut driver, key) else { return };
        u.rest(&mut h);
        wait_for_buffers(d, key);
    } else {
        u.rest(&mut h);
        if u.is.retrying {
            wait_for_buffers(d, key);
        }
    }
}

impl Udp {
    /// Whether there is something to tell.
    #[inline]
    fn has_news(&self) -> bool {
        self.rare.as_ref().is_some_and(|r| !r.told.is_empty())
            || self.queue.is_none() && (self.is.needs_drain || self.life == Life::Ending)
    }

    /// After a pass: watches for what is next, or is queued for the rest.
    #[inline]
    fn rest(&mut self, h: &mut tidegate_loop::kind::Handle<'_>) {
        if self.life == Life::Closing {
            return;
        }
        let waits = self.queue.is_some();
        self.watch(h);
        if waits && !self.is.blocked && !self.is.retrying {
            // A budget stopped it.
            h.pend();
        }
        if waits || self.is.busy {
            h.set_busy(waits);
            self.is.busy = waits;
        }
    }
}

/// Starts the timer for a socket that waits for buffers that nothing announces.
#[cold]
fn wait_for_buffers(d: &mut Dispatch<'_>, key: UdpKey) {
    let (layer, driver) = d.layer(&UDP);
    let Some(u) = layer.get(&driver, key) else { return };
    if !u.is.retrying || u.is.timed {
        return;
    }
    u.is.timed = true;
    d.cx().timer(BACK_OFF, move |cx, _| {
        let (layer, mut d) = cx.layer(&UDP);
        if let Some((u, mut h, _)) = layer.lend(&mut d, key) {
            u.is.retrying = false;
            u.is.timed = false;
            h.pend();
        }
    });
}

/// Calls the callbacks for what happened, in order, and ends a socket that has sent all.
#[cold]
fn tell(d: &mut Dispatch<'_>, key: UdpKey) {
    for _ in 0..TELL {
        let (layer, mut driver) = d.layer(&UDP);
        let Some((u, mut h, _)) = layer.lend(&mut driver, key) else { return };
        if u.life == Life::Closing {
            return;
        }
        match u.rare.as_mut().and_then(|r| r.told.pop_front()) {
            Some(Told::Sent(id)) => call(d, key, |h, u| h.on_sent(u, id, Ok(()))),
            Some(Told::Failed(Some(id), e)) => call(d, key, |h, u| h.on_sent(u, id, Err(&e))),
            Some(Told::Failed(None, e)) => call(d, key, |h, u| h.on_send_error(u, e)),
            Some(Told::Error(e)) => call(d, key, |h, u| h.on_error(u, e)),
            None if u.queue.is_none() && u.is.needs_drain => {
                u.is.needs_drain = false;
                u.tell(&mut h, || UdpEvent::Drain);
                call(d, key, |h, u| h.on_drain(u));
            }
            None if u.queue.is_none() && u.life == Life::Ending => {
                return u.destroy(&mut h, UdpReason::Ended);
            }
            None => return,
        }
    }
    // The rest in the next turn, which is to come.
    if let Some(mut h) = d.driver().handle(UDP.owner(), key.0) {
        h.pend();
    }
}

/// Closes now. What is queued is answered before `on_close`.
pub(crate) fn destroy(cx: &mut Cx<'_>, key: UdpKey) -> Result<(), KeyError> {
    cx.validate(key)?;
    let (layer, mut d) = cx.layer(&UDP);
    let (u, mut h, _) = layer.lend(&mut d, key).ok_or(KeyError::Closed)?;
    u.destroy(&mut h, UdpReason::Destroyed);
    Ok(())
}

/// The closing phase: each datagram that is left has its answer, and then comes `on_close`.
fn closed(d: &mut Dispatch<'_>, raw: Key, index: u64) {
    let (layer, mut driver) = d.layer(&UDP);
    let Some(mut u) = layer.sockets.try_remove(index as usize) else { return };
    if let Some(handle) = driver.handle(UDP.owner(), raw) {
        handle.free();
    }
    let (stats, unsent) = (u.stats(), u.waiting());
    let mut rare = u.rare.take().unwrap_or_default();
    if let Some(mut queue) = u.queue.take() {
        layer.shared.held -= queue.weight();
        while let Some(Entry { len, way, id }) = queue.pop() {
            if id.is_some() {
                rare.told.push_back(Told::Failed(id, send::closed(way.to, len)));
            }
        }
        layer.shared.give_back(queue);
    }
    let Some(mut handler) = u.handler else { return };
    let key = UdpKey(raw);
    let mut is_whole = true;
    for told in rare.told {
        let (id, result) = match &told {
            Told::Sent(id) => (*id, Ok(())),
            Told::Failed(Some(id), e) => (*id, Err(e)),
            _ => continue,
        };
        let mut called = || handler.on_sent(&mut UdpCx::new(d.cx(), key), id, result);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(&mut called)) {
            d.driver().panic_later(payload);
            is_whole = false;
            break;
        }
    }
    let reason = rare.reason.unwrap_or(UdpReason::Destroyed);
    let reason = if is_whole { reason } else { UdpReason::Panicked };
    let close = UdpClose { reason, unsent, undelivered: rare.kept.len() + rare.lost, stats };
    handler.on_close(&mut UdpCx::new(d.cx(), key), close);
}
