//! An observer that panics: what it watched is not harmed, the panic comes out of
//! `run`, and the observer gets nothing more.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use bytes::Bytes;
use tidegate::net::{NetEvent, ServerEvent, SocketEvent};
use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;

use crate::support::*;

type Test = fn(&Event<'_>) -> bool;

struct PanicsAt(Test);

impl Observer for PanicsAt {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        if (self.0)(event) {
            resume_unwind(Box::new("on purpose"));
        }
    }
}

macro_rules! at {
    ($event:pat) => {
        |event| match event {
            Event::Layer(e) => matches!(e.as_any().downcast_ref(), Some($event)),
            _ => false,
        }
    };
}

#[test]
fn a_panic_at_any_event_loses_nothing() {
    let events: [(&str, Test); 14] = [
        ("turn", |e| matches!(e, Event::Turn { .. })),
        ("poll", |e| matches!(e, Event::Poll { .. })),
        ("polled", |e| matches!(e, Event::Polled { .. })),
        ("ready", |e| matches!(e, Event::Ready { .. })),
        ("phase end", |e| matches!(e, Event::PhaseEnd { .. })),
        ("accepted", at!(NetEvent::Socket(_, SocketEvent::Accepted))),
        ("batch", at!(NetEvent::Server(_, ServerEvent::AcceptBatch { .. }))),
        ("connect start", at!(NetEvent::Socket(_, SocketEvent::AttemptStart { .. }))),
        ("connected", at!(NetEvent::Socket(_, SocketEvent::Connected { .. }))),
        ("first byte", at!(NetEvent::Socket(_, SocketEvent::FirstRead { .. }))),
        ("full", at!(NetEvent::Socket(_, SocketEvent::Full { .. }))),
        ("drain", at!(NetEvent::Socket(_, SocketEvent::Drain))),
        ("end", at!(NetEvent::Socket(_, SocketEvent::End))),
        ("closed", at!(NetEvent::Socket(_, SocketEvent::Closed { .. }))),
    ];
    for (name, event) in events {
        let mut lp = guarded();
        lp.observe(PanicsAt(event));
        let log = Log::default();
        let l = log.clone();
        let server = lp
            .listen("127.0.0.1:0", move |mut conn| {
                let server = conn.server_key();
                conn.server(server).close().unwrap();
                let (close, end) = (l.clone(), l.clone());
                conn.accept(
                    On::new()
                        .data(|s, _| assert_eq!(s.write(big()), Flow::Full))
                        .drain(|s| s.end())
                        .end(move |_| end.add("server end"))
                        .close(move |_, c| close.add(format!("server {c}"))),
                );
            })
            .unwrap();
        let at = lp.server(server).local_addr().unwrap();
        let (close, read) = (log.clone(), Rc::new(Cell::new(0)));
        let r = read.clone();
        lp.connect(
            at,
            On::new()
                .connect(|s| assert_eq!(s.write(b"x"), Flow::Ready))
                .data(move |_, chunk| r.set(r.get() + chunk.len()))
                .close(move |_, c| close.add(format!("client {c}"))),
        );
        let mut panics = 0;
        while lp.is_alive() {
            panics += u32::from(catch_unwind(AssertUnwindSafe(|| lp.run().unwrap())).is_err());
        }
        assert_eq!(panics, 1, "{name}");
        assert_eq!(lp.metrics().panics, 1, "{name}");
        assert_eq!(read.get(), big().len(), "{name}");
        let mut lines = log.lines();
        lines.sort();
        let expected = ["client both sides ended", "server both sides ended", "server end"];
        assert_eq!(lines, expected, "{name}");
        assert_eq!(handles(&lp), 0, "{name}: {:?}", lp.why_alive());
    }
}

/// More than the kernel takes at once.
fn big() -> Bytes {
    Bytes::from_static(&[7; 12 << 20])
}

/// A post that was announced is delivered, also if the observer panicked at it.
#[test]
fn a_panic_at_the_inbox_loses_no_post() {
    let mut lp = guarded();
    lp.observe(PanicsAt(|e| matches!(e, Event::Ready { .. })));
    let remote = lp.remote();
    let (send, got) = std::sync::mpsc::channel();
    for n in 0..2 {
        let send = send.clone();
        remote.post(move |_| send.send(n).unwrap()).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| lp.run().unwrap())).is_err();
        assert_eq!(panicked, n == 0);
    }
    assert_eq!(got.try_iter().collect::<Vec<_>>(), [0, 1]);
}

/// Law 1: the old observer is dropped later, not inside `observe`.
#[test]
fn the_old_observer_is_buried() {
    struct Tells(Rc<Cell<bool>>);
    impl Observer for Tells {
        fn event(&mut self, _: &Moment, _: &Event<'_>) {}
    }
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let mut lp = guarded();
    let dropped = Rc::new(Cell::new(false));
    lp.observe(Tells(dropped.clone()));
    lp.observe(PanicsAt(|_| false));
    assert!(!dropped.get());
    lp.run().unwrap();
    assert!(dropped.get());
}
