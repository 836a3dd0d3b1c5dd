//! How a request is written: its head and a whole body at once, a streamed body as it comes.
//!
//! | sent | event | next |
//! |---|---|---|
//! | Nothing | it gets a connection | All; a streamed body: Part; with `Expect`: Head |
//! | Head | 100, or nothing for a while | All; a streamed body: Part |
//! | Part | the body is ended | All |
//!
//! What is written before `Part` is kept, and the write returns `Full`.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::kind::Dispatch;
use tidegate_loop::{Cx, Key};
use tidegate_net::{Chunk, Flow, Net, SocketKey};

use crate::agent::state::{Sent, socket_of, with_request};
use crate::client::error::{RequestCause, RequestStage};
use crate::client::request::Body;
use crate::codec::{EncodeError, Frame};
use crate::requests::call::call;
use crate::requests::deadline::{arm, enter, touch};
use crate::requests::ending::fail;

/// The most that is kept of a body for which there is no connection.
const MOST_EARLY: usize = 1 << 20;

/// The timer of a connection that ends the wait for 100.
pub(crate) const CONTINUE: u64 = 1;

/// A request has its connection: writes what can be written.
pub(crate) fn send(d: &mut Dispatch<'_>, key: Key, socket: SocketKey) {
    let taken = with_request(&mut d.cx(), key, |r, _| {
        (r.full, r.written, r.sent) =
            (r.full || matches!(r.body, Body::Streamed(_)), 0, Sent::Head);
        (std::mem::take(&mut r.head), r.body.clone(), r.expect)
    });
    let Some((head, body, expect)) = taken else { return };
    let mut cx = d.cx();
    let written = cx.socket(socket).bytes_written();
    with_request(&mut cx, key, |r, _| r.written = written);
    match (expect, &body) {
        (Some(wait), _) => {
            let flow = cx.socket(socket).write(&head);
            cx.socket(socket).set_timer(CONTINUE, wait.max(Duration::from_millis(1)));
            enter(&mut cx, key, RequestStage::Send);
            note_full(&mut cx, key, flow);
        }
        (None, Body::Whole(body)) => {
            let flow = match body.is_empty() {
                true => cx.socket(socket).write(&head),
                false => cx.socket(socket).write_gathered(&[(&head).into(), body.clone().into()]),
            };
            with_request(&mut cx, key, |r, _| r.sent = Sent::All);
            all_written(&mut cx, key, flow);
        }
        (None, Body::Streamed(_)) => {
            let flow = cx.socket(socket).write(&head);
            enter(&mut cx, key, RequestStage::Send);
            note_full(&mut cx, key, flow);
            send_body(d, key);
        }
    }
    // It may have to be sent again.
    with_request(&mut d.cx(), key, |r, _| r.head = head);
}

/// The whole request was given to the connection.
fn all_written(cx: &mut Cx<'_>, key: Key, flow: Flow) {
    let stage = match flow {
        Flow::Ready => RequestStage::Head,
        _ => RequestStage::Send,
    };
    let is_body = with_request(cx, key, |r, _| r.stage == RequestStage::Body);
    if is_body == Some(false) {
        enter(cx, key, stage);
    }
    note_full(cx, key, flow);
}

fn note_full(cx: &mut Cx<'_>, key: Key, flow: Flow) {
    if flow == Flow::Full {
        with_request(cx, key, |r, _| r.full = true);
    }
}

/// The body may be sent now.
pub(crate) fn send_body(d: &mut Dispatch<'_>, key: Key) {
    let mut cx = d.cx();
    let Some(socket) = socket_of(&mut cx, key) else { return };
    cx.socket(socket).clear_timer(CONTINUE);
    let taken = with_request(&mut cx, key, |r, _| match (&r.body, r.sent) {
        // The answer is there: the body is not wanted any more.
        _ if r.status != 0 => None,
        (Body::Whole(body), Sent::Head) => {
            r.sent = Sent::All;
            Some((body.clone(), Vec::new(), true))
        }
        (Body::Streamed(_), Sent::Head) => {
            r.sent = if r.ended { Sent::All } else { Sent::Part };
            r.has_streamed |= !r.early.is_empty() || r.ended;
            Some((Default::default(), std::mem::take(&mut r.early), r.ended))
        }
        _ => None,
    });
    let Some((body, early, is_all)) = taken.flatten() else { return };
    let mut s = cx.socket(socket);
    let flow = if early.is_empty() { s.write(body) } else { s.write(early) };
    if is_all {
        all_written(&mut cx, key, flow);
    }
    with_request(&mut cx, key, |r, _| r.full &= r.from.is_some() || !r.ended);
    if flow == Flow::Ready {
        drained(d, key);
    } else {
        note_full(&mut cx, key, flow);
    }
}

/// The connection has room again.
pub(crate) fn drained(d: &mut Dispatch<'_>, key: Key) {
    let mut cx = d.cx();
    touch(&mut cx, key);
    let found = with_request(&mut cx, key, |r, _| {
        let is_full = std::mem::take(&mut r.full);
        let is_out = r.sent == Sent::All && r.stage == RequestStage::Send;
        (is_full && r.sent == Sent::Part, is_out, r.from)
    });
    let Some((goes_on, is_out, from)) = found else { return };
    if is_out {
        enter(&mut cx, key, RequestStage::Head);
    }
    match from {
        Some(pipe) if goes_on => pipe.drained(d),
        _ if goes_on => {
            call(d, key, |h, r| h.on_drain(r));
        }
        _ => finished(d, key),
    }
}

/// Tells the pipe that writes the body when all of it is out.
pub(crate) fn finished(d: &mut Dispatch<'_>, key: Key) {
    let mut cx = d.cx();
    let Some(socket) = socket_of(&mut cx, key) else { return };
    if cx.socket(socket).buffered() > 0 {
        return;
    }
    let pipe = with_request(&mut cx, key, |r, _| match r.sent {
        Sent::All => r.from.take(),
        _ => None,
    });
    if let Some(pipe) = pipe.flatten() {
        pipe.finished(d);
        pipe.sink_closed(d, Ok(()));
    }
}

/// A part of the body, from the user or a pipe.
pub(crate) fn write(cx: &mut Cx<'_>, key: Key, data: Chunk<'_>) -> Flow {
    let framed = with_request(cx, key, |r, _| {
        if r.ended || !matches!(r.body, Body::Streamed(_)) {
            return Ok(None);
        }
        let frame = r.encoder.data(data.bytes().len())?;
        if r.sent == Sent::Part {
            r.has_streamed = true;
            return Ok(Some((frame, None)));
        }
        keep(&mut r.early, &frame, data.bytes());
        r.full = true;
        Ok(Some((frame, Some(r.early.len()))))
    });
    match framed {
        None | Some(Ok(None)) => Flow::Closed,
        Some(Err(e)) => {
            fail(cx, key, RequestCause::Request(e));
            Flow::Closed
        }
        Some(Ok(Some((_, Some(waits))))) if waits > MOST_EARLY => {
            fail(cx, key, RequestCause::TooMuchWaits(waits));
            Flow::Closed
        }
        Some(Ok(Some((_, Some(_))))) => Flow::Full,
        Some(Ok(Some((frame, None)))) => {
            let Some(socket) = socket_of(cx, key) else { return Flow::Closed };
            if !frame.is_sent() {
                return Flow::Ready;
            }
            let mut s = cx.socket(socket);
            let flow = match frame.after() {
                b"" => s.write(data),
                after => s.write_gathered(&[frame.before().into(), data, after.into()]),
            };
            note_full(cx, key, flow);
            if flow == Flow::Ready {
                touch(cx, key);
            }
            flow
        }
    }
}

fn keep(early: &mut Vec<u8>, frame: &Frame, data: &[u8]) {
    if frame.is_sent() {
        for part in [frame.before(), data, frame.after()] {
            early.extend_from_slice(part);
        }
    }
}

/// The body is complete.
pub(crate) fn end(cx: &mut Cx<'_>, key: Key) {
    let ended = with_request(cx, key, |r, _| {
        if r.ended || !matches!(r.body, Body::Streamed(_)) {
            return Ok(None);
        }
        let mut last = Vec::new();
        r.encoder.end(&mut last, [])?;
        r.ended = true;
        if r.sent == Sent::Part {
            (r.sent, r.has_streamed) = (Sent::All, true);
            return Ok(Some(last));
        }
        r.early.extend(last);
        Ok::<_, EncodeError>(None)
    });
    match ended {
        Some(Err(e)) => fail(cx, key, RequestCause::Request(e)),
        Some(Ok(Some(last))) => {
            let Some(socket) = socket_of(cx, key) else { return };
            let flow = match last.is_empty() {
                true if cx.socket(socket).buffered() > 0 => Flow::Full,
                true => Flow::Ready,
                false => cx.socket(socket).write(last),
            };
            all_written(cx, key, flow);
            arm(cx, key);
        }
        _ => {}
    }
}
