//! The re-entrancy matrix: in each callback, each thing that could pull the
//! floor from under the dispatcher. Afterwards everything is closed, each
//! connection got exactly one `on_close`, last, and the loop still works.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::prelude::*;

use crate::support::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Callback {
    Connection,
    Connect,
    Data,
    Drain,
    Written,
    End,
    Finish,
    Close,
    ServerClose,
    Timer,
    Tick,
    Post,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    CloseSelf,
    ClosePeer,
    WriteSelf,
    WritePeer,
    Pause,
    Replace,
    Stop,
    Panic,
    PanicInTick,
}

const CALLBACKS: [Callback; 12] = [
    Callback::Connection,
    Callback::Connect,
    Callback::Data,
    Callback::Drain,
    Callback::Written,
    Callback::End,
    Callback::Finish,
    Callback::Close,
    Callback::ServerClose,
    Callback::Timer,
    Callback::Tick,
    Callback::Post,
];

const ACTIONS: [Action; 9] = [
    Action::CloseSelf,
    Action::ClosePeer,
    Action::WriteSelf,
    Action::WritePeer,
    Action::Pause,
    Action::Replace,
    Action::Stop,
    Action::Panic,
    Action::PanicInTick,
];

/// One cell of the matrix, and what happened in it.
struct Trial {
    callback: Callback,
    action: Action,
    done: Cell<bool>,
    /// The two ends: who the client is, who was accepted.
    client: Cell<Option<SocketKey>>,
    accepted: Cell<Option<SocketKey>>,
    seen: RefCell<HashMap<SocketKey, Vec<Callback>>>,
    server_closed: Cell<u32>,
}

type Plan = Rc<Trial>;

impl Trial {
    /// Does the action, once, if this is the callback for it. `me` is the
    /// connection whose callback runs; others act on the accepted one.
    fn at(self: &Rc<Self>, callback: Callback, cx: &mut Cx<'_>, me: Option<SocketKey>) {
        if callback != self.callback || self.done.replace(true) {
            return;
        }
        let (client, accepted) = (self.client.get(), self.accepted.get());
        let me = me.or(accepted).or(client).unwrap();
        let peer = if Some(me) == client { accepted } else { client };
        let peer = peer.unwrap_or(me);
        match self.action {
            Action::CloseSelf => cx.socket(me).destroy(),
            Action::ClosePeer => cx.socket(peer).destroy(),
            Action::WriteSelf => write(&mut cx.socket(me)),
            Action::WritePeer => write(&mut cx.socket(peer)),
            Action::Pause => {
                cx.socket(me).pause();
                cx.timer(Duration::ZERO, move |cx, _| cx.socket(me).resume());
            }
            Action::Replace => {
                let plan = self.clone();
                cx.socket(me).set_handler(Probe { plan, client: Some(me) == client });
            }
            Action::Stop => cx.stop(),
            Action::Panic => resume_unwind(Box::new("on purpose")),
            // It interrupts the dispatch of which this callback is a part.
            Action::PanicInTick => {
                cx.next_tick(|_| resume_unwind(Box::new("on purpose")));
            }
        }
    }
}

fn write(s: &mut SocketCx<'_>) {
    let _ = s.write(b"from a callback");
    let _ = s.write(Bytes::from(vec![1u8; 100_000]));
}

struct Probe {
    plan: Plan,
    client: bool,
}

impl Probe {
    fn at(&self, callback: Callback, s: &mut SocketCx<'_>) {
        let key = s.key();
        self.plan.seen.borrow_mut().entry(key).or_default().push(callback);
        // The client's callbacks act only where the server has no such one.
        if self.client == (callback == Callback::Connect) {
            self.plan.at(callback, &mut s.cx(), Some(key));
        }
    }
}

impl Handler for Probe {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        let _ = s.write(b"a request");
        self.at(Callback::Connect, s);
    }

    fn on_data(&mut self, s: &mut SocketCx<'_>, _: &[u8]) {
        let first =
            !self.plan.seen.borrow().get(&s.key()).is_some_and(|c| c.contains(&Callback::Data));
        self.at(Callback::Data, s);
        if !self.client && first {
            // More than the kernel holds: full, and later a drain.
            let _ = s.write_id(vec![2u8; 12 << 20], 7);
        }
        if self.client && first {
            let plan = self.plan.clone();
            s.timer(Duration::ZERO, move |cx, _| plan.at(Callback::Timer, cx, None));
            let plan = self.plan.clone();
            s.next_tick(move |cx| plan.at(Callback::Tick, cx, None));
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.at(Callback::Drain, s);
        s.end();
    }

    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, _: Result<(), &Reason>) {
        assert_eq!(id, 7);
        self.at(Callback::Written, s);
    }

    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.at(Callback::End, s);
    }

    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.at(Callback::Finish, s);
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        let plan = self.plan.clone();
        let peer = if self.client { plan.accepted.get() } else { plan.client.get() };
        self.at(Callback::Close, s);
        // Whatever one end lost, the other does not wait for.
        if let (Some(peer), false) = (peer, matches!(close.reason, Reason::Ended)) {
            s.socket(peer).destroy();
        }
    }
}

struct Server(Plan);

impl ServerHandler for Server {
    fn on_connection(&mut self, mut conn: Incoming<'_>) {
        let (key, server) = (conn.key(), conn.server_key());
        self.0.accepted.set(Some(key));
        conn.server(server).close().unwrap();
        let mut s = conn.accept(Probe { plan: self.0.clone(), client: false });
        self.0.at(Callback::Connection, &mut s.cx(), Some(key));
    }

    fn on_close(&mut self, server: &mut ServerCx<'_>) {
        self.0.server_closed.set(self.0.server_closed.get() + 1);
        self.0.at(Callback::ServerClose, &mut server.cx(), None);
    }
}

fn run(callback: Callback, action: Action) {
    let plan = Rc::new(Trial {
        callback,
        action,
        done: Cell::new(false),
        client: Cell::new(None),
        accepted: Cell::new(None),
        seen: RefCell::default(),
        server_closed: Cell::new(0),
    });
    let mut lp = guarded();
    let server = lp.serve("127.0.0.1:0", Server(plan.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    plan.client.set(Some(lp.connect(at, Probe { plan: plan.clone(), client: true })));
    if callback == Callback::Post {
        let remote = lp.remote();
        let plan = AssertSend(plan.clone());
        remote.post(move |cx| plan.get().at(Callback::Post, cx, None)).unwrap();
    }
    let mut panics = 0;
    while lp.is_alive() {
        match catch_unwind(AssertUnwindSafe(|| lp.run())) {
            Ok(done) => done.unwrap(),
            Err(what) => match what.downcast_ref::<&str>() {
                Some(&"on purpose") => panics += 1,
                _ => resume_unwind(what),
            },
        }
    }
    assert!(plan.done.get(), "the callback never came");
    let panicked = matches!(action, Action::Panic | Action::PanicInTick);
    assert_eq!(panics, u32::from(panicked));
    assert_eq!(plan.server_closed.get(), 1);
    assert_eq!(handles(&lp), 0, "{:?}", lp.why_alive());
    for (key, seen) in plan.seen.borrow().iter() {
        let closes = seen.iter().filter(|c| **c == Callback::Close).count();
        assert_eq!(closes, 1, "{key:?}: {seen:?}");
        assert_eq!(seen.last(), Some(&Callback::Close), "{key:?}: {seen:?}");
        for once in [Callback::Connect, Callback::Written, Callback::End, Callback::Finish] {
            assert!(seen.iter().filter(|c| **c == once).count() <= 1, "{key:?}: {seen:?}");
        }
    }
}

/// The plan stays on this thread: the post is made and run there.
struct AssertSend(Plan);

impl AssertSend {
    fn get(&self) -> &Plan {
        &self.0
    }
}

// SAFETY: `Remote::post` wants `Send`, but the closure never leaves the thread
// that made it: the same thread posts it and runs the loop.
#[allow(unsafe_code)]
unsafe impl Send for AssertSend {}

#[test]
fn every_action_in_every_callback() {
    let mut failed = Vec::new();
    for callback in CALLBACKS {
        for action in ACTIONS {
            if let Err(what) = catch_unwind(|| run(callback, action)) {
                let what = what.downcast_ref::<String>().cloned().unwrap_or_default();
                failed.push(format!("{callback:?} x {action:?}: {what}"));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} cells failed:\n{}",
        failed.len(),
        CALLBACKS.len() * ACTIONS.len(),
        failed.join("\n")
    );
}

/// A handler that panics loses its connection, with that as the reason, and no
/// other.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_panic_closes_that_connection_and_says_so() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let l = l.clone();
            conn.accept(
                On::new()
                    .data(|s, chunk| match chunk {
                        b"panic" => resume_unwind(Box::new("on purpose")),
                        _ => assert_eq!(s.write(chunk), Flow::Ready),
                    })
                    .close(move |_, c| l.add(c.to_string())),
            );
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let (bad, good) = (client(at), client(at));
    write_all(&bad, b"panic");
    write_all(&good, b"fine");
    let mut panics = 0;
    while log.lines().is_empty() || lp.server(server).stats().unwrap().accepted < 2 {
        panics += u32::from(catch_unwind(AssertUnwindSafe(|| lp.run_once())).is_err());
    }
    assert_eq!((panics, log.lines()), (1, vec!["a callback panicked".to_string()]));
    good.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.lines().len() == 2);
    assert_eq!(read_to_end(&good), b"fine");
    assert!(was_reset(&bad), "this is no ordinary end");
}

/// A panic in `on_close` does not call it again.
#[test]
fn a_panic_in_on_close_is_not_repeated() {
    let mut lp = guarded();
    let calls = Rc::new(Cell::new(0));
    let c = calls.clone();
    lp.connect(
        closed_port(),
        On::new().close(move |_, _| {
            c.set(c.get() + 1);
            resume_unwind(Box::new("on purpose"));
        }),
    );
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!((calls.get(), handles(&lp)), (1, 0));
}

/// No API call drops a user's value: it goes after the current callback.
#[test]
fn a_replaced_handler_is_dropped_after_the_callback() {
    struct Tell(Log, &'static str);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.add(format!("{} dropped", self.1));
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let (l, first) = (l.clone(), Tell(l.clone(), "first"));
            conn.accept(On::new().data(move |s, _| {
                let _keep = &first;
                s.set_handler(On::with(Tell(l.clone(), "second")));
                s.set_handler(On::with(Tell(l.clone(), "third")).data(|_, s, _| s.end()));
                l.add("callback returns");
            }));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    write_all(&c, b"x");
    turn_until(&mut lp, |_| log.has("first dropped"));
    let lines = log.lines();
    assert_eq!(lines[0], "callback returns");
    assert!(lines.contains(&"second dropped".to_string()) && !log.has("third dropped"));
    drop(c);
    lp.run().unwrap();
    assert!(log.has("third dropped"));
}
