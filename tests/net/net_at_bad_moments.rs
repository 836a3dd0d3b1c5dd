//! Deadlines, connects and servers at bad moments: late loops, answers that come too late, states
//! that meet, and what the texts promise.

use crate::support::*;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tidegate::net::*;
use tidegate::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// What a silent connection is told: its idle timeout, which it ignores, and
/// its end by the other deadline.
fn told_after_idle(set: impl FnOnce(&mut SocketCx<'_>)) -> Vec<String> {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let log = Log::default();
    let (a, b) = (log.clone(), log.clone());
    let on = On::new().timeout(move |_| a.add("timeout")).close(move |_, c| b.add(c.to_string()));
    let key = lp.adopt(ours, on).unwrap();
    lp.socket(key).set_idle_timeout(10 * MS);
    set(&mut lp.socket(key));
    lp.run().unwrap();
    log.lines()
}

#[test]
fn lifetime_after_idle_was_told() {
    let lines = told_after_idle(|s| s.set_lifetime(50 * MS));
    assert_eq!(lines.len(), 2, "lifetime 50 ms: {lines:?}");
}

#[test]
fn linger_after_idle_was_told() {
    let lines = told_after_idle(|s| {
        s.set_linger_timeout(50 * MS);
        s.end();
    });
    assert_eq!(lines.len(), 2, "linger 50 ms: {lines:?}");
}

#[test]
fn grace_after_idle_was_told() {
    let mut lp = guarded();
    let told = Rc::new(Cell::new(0));
    let t = told.clone();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").idle_timeout(10 * MS), move |conn| {
            let t = t.clone();
            conn.accept(On::new().timeout(move |_| t.set(t.get() + 1)));
        })
        .unwrap();
    let _c = client(lp.local_addr(server).unwrap());
    turn_until(&mut lp, |_| told.get() == 1);
    lp.shutdown(server, 50 * MS).unwrap();
    turn_until(&mut lp, |lp| lp.server_stats(server).is_err());
}

#[test]
fn held_up_in_the_ready_pass_bytes_wait() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let (mut peer2, ours2) = pair();
    let log = Log::default();
    let (a, b, c) = (log.clone(), log.clone(), log.clone());
    let key = lp
        .adopt(
            ours,
            On::new()
                .data(move |_, _| c.add("data"))
                .timeout(move |_| a.add("timeout"))
                .close(move |_, c| b.add(format!("{c}"))),
        )
        .unwrap();
    // Another connection's callback holds the loop up; meanwhile bytes come for the first.
    let mut held = Some(peer.try_clone().unwrap());
    lp.adopt(
        ours2,
        On::new().data(move |_, _| {
            std::thread::sleep(30 * MS);
            if let Some(mut p) = held.take() {
                p.write_all(b"just in time").unwrap();
            }
            std::thread::sleep(30 * MS);
        }),
    )
    .unwrap();
    run_for(&mut lp, 5 * MS);
    lp.socket(key).set_idle_timeout(50 * MS);
    peer2.write_all(b"x").unwrap();
    turn_until(&mut lp, |_| !log.lines().is_empty());
    assert_eq!(log.lines(), ["data"]);
}

#[test]
fn zero_stops_it_also_when_it_is_due() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let log = Log::default();
    let a = log.clone();
    let key = lp.adopt(ours, On::new().timeout(move |_| a.add("timeout"))).unwrap();
    lp.socket(key).pause();
    lp.socket(key).set_idle_timeout(5 * MS);
    let l = log.clone();
    // Due in the same batch of timers, after it.
    lp.as_cx().timer(6 * MS, move |cx, _| {
        cx.socket(key).set_idle_timeout(Duration::ZERO);
        l.add("stopped")
    });
    lp.as_cx().timer(MS, |_, _| std::thread::sleep(20 * MS));
    run_for(&mut lp, 60 * MS);
    assert_eq!(log.lines(), ["stopped"], "nothing comes after it was stopped");
}

#[test]
fn bytes_written_between_due_and_told() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let log = Log::default();
    let a = log.clone();
    let key = lp.adopt(ours, On::new().timeout(move |_| a.add("timeout"))).unwrap();
    lp.socket(key).pause();
    lp.socket(key).set_idle_timeout(50 * MS);
    let l = log.clone();
    lp.as_cx().timer(51 * MS, move |cx, _| {
        let _ = cx.socket(key).write(b"x");
        l.add("wrote")
    });
    lp.as_cx().timer(40 * MS, |_, _| std::thread::sleep(20 * MS));
    run_for(&mut lp, 80 * MS);
    assert_eq!(log.lines(), ["wrote"]);
}

#[test]
fn close_all_takes_the_deadlines_timer() {
    let mut lp = Loop::new().unwrap();
    let (_p, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    lp.socket(key).set_idle_timeout(20 * MS);
    lp.as_cx().close_all();
    lp.run().unwrap();
    let (_p2, ours) = pair();
    let log = Log::default();
    let l = log.clone();
    let key = lp.adopt(ours, On::new().close(move |_, c| l.add(format!("{c}")))).unwrap();
    lp.socket(key).set_idle_timeout(40 * MS);
    guard(lp).run().unwrap();
    assert_eq!(log.lines().len(), 1, "an idle timeout of 40 ms");
}

#[test]
fn pause_accept_at_max_connections() {
    let mut lp = guarded();
    let keys = Rc::new(RefCell::new(Vec::new()));
    let k = keys.clone();
    let server = lp
        .listen(
            ListenOptions::new("127.0.0.1:0").max_connections(1, AtLimit::Hold),
            move |mut conn| {
                let server = conn.server();
                conn.pause_accept(server).unwrap();
                k.borrow_mut().push(conn.accept(On::new()).key());
            },
        )
        .unwrap();
    let at = lp.local_addr(server).unwrap();
    let _c: Vec<_> = (0..3).map(|_| client(at)).collect();
    turn_until(&mut lp, |_| keys.borrow().len() == 1);
    run_for(&mut lp, 20 * MS);
    let first = keys.borrow()[0];
    lp.socket(first).destroy();
    run_for(&mut lp, 50 * MS);
    assert_eq!(keys.borrow().len(), 1, "accepting is paused");
}

#[test]
fn error_names_the_address_it_is_of() {
    let mut lp = guarded();
    let port = closed_port().port();
    let mut list = BlockList::new();
    list.add("127.0.0.2".parse().unwrap());
    let seen = Rc::new(RefCell::new(None));
    let s = seen.clone();
    let o = ConnectOptions::new(("tide.example", port)).block_list(list).lookup(|cx, _, a| {
        a.give(cx, Ok(vec!["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()]))
    });
    lp.connect(o, On::new().close(move |_, c| *s.borrow_mut() = Some(c)));
    lp.run().unwrap();
    let c = seen.borrow_mut().take().unwrap();
    let e = c.reason.error().unwrap();
    let of = e.attempts().iter().find(|a| a.error.kind() == e.kind()).unwrap().remote;
    assert_eq!((e.kind(), e.remote(), e.local()), (e.kind(), Some(of), None), "{c}");
}

#[test]
fn lifetime_is_never_early() {
    let mut lp = guarded();
    let lived = Rc::new(RefCell::new(Vec::new()));
    let l = lived.clone();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").lifetime(50 * MS), move |conn| {
            let l = l.clone();
            let start = Instant::now();
            conn.accept(On::new().close(move |_, _| l.borrow_mut().push(start.elapsed())));
            std::thread::sleep(30 * MS);
        })
        .unwrap();
    let at = lp.local_addr(server).unwrap();
    let _c: Vec<_> = (0..4).map(|_| client(at)).collect();
    turn_until(&mut lp, |_| lived.borrow().len() == 4);
    let least = *lived.borrow().iter().min().unwrap();
    assert!(least >= 50 * MS, "lived {lived:?}");
}

thread_local! { static DROPPED: Cell<bool> = const { Cell::new(false) }; }
#[derive(Debug)]
struct Mine;
impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mine")
    }
}
impl std::error::Error for Mine {}
impl Drop for Mine {
    fn drop(&mut self) {
        DROPPED.set(true)
    }
}

#[test]
fn give_drops_nothing_in_the_call() {
    let mut lp = guarded();
    let inside = Rc::new(Cell::new(false));
    let i = inside.clone();
    lp.connect(
        ConnectOptions::new(("tide.example", 1)).lookup(move |cx, _, a| {
            a.give(cx, Err(std::io::Error::other(Mine)));
            i.set(DROPPED.get());
        }),
        On::new().close(|_, _| {}),
    );
    lp.run().unwrap();
    assert!(!inside.get(), "the error was dropped inside `give`");
}

#[test]
fn give_keeps_the_systems_code() {
    let mut lp = guarded();
    let code = Rc::new(Cell::new(None));
    let c2 = code.clone();
    lp.connect(
        ConnectOptions::new(("tide.example", 1)).lookup(|cx, _, a| {
            a.give(cx, Err(std::io::Error::from_raw_os_error(libc::ENETUNREACH)));
        }),
        On::new().close(move |_, c| {
            println!("{c}");
            c2.set(c.reason.error().unwrap().code())
        }),
    );
    lp.run().unwrap();
    assert_eq!(code.get(), Some("ENETUNREACH"));
}

#[test]
fn adopted_listener_has_stream_options() {
    let mut lp = guarded();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    let seen = Rc::new(Cell::new(None));
    let s = seen.clone();
    lp.listen(
        ListenOptions::from(l).no_delay(true).keep_alive(KeepAlive::default()),
        move |conn| {
            let mut c = conn.accept(On::new());
            s.set(Some(c.socket_option(|o| Ok((o.tcp_nodelay()?, o.keepalive()?))).unwrap()));
        },
    )
    .unwrap();
    let _c = client(at);
    turn_until(&mut lp, |_| seen.get().is_some());
    assert_eq!(seen.get(), Some((true, true)));
}

#[test]
fn cloned_options_cannot_be_used_twice() {
    let mut lp = guarded();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let o = ListenOptions::from(l);
    lp.listen(o.clone(), |c| c.reject()).unwrap();
    assert!(lp.listen(o, |c| c.reject()).is_err(), "docs: cloned options cannot be used twice");
}

#[test]
fn close_server_refuses_what_waits_adopted() {
    let mut lp = guarded();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    let o = ListenOptions::from(l);
    let s = lp.listen(o.clone(), |c| c.reject()).unwrap();
    lp.close_server(s).unwrap();
    lp.run().unwrap();
    assert!(TcpStream::connect(at).is_err(), "docs: it belongs to the server from then on");
}

#[test]
fn a_name_is_asked_anew_after_a_cancelled_lookup() {
    let mut lp = Loop::builder().work_threads(1).build().unwrap();
    // The one thread for lookups is busy.
    lp.as_cx().work(|| std::thread::sleep(50 * MS), |_, _| {}).ok().unwrap();
    let log = Log::default();
    let (a, b) = (log.clone(), log.clone());
    let port = closed_port().port();
    lp.connect(
        ("localhost", port),
        On::new().close(move |cx, c| {
            a.add(format!("{c}"));
            let b = b.clone();
            cx.connect(("localhost", port), On::new().close(move |_, c| b.add(format!("{c}"))));
        }),
    );
    lp.as_cx().close_all();
    let b = log.clone();
    lp.connect(("localhost", port), On::new().close(move |_, c| b.add(format!("{c}"))));
    lp.run().unwrap();
    let lines = log.lines();
    assert!(!lines.iter().any(|l| l.contains("cancelled")), "{lines:?}");
}

#[test]
fn set_tos_of_an_ipv4_client_of_a_server_for_both() {
    let mut lp = guarded();
    let seen = Rc::new(Cell::new(None));
    let s = seen.clone();
    let server = lp
        .listen(":0", move |conn| {
            let mut c = conn.accept(On::new());
            println!("{:?}", c.peer_addr());
            c.set_tos(0x10).unwrap();
            s.set(Some(c.socket_option(|o| o.tos_v4()).unwrap()));
        })
        .unwrap();
    let port = lp.local_addr(server).unwrap().port();
    let _c = client(([127, 0, 0, 1], port).into());
    turn_until(&mut lp, |_| seen.get().is_some());
    assert_eq!(seen.get(), Some(0x10), "IP_TOS of an IPv4 connection");
}

#[test]
fn detached_is_not_rejected() {
    let mut lp = guarded();
    let got = Rc::new(RefCell::new(None));
    let g = got.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| *g.borrow_mut() = Some(conn.detach().unwrap()))
        .unwrap();
    let _c = client(lp.local_addr(server).unwrap());
    turn_until(&mut lp, |_| got.borrow().is_some());
    let stats = lp.server_stats(server).unwrap();
    assert_eq!((stats.accepted, stats.rejected), (1, 0));
}

#[test]
fn set_lifetime_does_not_outlive_the_grace() {
    struct H;
    impl Handler for H {
        fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
            s.set_lifetime(Duration::from_secs(3));
        }
    }
    let mut lp = guarded();
    let n = Rc::new(Cell::new(0));
    let m = n.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            m.set(1);
            conn.accept(H);
        })
        .unwrap();
    let _c = client(lp.local_addr(server).unwrap());
    turn_until(&mut lp, |_| n.get() == 1);
    lp.shutdown(server, 30 * MS).unwrap();
    lp.run().unwrap();
}

#[test]
fn shutdown_after_close_server() {
    let mut lp = guarded();
    let n = Rc::new(Cell::new(0));
    let m = n.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            m.set(1);
            conn.accept(On::new());
        })
        .unwrap();
    let _c = client(lp.local_addr(server).unwrap());
    turn_until(&mut lp, |_| n.get() == 1);
    lp.close_server(server).unwrap();
    assert_eq!(lp.shutdown(server, 30 * MS), Ok(()), "the connections are to end");
}

#[test]
fn a_connect_timeout_tells_what_was_tried() {
    let Some((l, _fill)) = silent() else { return println!("skipped") };
    let port = l.local_addr().unwrap().port();
    let mut lp = guarded();
    let n = Rc::new(RefCell::new((99, String::new())));
    let m = n.clone();
    let o = ConnectOptions::new(("tide.example", port))
        .attempt_delay(10 * MS)
        .connect_timeout(60 * MS)
        .lookup(|cx, _, a| {
            a.give(
                cx,
                Ok(["127.0.0.1", "127.0.0.2", "127.0.0.3"]
                    .iter()
                    .map(|a| a.parse().unwrap())
                    .collect()),
            )
        });
    lp.connect(
        o,
        On::new().close(move |_, c| {
            *m.borrow_mut() = (c.reason.error().unwrap().attempts().len(), c.to_string())
        }),
    );
    lp.run().unwrap();
    assert_eq!(n.borrow().0, 3, "{}", n.borrow().1);
}

#[test]
fn made_in_time_but_the_loop_was_late() {
    let mut lp = guarded();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    let (mut p2, ours2) = pair();
    let log = Log::default();
    let (a, b) = (log.clone(), log.clone());
    // In the ready pass the user connects, and then works for 60 ms; the connection is there at once.
    lp.adopt(
        ours2,
        On::new().data(move |s, _| {
            let (a, b) = (a.clone(), b.clone());
            s.connect(
                ConnectOptions::new(at).connect_timeout(50 * MS),
                On::new()
                    .connect(move |s| {
                        a.add("connect");
                        s.destroy()
                    })
                    .close(move |_, c| b.add(format!("{c}"))),
            );
            std::thread::sleep(60 * MS);
        }),
    )
    .unwrap();
    p2.write_all(b"x").unwrap();
    turn_until(&mut lp, |_| !log.lines().is_empty());
    assert_eq!(log.lines()[0], "connect", "{:?}", log.lines());
}

struct H(Log, bool);
impl ServerHandler for H {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        self.0.add("connection");
        conn.accept(On::new().end(|s| s.destroy()));
    }
    fn on_overload(&mut self, cx: &mut Cx<'_>, s: ServerKey, _o: Overload) {
        self.0.add("overload");
        if self.1 { cx.close_server(s).unwrap() } else { std::panic::resume_unwind(Box::new(1)) }
    }
    fn on_close(&mut self, _: &mut Cx<'_>, _: ServerKey) {
        self.0.add("closed");
    }
}
#[test]
fn overload_closes_or_panics() {
    for close in [true, false] {
        let mut lp = guarded();
        let log = Log::default();
        let server = lp
            .serve(
                ListenOptions::new("127.0.0.1:0").max_connections(1, AtLimit::Drop),
                H(log.clone(), close),
            )
            .unwrap();
        let at = lp.local_addr(server).unwrap();
        let cs: Vec<_> = (0..3).map(|_| client(at)).collect();
        for _ in 0..10 {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run_nowait()));
        }
        drop(cs);
        for _ in 0..5 {
            lp.run_nowait().unwrap();
        }
        let stats = lp.server_stats(server);
        if !close {
            lp.close_server(server).unwrap();
        }
        lp.run().unwrap();
        println!("{close} {:?} {stats:?}", log.lines());
        assert_eq!(log.lines().last().unwrap(), "closed");
    }
}

#[test]
fn on_shutdown_panics_for_one() {
    struct P(Log, bool);
    impl Handler for P {
        fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
            self.0.add("shutdown");
            if std::mem::take(&mut self.1) {
                std::panic::resume_unwind(Box::new(1))
            }
            s.destroy()
        }
        fn on_close(&mut self, _: &mut SocketCx<'_>, c: Close) {
            self.0.add(format!("{c}"));
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let (l, mut first) = (log.clone(), true);
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            conn.accept(P(l.clone(), std::mem::take(&mut first)));
            l.add("in");
        })
        .unwrap();
    let at = lp.local_addr(server).unwrap();
    let _cs: Vec<_> = (0..3).map(|_| client(at)).collect();
    turn_until(&mut lp, |_| log.lines().len() == 3);
    lp.shutdown(server, Duration::MAX).unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    println!("{:?}", log.lines());
    assert_eq!(log.lines().len(), 9);
}

/// Once, until bytes move again.
#[test]
fn told_once_although_a_side_ends() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let n = Rc::new(Cell::new(0));
    let m = n.clone();
    let key =
        lp.adopt(ours, On::new().timeout(move |_| m.set(m.get() + 1)).close(|_, _| {})).unwrap();
    lp.socket(key).set_idle_timeout(10 * MS);
    turn_until(&mut lp, |_| n.get() == 1);
    lp.socket(key).end();
    run_for(&mut lp, 40 * MS);
    assert_eq!(n.get(), 1, "no byte moved");
}

/// Law 7: bytes that were accepted are delivered or reported.
#[test]
fn detach_takes_what_the_kernel_did_not() {
    let mut lp = guarded();
    let out = Rc::new(RefCell::new(None));
    let o = out.clone();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").send_buffer(4096), move |mut conn| {
            let key = conn.key();
            let flow = conn.socket(key).write_id(vec![7u8; 8 << 20], 1);
            let left = conn.socket(key).buffered();
            *o.borrow_mut() = Some((flow, left, conn.detach().is_ok()));
        })
        .unwrap();
    let _c = client(lp.local_addr(server).unwrap());
    turn_until(&mut lp, |_| out.borrow().is_some());
    println!("{:?}", out.borrow());
    assert!(
        !matches!(*out.borrow(), Some((_, 1.., true))),
        "{:?}: detached, and the rest is lost without a word",
        out.borrow()
    );
}
