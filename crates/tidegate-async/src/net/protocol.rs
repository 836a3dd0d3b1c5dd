//! What the net crate calls for the connection of a future: it wakes the tasks that wait.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_net::{
    Close, LentSocket, Net, PeerState, Protocol, Pulls, Reason, SocketKey, pull_kind,
};

use crate::state::layer::{ASYNC, Layer};
use crate::state::net::{Flush, Over, SocketState};
use crate::tasks::run::{Reader, poll_reader, poll_with_socket, wake_now};
use crate::tasks::wake::wake;
use crate::wake::home::Note;
use crate::wake::waiter::{ROOT, TaskAt, Waiter};

pub(crate) static PULL: Protocol = Protocol::new("futures")
    .connect(connected)
    .readable(readable)
    .lends(&LENT)
    .writable(writable)
    .written(|d, key, at, _, _| {
        if let Some(waiter) = change(d, key, at, |s| {
            s.flush = Flush::Done;
            s.writer.take()
        }) {
            wake(&mut d.cx(), waiter);
        }
    })
    .finish(finished)
    .hangup(hung_up)
    .close(closed)
    .replaced(replaced)
    .describe(describe);

/// Connections that tasks read from.
static LENT: Kind = pull_kind::<Readers>();

struct Readers;

impl Pulls for Readers {
    /// The usual way of what `readable` does.
    #[inline(always)]
    fn pull(d: &mut Dispatch<'_>, at: u64, socket: &mut Option<LentSocket>) -> bool {
        let Some(key) = socket.as_ref().map(LentSocket::key) else { return false };
        match poll_with_socket(d, |layer| reader(layer, key, at), key.into(), socket) {
            Reader::Waits => {}
            Reader::Nobody => return false,
            Reader::WaitsNoMore(task) => waits_no_more(d, key, at, task),
        }
        true
    }
}

/// The task that waits to read.
#[inline(always)]
fn reader(layer: &mut Layer, key: SocketKey, at: u64) -> Option<TaskAt> {
    match layer.socket(key, at as usize)?.reader {
        Waiter::Task(task) if task.at != ROOT => Some(task),
        _ => None,
    }
}

fn change<R>(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    at: u64,
    f: impl FnOnce(&mut SocketState) -> R,
) -> Option<R> {
    d.layer(&ASYNC).0.socket(key, at as usize).map(f)
}

/// There is something to read. A task that waits for it reads in here; it stays who waits, if it
/// waits again. If nobody waits, this is not called again until somebody does.
fn readable(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    match poll_reader(d, |layer| reader(layer, key, at), key.into()) {
        Reader::Waits => {}
        Reader::WaitsNoMore(task) => waits_no_more(d, key, at, task),
        Reader::Nobody => read_later(d, key, at),
    }
}

/// The task did something else than to wait for this connection again. What it left unread is in
/// the next call.
#[cold]
#[inline(never)]
fn waits_no_more(d: &mut Dispatch<'_>, key: SocketKey, at: u64, task: TaskAt) {
    change(d, key, at, |s| match s.reader {
        Waiter::Task(waits) if waits == task => s.reader = Waiter::Nobody,
        _ => {}
    });
}

#[cold]
#[inline(never)]
fn read_later(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let waiter = change(d, key, at, |s| {
        s.paused = true;
        s.reader.take()
    });
    d.cx().socket(key).pause();
    wake(&mut d.cx(), waiter.unwrap_or_default());
}

fn writable(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    if let Some(waiter) = change(d, key, at, |s| s.writer.take()) {
        wake_now(d, waiter);
    }
}

fn connected(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let waiter = change(d, key, at, |s| {
        s.connected = true;
        s.writer.take()
    });
    wake_now(d, waiter.unwrap_or_default());
}

fn finished(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let waiter = change(d, key, at, |s| {
        s.finished = true;
        s.writer.take()
    });
    wake(&mut d.cx(), waiter.unwrap_or_default());
}

/// Nobody reads; a writer finds out by its next write.
fn hung_up(d: &mut Dispatch<'_>, key: SocketKey, at: u64, peer: PeerState) {
    if peer == PeerState::Gone {
        let waiter = change(d, key, at, |s| s.writer.take());
        wake(&mut d.cx(), waiter.unwrap_or_default());
    }
}

fn closed(d: &mut Dispatch<'_>, key: SocketKey, at: u64, close: Close) {
    let (layer, mut driver) = d.layer(&ASYNC);
    if layer.socket(key, at as usize).is_none() && close.unsent > 0 {
        // It was dropped while filters held bytes: no task is left that could get the error.
        return driver.unhandled(
            "tidegate::async",
            "dropped",
            format_args!("a connection that was dropped: {close}"),
        );
    }
    over(&mut d.cx(), key, at, Over::Closed(close.reason));
    wake_both(&mut d.cx(), key, at as usize);
}

fn over(cx: &mut Cx<'_>, key: SocketKey, at: u64, over: Over) {
    if let Some(s) = cx.layer(&ASYNC).0.socket(key, at as usize) {
        s.over = Some(over);
    }
}

fn wake_both(cx: &mut Cx<'_>, key: SocketKey, at: usize) {
    let Some(s) = cx.layer(&ASYNC).0.socket(key, at) else { return };
    let waiters: [Waiter; 2] = [s.reader.take(), s.writer.take()];
    waiters.into_iter().for_each(|waiter| wake(cx, waiter));
}

/// It was taken by a handler or by another protocol. No waker may run in here.
fn replaced(cx: &mut Cx<'_>, key: SocketKey, at: u64) {
    over(cx, key, at, Over::Taken);
    if let Some(half_open) = cx.layer(&ASYNC).0.socket(key, at as usize).map(|s| s.half_open) {
        cx.socket(key).set_allow_half_open(half_open);
    }
    let tell = |cx: &mut Cx<'_>, note: Note| {
        if let Some(key) = cx.layer(&ASYNC).0.sockets.get(note.at).and_then(|s| s.key) {
            wake_both(cx, key, note.at);
        }
    };
    if let Some(home) = &cx.layer(&ASYNC).0.home {
        home.note(Note::new(tell, key, at as usize));
    }
}

fn describe(cx: &mut Cx<'_>, key: SocketKey, at: u64) -> String {
    let Some(s) = cx.layer(&ASYNC).0.socket(key, at as usize) else { return String::new() };
    match (s.reader.waits(), s.writer.waits()) {
        (true, true) => "tasks wait to read and to write",
        (true, false) => "a task waits to read",
        (false, true) => "a task waits to write",
        (false, false) => "no task waits for it",
    }
    .into()
}

/// Whether this end is one that a reader sees as the end of the bytes.
pub(crate) fn is_plain_end(over: &Over) -> bool {
    matches!(over, Over::Closed(Reason::Ended))
}
