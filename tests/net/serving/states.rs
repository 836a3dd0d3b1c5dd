//! Servers that are paused, full, closed or shutting down, and connections that leave them then.

use std::cell::{Cell, RefCell};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn pause_at_max_connections() {
    let mut lp = guarded();
    let keys = Rc::new(RefCell::new(Vec::new()));
    let k = keys.clone();
    let server = lp
        .listen(
            ListenOptions::new("127.0.0.1:0").max_connections(1, AtLimit::Hold),
            move |mut conn| {
                conn.server(conn.server_key()).pause().unwrap();
                k.borrow_mut().push(conn.accept(On::new()).key());
            },
        )
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _c: Vec<_> = (0..3).map(|_| client(at)).collect();
    turn_until(&mut lp, |_| keys.borrow().len() == 1);
    run_for(&mut lp, 20 * MS);
    let first = keys.borrow()[0];
    lp.socket(first).destroy();
    run_for(&mut lp, 50 * MS);
    assert_eq!(keys.borrow().len(), 1, "accepting is paused");
}

#[test]
fn close_refuses_what_waits_adopted() {
    let mut lp = guarded();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    let o = ListenOptions::from(l);
    let s = lp.listen(o.clone(), |c| c.reject()).unwrap();
    lp.server(s).close().unwrap();
    lp.run().unwrap();
    assert!(TcpStream::connect(at).is_err(), "docs: it belongs to the server from then on");
}

#[test]
fn detached_is_not_rejected() {
    let mut lp = guarded();
    let got = Rc::new(RefCell::new(None));
    let g = got.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| *g.borrow_mut() = Some(conn.detach().unwrap()))
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| got.borrow().is_some());
    let stats = lp.server(server).stats().unwrap();
    assert_eq!((stats.accepted, stats.rejected), (1, 0));
}

#[test]
fn shutdown_after_close() {
    let mut lp = guarded();
    let n = Rc::new(Cell::new(0));
    let m = n.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            m.set(1);
            conn.accept(On::new());
        })
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| n.get() == 1);
    lp.server(server).close().unwrap();
    assert_eq!(lp.server(server).shutdown(30 * MS), Ok(()), "the connections are to end");
}

struct H(Log, bool);

impl ServerHandler for H {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        self.0.add("connection");
        conn.accept(On::new().end(|s| s.destroy()));
    }
    fn on_overload(&mut self, server: &mut ServerCx<'_>, _o: Overload) {
        self.0.add("overload");
        if self.1 { server.close().unwrap() } else { std::panic::resume_unwind(Box::new(1)) }
    }
    fn on_close(&mut self, _: &mut ServerCx<'_>) {
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
        let at = lp.server(server).local_addr().unwrap();
        let cs: Vec<_> = (0..3).map(|_| client(at)).collect();
        for _ in 0..10 {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run_nowait()));
        }
        drop(cs);
        for _ in 0..5 {
            lp.run_nowait().unwrap();
        }
        let stats = lp.server(server).stats();
        if !close {
            lp.server(server).close().unwrap();
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
    let at = lp.server(server).local_addr().unwrap();
    let _cs: Vec<_> = (0..3).map(|_| client(at)).collect();
    turn_until(&mut lp, |_| log.lines().len() == 3);
    lp.server(server).shutdown(Duration::MAX).unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    println!("{:?}", log.lines());
    assert_eq!(log.lines().len(), 9);
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
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| out.borrow().is_some());
    println!("{:?}", out.borrow());
    assert!(
        !matches!(*out.borrow(), Some((_, 1.., true))),
        "{:?}: detached, and the rest is lost without a word",
        out.borrow()
    );
}

/// Closing a server twice is an error, also while it waits for its connections.
#[test]
fn closing_a_server_twice() {
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new());
        })
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
    assert_eq!(lp.close(server), Ok(()));
    assert_eq!(lp.close(server), Err(tidegate::KeyError::Closed));
}
