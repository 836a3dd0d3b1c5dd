//! The rules by which what filters made is sent, told and delivered.

use std::cell::{Cell, RefCell};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use tidegate::net::{AdoptOptions, Filter, FilterError, Passed, Stage};
use tidegate::prelude::*;

use super::{Done, Lock, locked};
use crate::support::*;

type Inbound = Box<dyn FnMut(&mut [u8], &mut Passed) -> Done>;

/// Not ready before its first bytes, which a closure gets; else it passes on.
struct Waits(Inbound, Rc<Cell<u32>>);

impl Waits {
    fn new(f: impl FnMut(&mut [u8], &mut Passed) -> Done + 'static) -> Waits {
        Waits(Box::new(f), Rc::default())
    }
}

impl Filter for Waits {
    fn start(&mut self, _: &mut Passed) -> Done {
        Ok(())
    }
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        self.1.set(self.1.get() + 1);
        (self.0)(wire, out)
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend_from_slice(user);
        Ok(user.len())
    }
    fn close(&mut self, out: &mut Passed) -> Done {
        out.down.extend(b".");
        Ok(())
    }
}

/// A connection with this filter and its peer; the callbacks are logged.
fn with_filter(lp: &mut Loop, log: &Log, filter: impl Filter) -> (SocketKey, TcpStream) {
    with_handler(lp, logged(log), filter)
}

fn with_handler(lp: &mut Loop, on: On, filter: impl Filter) -> (SocketKey, TcpStream) {
    let (peer, ours) = pair();
    let key = lp.adopt(AdoptOptions::new(ours).allow_half_open(true), on).unwrap();
    lp.socket(key).set_filter(filter);
    (key, peer)
}

fn logged(log: &Log) -> On {
    let logs = [0; 6].map(|_| log.clone());
    let [ready, data, drain, end, finish, close] = logs;
    On::new()
        .ready(move |s| ready.add(format!("ready, {} bytes out", s.bytes_written())))
        .data(move |_, chunk| data.add(String::from_utf8_lossy(chunk)))
        .drain(move |_| drain.add("drain"))
        .end(move |_| end.add("end"))
        .finish(move |_| finish.add("finish"))
        .close(move |_, c| match c.reason.error() {
            Some(e) => close.add(format!("{}, {} unsent", e.stage(), c.unsent)),
            None => close.add(c.to_string()),
        })
}

/// Passes up a byte each time that it is poked.
struct Source;

impl Filter for Source {
    fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Done {
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Ok(user.len())
    }
    fn poke(&mut self, out: &mut Passed) -> Done {
        out.up.push(1);
        Ok(())
    }
}

/// A handler that asks its filter for more with each byte: other handles get their calls.
#[test]
fn a_dispatch_tells_so_much_and_the_rest_comes_in_the_next_turn() {
    let mut lp = guarded();
    let told = Rc::new(Cell::new(0));
    let count = told.clone();
    let on = On::new().data(move |s, chunk| {
        count.set(count.get() + chunk.len());
        assert!(count.get() < 100_000, "the turn does not end");
        s.poke_filter();
    });
    let (key, _peer) = with_handler(&mut lp, on, Source);
    lp.socket(key).poke_filter();
    lp.run_nowait().unwrap();
    let first = told.get();
    assert!(first > 0);
    for _ in 0..3 {
        lp.run_nowait().unwrap();
    }
    assert!(told.get() > first, "it goes on");
    lp.socket(key).destroy();
    lp.run().unwrap();
}

#[test]
fn rule_1_down_is_sent_then_ready_then_up_then_the_end() {
    let mut lp = guarded();
    let log = Log::default();
    let filter = Waits::new(|_, out| {
        out.end();
        out.up.extend(b"up");
        out.ready();
        out.down.extend(b"down");
        Ok(())
    });
    let (key, peer) = with_filter(&mut lp, &log, filter);
    write_all(&peer, b"x");
    turn_until(&mut lp, |_| log.has("end"));
    assert_eq!(log.lines(), ["ready, 4 bytes out", "up", "end"]);
    // The end is the filter's: the connection goes on, and what comes is discarded.
    write_all(&peer, b"late");
    turn_until(&mut lp, |lp| lp.socket(key).bytes_read() == 5);
    assert_eq!(lp.socket(key).write("more"), Flow::Ready);
    lp.socket(key).end();
    lp.run().unwrap();
    assert_eq!(log.lines()[3..], ["finish", "both sides ended"]);
    assert_eq!(read_to_end(&peer), b"downmore.");
}

#[test]
fn rule_2_paused_calls_no_inbound_and_up_comes_whole() {
    let mut lp = guarded();
    let log = Log::default();
    let calls = Rc::new(Cell::new(0));
    let mut filter = Waits::new(|wire, out| {
        out.ready();
        for _ in 0..3 {
            out.up.extend_from_slice(wire);
        }
        Ok(())
    });
    filter.1 = calls.clone();
    let data = log.clone();
    let on = On::new().data(move |s, chunk| {
        data.add(String::from_utf8_lossy(chunk));
        s.pause();
    });
    let (key, peer) = with_handler(&mut lp, on, filter);
    for n in 1..=3 {
        write_all(&peer, b"a");
        turn_until(&mut lp, |_| log.lines().len() == 2 * n - 1);
        write_all(&peer, b"b");
        for _ in 0..5 {
            lp.run_nowait().unwrap();
        }
        assert_eq!(calls.get(), 2 * n as u32 - 1, "it is paused");
        lp.socket(key).resume();
        turn_until(&mut lp, |_| log.lines().len() == 2 * n);
        assert_eq!(calls.get(), 2 * n as u32);
        lp.socket(key).resume();
    }
    assert_eq!(log.lines(), ["aaa", "bbb", "aaa", "bbb", "aaa", "bbb"]);
    lp.socket(key).destroy();
    lp.run().unwrap();
}

/// The end that comes with bytes waits as they do: a paused user gets neither.
#[test]
fn rule_2_an_end_of_a_filter_waits_for_resume() {
    let mut lp = guarded();
    let log = Log::default();
    let filter = Waits::new(|wire, out| {
        out.ready();
        out.up.extend_from_slice(wire);
        out.end();
        Ok(())
    });
    let (data, end) = (log.clone(), log.clone());
    let on = On::new()
        .data(move |s, chunk| {
            data.add(String::from_utf8_lossy(chunk));
            s.pause();
        })
        .end(move |_| end.add("end"));
    let (key, peer) = with_handler(&mut lp, on, filter);
    write_all(&peer, b"last");
    turn_until(&mut lp, |_| log.has("last"));
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(log.lines(), ["last"]);
    lp.socket(key).resume();
    turn_until(&mut lp, |_| log.has("end"));
    lp.socket(key).end();
    lp.run().unwrap();
}

#[test]
fn rule_3_early_bytes_and_early_writes_wait_and_are_counted() {
    let mut lp = guarded();
    let log = Log::default();
    let filter = Waits::new(|wire, out| {
        if wire.contains(&b'!') {
            out.ready();
        }
        out.up.extend_from_slice(wire);
        Ok(())
    });
    let (key, peer) = with_filter(&mut lp, &log, filter);
    assert_eq!(lp.socket(key).write("x"), Flow::Ready);
    assert_eq!(lp.socket(key).write(&[b'y'; 64 * 1024][..]), Flow::Full);
    assert_eq!(lp.socket(key).buffered(), 64 * 1024 + 1);
    write_all(&peer, b"early");
    turn_until(&mut lp, |lp| lp.socket(key).bytes_read() == 5);
    assert_eq!(log.lines(), [""; 0]);
    assert!(lp.net_metrics().held >= 64 * 1024 + 6, "{}", lp.net_metrics().held);
    write_all(&peer, b"!");
    let reader = std::thread::spawn(move || read_to_end(&peer).len());
    turn_until(&mut lp, |_| log.has("drain"));
    let lines = log.lines();
    assert!(lines[0].starts_with("ready"), "{lines:?}");
    assert!(lines[1..].contains(&"early!".to_owned()), "{lines:?}");
    assert_eq!(lines.iter().filter(|l| *l == "drain").count(), 1);
    assert_eq!((lp.socket(key).buffered(), lp.net_metrics().held), (0, 0));
    lp.socket(key).end();
    turn_until(&mut lp, |_| log.has("finish"));
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), 64 * 1024 + 2);
}

#[test]
fn rule_4_an_end_before_ready_waits_for_it_and_for_what_was_written() {
    let mut lp = guarded();
    let log = Log::default();
    let filter = Waits::new(|_, out| {
        out.ready();
        Ok(())
    });
    let (key, peer) = with_filter(&mut lp, &log, filter);
    let _ = lp.socket(key).end_with("tide");
    assert_eq!(lp.socket(key).write("x"), Flow::Closed);
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(log.lines(), [""; 0]);
    write_all(&peer, b"!");
    turn_until(&mut lp, |_| log.has("finish"));
    assert_eq!(read_to_end(&peer), b"tide.");
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines()[1..], ["finish", "end", "both sides ended"]);
}

#[test]
fn rule_5_destroy_sends_nothing() {
    let mut lp = guarded();
    let log = Log::default();
    let filter = Waits::new(|_, out| {
        out.ready();
        Ok(())
    });
    let (key, peer) = with_filter(&mut lp, &log, filter);
    let _ = lp.socket(key).write("tide");
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["destroyed (4 bytes unsent)"]);
    assert_eq!(read_to_end(&peer), b"");
}

/// A filter that panics in one of its methods.
struct Panics(&'static str);

impl Panics {
    fn at(&self, place: &str) {
        if self.0 == place {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
}

impl Filter for Panics {
    fn start(&mut self, out: &mut Passed) -> Done {
        out.ready();
        self.at("start");
        Ok(())
    }
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        out.up.extend_from_slice(wire);
        self.at("inbound");
        Ok(())
    }
    fn inbound_end(&mut self, out: &mut Passed) -> Done {
        out.end();
        self.at("inbound_end");
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend_from_slice(user);
        self.at("outbound");
        Ok(user.len())
    }
    fn close(&mut self, _: &mut Passed) -> Done {
        self.at("close");
        Ok(())
    }
    fn poke(&mut self, _: &mut Passed) -> Done {
        self.at("poke");
        Ok(())
    }
    fn held(&self) -> tidegate::net::Held {
        self.at("held");
        tidegate::net::Held::default()
    }
}

#[test]
fn rule_6_a_panic_anywhere_is_the_end_of_its_connection() {
    for place in ["start", "inbound", "inbound_end", "outbound", "close", "poke", "held"] {
        let mut lp = guarded();
        let log = Log::default();
        let (peer, ours) = pair();
        write_all(&peer, b"x");
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let key = lp.adopt(ours, logged(&log)).unwrap();
        lp.socket(key).set_filter(Panics(place));
        lp.socket(key).poke_filter();
        let (l, mut seen) = (log.clone(), 0);
        while lp.is_alive() {
            let turn = || {
                let _ = lp.socket(key).write_id("y", 1);
                lp.socket(key).end();
                lp.run().unwrap();
            };
            seen += u32::from(catch_unwind(AssertUnwindSafe(turn)).is_err());
        }
        assert_eq!(seen, 1, "{place}");
        assert_eq!(l.lines().last().unwrap(), "a callback panicked", "{place}");
        assert_eq!(lp.net_metrics().held, 0);
    }
}

#[test]
fn rule_7_an_error_inside_of_write_closes_later() {
    struct No;
    impl Filter for No {
        fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Done {
            Ok(())
        }
        fn outbound(&mut self, _: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            out.down.extend(b"alert");
            Err("no".into())
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let (key, peer) = with_filter(&mut lp, &log, No);
    assert_eq!(lp.socket(key).write("x"), Flow::Closed);
    assert_eq!(log.lines(), [""; 0], "law 1");
    lp.run().unwrap();
    assert_eq!(log.lines(), [format!("{}, 0 unsent", Stage::Filter)]);
    assert_eq!(read_to_end(&peer), b"alert");
}

/// The chunk that a handler gets is not changed by what it writes through the same filter.
#[test]
fn rule_8_nothing_nests() {
    let mut lp = guarded();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let s2 = seen.clone();
    let on = On::new().data(move |s, chunk| {
        let before = chunk.to_vec();
        for byte in chunk {
            let _ = s.write(&[*byte; 300][..]);
        }
        assert_eq!(chunk, before);
        s2.borrow_mut().extend(before);
    });
    let (key, peer) = with_handler(&mut lp, on, Lock::server(7));
    write_all(&peer, &[&b"HELLO"[..], &locked(7, b"tide")].concat());
    turn_until(&mut lp, |_| seen.borrow().len() == 4);
    lp.socket(key).end();
    write_all(&peer, &[0]);
    lp.run().unwrap();
    let mut expected = b"hello".to_vec();
    for byte in b"tide" {
        expected.extend(locked(7, &[*byte; 300]));
    }
    expected.push(0);
    assert_eq!(read_to_end(&peer), expected);
}

/// The FIN without the protocol's own end.
#[test]
fn a_fin_that_a_filter_refuses_is_a_truncation() {
    let mut lp = guarded();
    let log = Log::default();
    let (close, data) = (log.clone(), log.clone());
    let on = On::new()
        .data(move |_, chunk| data.add(String::from_utf8_lossy(chunk)))
        .end(|_| panic!("no ordinary end"))
        .close(move |_, c| {
            let e = c.reason.error().unwrap();
            close.add(format!("{:?}: {e}", e.kind()));
        });
    let (_, peer) = with_handler(&mut lp, on, Lock::server(7));
    write_all(&peer, &[&b"HELLO"[..], &locked(7, b"tide")].concat());
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[0], "tide");
    assert!(lines[1].starts_with("UnexpectedEof: filter with"), "{lines:?}");
    assert!(lines[1].contains("truncated"), "{lines:?}");
}

/// A peer that ends before a filter is ready will not make it ready.
#[test]
fn a_fin_before_ready_is_an_error() {
    let mut lp = guarded();
    let log = Log::default();
    let (_, peer) = with_filter(&mut lp, &log, Waits::new(|_, _| Ok(())));
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["filter, 0 unsent"]);
}
