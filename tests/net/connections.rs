//! One connection from both sides: the order of events, back-pressure, and
//! every kind of bad input.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;

use crate::support::*;
use bytes::Bytes;
use tidegate::KeyError;
use tidegate::net::{AddressFault, ListenError, NetEvent, Scope, SocketEvent, Stage};
use tidegate::prelude::*;

/// Logs every callback.
fn logged(name: &'static str, log: &Log) -> On {
    let add = |what: &'static str| {
        let log = log.clone();
        move || log.add(format!("{name} {what}"))
    };
    let (connect, end, finish, drain) = (add("connect"), add("end"), add("finish"), add("drain"));
    let (data, close) = (log.clone(), log.clone());
    On::new()
        .connect(move |_| connect())
        .data(move |_, chunk| data.add(format!("{name} data {}", String::from_utf8_lossy(chunk))))
        .drain(move |_| drain())
        .end(move |_| end())
        .finish(move |_| finish())
        .close(move |_, c| close.add(format!("{name} close: {c}")))
}

fn server(lp: &mut Loop, handler: impl Fn() -> On + 'static) -> std::net::SocketAddr {
    let key = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let server = conn.server();
            conn.close_server(server).unwrap();
            conn.accept(handler());
        })
        .unwrap();
    lp.local_addr(key).unwrap()
}

/// node S7: data, end, the automatic end, finish, close. The client ends first.
#[test]
fn node_s7_a_clean_end_in_order() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = server(&mut lp, move || logged("server", &l));
    let key = lp.connect(at, logged("client", &log));
    assert_eq!(lp.socket(key).write(b"hello"), Flow::Ready);
    lp.socket(key).end();
    assert_eq!(log.lines().len(), 0, "nothing is called from inside a call");
    lp.run().unwrap();
    let of = |name: &str| -> Vec<String> {
        log.lines().iter().filter(|l| l.starts_with(name)).cloned().collect()
    };
    assert_eq!(
        of("server"),
        ["server data hello", "server end", "server finish", "server close: both sides ended"]
    );
    assert_eq!(
        of("client"),
        ["client connect", "client finish", "client end", "client close: both sides ended"]
    );
    assert_eq!(handles(&lp), 0);
}

/// node S11, S12: inside `on_end` a write still goes out, and before our FIN.
#[test]
fn node_s12_what_is_written_at_the_end_goes_out_before_the_fin() {
    let mut lp = guarded();
    let big = 8 << 20;
    let at = server(&mut lp, move || {
        On::new().end(move |s| {
            let _ = s.write_bytes(Bytes::from(vec![7u8; big]));
            let _ = s.write(b"last");
        })
    });
    let c = client(at);
    c.shutdown(std::net::Shutdown::Write).unwrap();
    let reader = std::thread::spawn(move || read_to_end(&c));
    lp.run().unwrap();
    let got = reader.join().unwrap();
    assert_eq!(got.len(), big + 4);
    assert!(got.ends_with(b"last"));
}

#[test]
fn half_open_stays_open_until_we_end() {
    let mut lp = guarded();
    let key = Rc::new(Cell::new(None));
    let k = key.clone();
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
    let srv = lp
        .listen(options, move |conn| {
            let k = k.clone();
            conn.accept(On::new().end(move |s| k.set(Some(s.key()))));
        })
        .unwrap();
    let c = client(lp.local_addr(srv).unwrap());
    c.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| key.get().is_some());
    for _ in 0..3 {
        lp.run_nowait().unwrap();
    }
    let key = key.get().unwrap();
    assert_eq!(lp.socket(key).write(b"still here"), Flow::Ready);
    lp.socket(key).end();
    turn_until(&mut lp, |lp| lp.socket(key).state().is_err());
    assert_eq!(read_to_end(&c), b"still here");
}

/// A half-open connection that the peer resets is over, though nobody reads.
#[test]
fn a_reset_of_a_half_open_connection_is_noticed() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
    let srv = lp.listen(options, move |conn| {
        conn.accept(logged("server", &l));
    });
    let c = client(lp.local_addr(srv.unwrap()).unwrap());
    c.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.has("server end"));
    reset(c);
    turn_until(&mut lp, |_| log.lines().len() == 2);
    // Linux calls a reset after our reading ended a broken pipe.
    let close = &log.lines()[1];
    assert!(close.contains("ECONNRESET") || close.contains("EPIPE"), "{close}");
}

/// Node W3, W6: the queue fills, `Full`; the peer reads, one `Drain`; all bytes
/// arrive in order.
#[test]
fn full_once_drain_once_and_every_byte_in_order() {
    let mut lp = guarded();
    let drains = Rc::new(Cell::new(0));
    let d = drains.clone();
    let written = Rc::new(Cell::new(0usize));
    let w = written.clone();
    let at = server(&mut lp, move || {
        let (d, w) = (d.clone(), w.clone());
        On::new()
            .data(move |s, _| {
                let mut next = 0u8;
                loop {
                    let chunk: Vec<u8> = (0..10_007)
                        .map(|_| {
                            next = next.wrapping_add(1);
                            next
                        })
                        .collect();
                    w.set(w.get() + chunk.len());
                    if s.write(&chunk) == Flow::Full {
                        assert!(s.buffered() >= 64 * 1024);
                        break;
                    }
                }
            })
            .drain(move |s| {
                assert_eq!(s.buffered(), 0);
                d.set(d.get() + 1);
                s.end();
            })
    });
    let c = client(at);
    write_all(&c, b"go");
    // The peer reads only once the queue is full.
    turn_until(&mut lp, |_| written.get() > 0);
    let reader = std::thread::spawn(move || read_to_end(&c));
    lp.run().unwrap();
    let got = reader.join().unwrap();
    assert_eq!((drains.get(), got.len()), (1, written.get()));
    assert!(got.iter().enumerate().all(|(i, b)| *b == (i + 1) as u8));
}

/// libuv 50, node R5: nothing is delivered after `pause`, and nothing is lost.
#[test]
fn pause_is_immediate_and_costs_no_byte() {
    let mut lp = guarded();
    let got = Rc::new(Cell::new(0usize));
    let paused = Rc::new(Cell::new(false));
    let key = Rc::new(Cell::new(None));
    let (g, p, k) = (got.clone(), paused.clone(), key.clone());
    let at = server(&mut lp, move || {
        let (g, p, k) = (g.clone(), p.clone(), k.clone());
        On::new().data(move |s, chunk| {
            assert!(!p.get(), "data while paused");
            g.set(g.get() + chunk.len());
            if k.get().is_none() {
                k.set(Some(s.key()));
                p.set(true);
                s.pause();
            }
        })
    });
    let c = client(at);
    let total = 3 << 20;
    let writer = std::thread::spawn(move || {
        write_all(&c, &vec![1u8; total]);
        c
    });
    turn_until(&mut lp, |_| paused.get());
    for _ in 0..10 {
        lp.run_nowait().unwrap();
    }
    paused.set(false);
    lp.socket(key.get().unwrap()).resume();
    turn_until(&mut lp, |_| got.get() == total);
    drop(writer.join().unwrap());
    lp.run().unwrap();
}

/// A read budget bounds one turn; the rest is carried over without blocking.
#[test]
fn read_budget_is_carried_over() {
    let mut lp = guard(Loop::builder().read_budget(64 * 1024).build().unwrap());
    let per_turn = Rc::new(RefCell::new(Vec::<(u64, usize)>::new()));
    let p = per_turn.clone();
    let at = server(&mut lp, move || {
        let p = p.clone();
        On::new().data(move |s, chunk| {
            let mut p = p.borrow_mut();
            match p.last_mut() {
                Some((turn, n)) if *turn == s.turn() => *n += chunk.len(),
                _ => p.push((s.turn(), chunk.len())),
            }
        })
    });
    let c = client(at);
    // The kernel holds all of it before the first turn.
    write_all(&c, &[1u8; 200_000]);
    drop(c);
    lp.run().unwrap();
    let per_turn = per_turn.borrow();
    assert_eq!(per_turn.iter().map(|(_, n)| n).sum::<usize>(), 200_000);
    assert!(per_turn.iter().all(|(_, n)| *n <= 64 * 1024), "{per_turn:?}");
    assert!(per_turn.len() >= 4);
}

#[test]
fn many_small_writes_behind_a_stall_leave_together_and_in_order() {
    let mut lp = guarded();
    let at = server(&mut lp, || {
        On::new().data(|s, _| {
            let _ = s.write_bytes(Bytes::from(vec![0u8; 4 << 20]));
            for n in 0..10_000u32 {
                let _ = s.write(&n.to_be_bytes());
            }
            s.end();
        })
    });
    let c = client(at);
    write_all(&c, b"go");
    let reader = std::thread::spawn(move || read_to_end(&c));
    lp.run().unwrap();
    let got = reader.join().unwrap();
    let small = &got[4 << 20..];
    assert_eq!(small.len(), 40_000);
    for (n, four) in small.chunks(4).enumerate() {
        assert_eq!(four, (n as u32).to_be_bytes());
    }
}

#[test]
fn cork_holds_writes_back_until_uncork() {
    let mut lp = guarded();
    let at = server(&mut lp, || {
        On::new().data(|s, _| {
            s.cork();
            let _ = s.write(b"a");
            let _ = s.write(b"b");
            assert_eq!(s.buffered(), 2);
            s.uncork();
            assert_eq!(s.buffered(), 0);
            s.uncork();
            s.end();
        })
    });
    let c = client(at);
    write_all(&c, b"go");
    let reader = std::thread::spawn(move || read_to_end(&c));
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), b"ab");
}

// ---- bad input ----

#[test]
fn address_in_use_is_said_by_listen() {
    let mut lp = guarded();
    let first = lp.listen("127.0.0.1:0", |c| c.reject()).unwrap();
    let at = lp.local_addr(first).unwrap();
    let Err(ListenError::Failed(e)) = lp.listen(at, |c| c.reject()) else { panic!() };
    assert_eq!((e.stage(), e.code(), e.local()), (Stage::Bind, Some("EADDRINUSE"), Some(at)));
    assert_eq!(e.to_string(), format!("bind on {at} failed: address already in use (EADDRINUSE)"));
    assert_eq!(handles(&lp), 1);
}

#[test]
fn address_not_available() {
    let mut lp = guarded();
    // TEST-NET-1 is nobody's address.
    let Err(ListenError::Failed(e)) = lp.listen("192.0.2.1:0", |c| c.reject()) else { panic!() };
    assert_eq!((e.stage(), e.kind()), (Stage::Bind, ErrorKind::AddrNotAvailable));
}

#[test]
fn bad_port_in_listen_and_connect() {
    let mut lp = guarded();
    let Err(ListenError::Address(e)) = lp.listen("127.0.0.1:70000", |c| c.reject()) else {
        panic!()
    };
    assert_eq!(e.fault, AddressFault::BadPort);
    let log = Log::default();
    for text in ["127.0.0.1:70000", "127.0.0.1", "::1:80"] {
        lp.connect(text, logged(text, &log));
    }
    assert_eq!(log.lines().len(), 0);
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 3, "exactly one event each");
    assert!(log.lines()[0].contains("lookup failed"), "{:?}", log.lines());
    assert!(log.lines()[0].contains("the port must be 0 to 65535"));
}

/// libuv 37: refused once, by `on_close`, with what was queued counted.
#[test]
fn libuv_37_connect_refused() {
    let mut lp = guarded();
    let at = closed_port();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let s = seen.clone();
    let key = lp.connect(
        at,
        On::new()
            .connect(|_| panic!("connected to nobody"))
            .end(|_| panic!("no end without a connection"))
            .finish(|_| panic!("no finish without a connection"))
            .close(move |_, c| s.borrow_mut().push(c)),
    );
    assert_eq!(lp.socket(key).write(b"lost"), Flow::Ready);
    lp.socket(key).end();
    lp.run().unwrap();
    let seen = seen.borrow();
    assert_eq!(seen.len(), 1);
    let e = seen[0].reason.error().unwrap();
    assert_eq!((e.stage(), e.code(), e.remote()), (Stage::Connect, Some("ECONNREFUSED"), Some(at)));
    assert!(e.elapsed().is_some());
    assert_eq!(seen[0].unsent, 4);
    assert!(seen[0].to_string().starts_with(&format!("connect to {at} failed after ")));
    assert!(seen[0].to_string().ends_with("(4 bytes unsent)"), "{}", seen[0]);
}

/// node S9: the peer's RST is a read error, and no end.
#[test]
fn node_s9_reset_in_the_middle() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = server(&mut lp, move || logged("server", &l));
    let c = client(at);
    write_all(&c, b"half a req");
    turn_until(&mut lp, |_| !log.lines().is_empty());
    reset(c);
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
    assert!(log.lines()[1].starts_with("server close: read with 127.0.0.1:"));
    assert!(log.lines()[1].contains("ECONNRESET"));
}

/// node S10: writing into a reset connection ends it with the write's error,
/// also while it is paused.
#[test]
fn node_s10_writing_to_a_peer_that_is_gone() {
    for pause in [false, true] {
        let mut lp = guarded();
        let log = Log::default();
        let key = Rc::new(Cell::new(None));
        let (l, k) = (log.clone(), key.clone());
        let srv = lp
            .listen("127.0.0.1:0", move |conn| {
                let mut s = conn.accept(logged("server", &l));
                if pause {
                    s.pause();
                }
                k.set(Some(s.key()));
            })
            .unwrap();
        let c = client(lp.local_addr(srv).unwrap());
        turn_until(&mut lp, |_| key.get().is_some());
        reset(c);
        let key = key.get().unwrap();
        // The reset is in the kernel; no turn ran that could read it.
        let mut flow = Flow::Ready;
        for _ in 0..3 {
            flow = lp.socket(key).write(b"anyone?");
        }
        assert_eq!(flow, Flow::Closed, "pause: {pause}");
        turn_until(&mut lp, |_| !log.lines().is_empty());
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        assert!(log.lines()[0].contains("write with"), "{:?}", log.lines());
    }
}

/// An answer that came before the reset is delivered, though our write failed.
#[test]
fn what_came_before_the_reset_is_read_after_a_failed_write() {
    let mut lp = guarded();
    let log = Log::default();
    let key = Rc::new(Cell::new(None));
    let (l, k) = (log.clone(), key.clone());
    let at = {
        let srv = lp.listen("127.0.0.1:0", move |conn| {
            let mut s = conn.accept(logged("server", &l));
            s.pause();
            k.set(Some(s.key()));
        });
        lp.local_addr(srv.unwrap()).unwrap()
    };
    let c = client(at);
    turn_until(&mut lp, |_| key.get().is_some());
    let key = key.get().unwrap();
    write_all(&c, b"sorry, full");
    // Unread bytes of ours make the peer's close a RST.
    assert_eq!(lp.socket(key).write(b"unread"), Flow::Ready);
    drop(c);
    lp.socket(key).resume();
    while lp.socket(key).write(b"more") != Flow::Closed {}
    turn_until(&mut lp, |_| log.lines().len() == 2);
    assert_eq!(log.lines()[0], "server data sorry, full");
    assert!(log.lines()[1].contains("write with"), "{:?}", log.lines());
}

/// node W13, W14, with tidegate's choice: `Closed`, and nothing is destroyed.
#[test]
fn node_w13_write_after_end_and_w14_after_close() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = server(&mut lp, move || logged("server", &l));
    let key = lp.connect(at, logged("client", &log));
    let mut s = lp.socket(key);
    assert_eq!(s.write(b"all"), Flow::Ready);
    s.end();
    assert_eq!(s.write(b"too late"), Flow::Closed);
    s.end();
    s.end();
    lp.run().unwrap();
    assert!(log.has("server data all") && log.has("client close: both sides ended"));
    let mut s = lp.socket(key);
    assert_eq!(s.write(b"much too late"), Flow::Closed);
    s.pause();
    s.resume();
    s.cork();
    s.uncork();
    s.end();
    s.destroy();
    s.set_handler(On::new());
    assert_eq!(s.state(), Err(KeyError::Closed));
    assert_eq!((s.peer_addr(), s.buffered()), (None, 0));
    assert_eq!(s.local_addr().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(handles(&lp), 0);
}

#[test]
fn keys_of_another_loop_are_foreign() {
    let (mut a, mut b) = (guarded(), guarded());
    let srv = a.listen("127.0.0.1:0", |c| c.reject()).unwrap();
    let at = a.local_addr(srv).unwrap();
    let key = a.connect(at, On::new());
    // The same index is in use over there.
    let _other = b.listen("127.0.0.1:0", |c| c.reject()).unwrap();
    let _more = b.connect(at, On::new());
    assert_eq!(b.endpoint(srv), Err(KeyError::Foreign));
    assert_eq!(b.close_server(srv), Err(KeyError::Foreign));
    assert_eq!(b.server_stats(srv), Err(KeyError::Foreign));
    assert_eq!(b.socket(key).write(b"x"), Flow::Closed);
    b.socket(key).destroy();
    assert_eq!(b.socket(key).state(), Err(KeyError::Foreign));
    assert_eq!(a.socket(key).state(), Ok(()));
}

#[test]
fn a_producer_that_ignores_full_meets_the_write_limit() {
    let mut lp = guarded();
    let closes = Rc::new(RefCell::new(Vec::new()));
    let c2 = closes.clone();
    let options = ListenOptions::new("127.0.0.1:0").write_limit(1 << 20);
    let srv = lp
        .listen(options, move |conn| {
            let closes = c2.clone();
            let mut s = conn.accept(On::new().close(move |_, c| closes.borrow_mut().push(c)));
            let chunk = Bytes::from(vec![0u8; 256 * 1024]);
            while s.write_bytes(chunk.clone()) != Flow::Closed {}
        })
        .unwrap();
    let c = client(lp.local_addr(srv).unwrap());
    turn_until(&mut lp, |_| !closes.borrow().is_empty());
    let closes = closes.borrow();
    let Reason::WriteLimit { scope, queued, limit } = closes[0].reason else {
        panic!("{:?}", closes[0])
    };
    assert_eq!((scope, limit), (Scope::Socket, 1 << 20));
    assert!(queued > limit && queued <= limit + 256 * 1024, "by one write at most: {queued}");
    assert!(closes[0].unsent <= queued);
    drop(c);
}

#[test]
fn all_queues_together_meet_the_buffered_limit() {
    let mut lp = guard(Loop::builder().buffered_limit(1 << 20).build().unwrap());
    let log = Log::default();
    let l = log.clone();
    let srv = lp
        .listen("127.0.0.1:0", move |conn| {
            let l = l.clone();
            let mut s = conn.accept(On::new().close(move |_, c| l.add(c.to_string())));
            let chunk = Bytes::from(vec![0u8; 8 << 20]);
            let _ = s.write_bytes(chunk);
        })
        .unwrap();
    let at = lp.local_addr(srv).unwrap();
    let first = client(at);
    turn_until(&mut lp, |lp| lp.server_stats(srv).unwrap().accepted == 1);
    let second = client(at);
    turn_until(&mut lp, |_| log.lines().len() == 1);
    assert!(log.lines()[0].contains("buffered_limit is 1048576"), "{:?}", log.lines());
    assert!(was_reset(&first), "bytes are missing, and the peer is told so");
    assert_eq!(lp.net_metrics().sockets, 1, "the second one may go on");
    drop(second);
}

/// The observer is told what the handlers are, with phase and turn.
#[test]
fn the_observer_sees_both_sides() {
    let mut lp = guarded();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let at = server(&mut lp, || On::new().data(|s, c| assert_eq!(s.write(c), Flow::Ready)));
    let key = lp.connect(at, On::new().data(|s, _| s.end()));
    let _ = lp.socket(key).write(b"x");
    lp.run().unwrap();
    let names: Vec<String> = trace
        .net()
        .iter()
        .map(|(_, e)| match e {
            NetEvent::Server(_, e) => e.name().to_owned(),
            NetEvent::Socket(_, e) => e.name().to_owned(),
            _ => String::new(),
        })
        .collect();
    for wanted in [
        "listening",
        "connect start",
        "accept",
        "connect",
        "first read",
        "first write",
        "end",
        "finish",
        "close",
    ] {
        assert!(names.iter().any(|n| n == wanted), "{wanted} in {names:?}");
    }
    let closed = |e: &NetEvent| matches!(e, NetEvent::Socket(_, SocketEvent::Closed { .. }));
    let closed = trace.net().iter().filter(|(_, e)| closed(e)).count();
    assert_eq!(closed, 2);
}
