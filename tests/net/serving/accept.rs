//! The accept loop: its budget, what it carries over, accepting and rejecting, and a lack of
//! descriptors.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{BatchEnd, NetEvent, ServerEvent};
use tidegate::prelude::*;

use crate::support::*;

/// 1,000 queued connections and a budget of 8: 125 turns of 8, a 126th that
/// finds the queue empty, no poll that blocks, and another ready socket served
/// between the batches.
#[test]
fn budget_8_takes_1000_queued_connections_in_125_turns_and_starves_nobody() {
    let mut lp = guard(Loop::builder().limits(NetLimits::new().accept_budget(8)).build().unwrap());
    let trace = Trace::default();
    // The other socket: an established echo, on another server.
    let echo = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new().data(|s, chunk| assert_eq!(s.write(chunk), Flow::Ready)));
        })
        .unwrap();
    let other = client(lp.server(echo).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(echo).stats().unwrap().accepted == 1);

    let accepted = Rc::new(Cell::new(0));
    let seen = accepted.clone();
    let options = ListenOptions::new("127.0.0.1:0").backlog(1024);
    let server = lp
        .listen(options, move |conn| {
            seen.set(seen.get() + 1);
            conn.reject();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients: Vec<_> = (0..1000).map(|_| client(at)).collect();

    lp.observe(trace.clone());
    let batch = |event: &NetEvent| match event {
        NetEvent::Server(s, ServerEvent::AcceptBatch { accepted, stopped }) if s.key == server => {
            Some((*accepted, *stopped))
        }
        _ => None,
    };
    let mut echoed = 0;
    let mut buffer = [0u8; 1];
    loop {
        // A byte before each turn, its echo after it.
        write_all(&other, b"x");
        lp.run_once().unwrap();
        use std::io::Read;
        (&other).read_exact(&mut buffer).unwrap();
        echoed += 1;
        let last = trace.net().iter().rev().find_map(|(_, e)| batch(e));
        if last.is_some_and(|(_, stopped)| stopped == BatchEnd::WouldBlock) {
            break;
        }
        assert!(echoed < 1000, "never empty: {last:?}");
    }
    let batches: Vec<_> = trace.net().iter().filter_map(|(t, e)| Some((*t, batch(e)?))).collect();
    assert_eq!(batches.len(), 126);
    assert!(batches[..125].iter().all(|(_, b)| *b == (8, BatchEnd::Budget)), "{batches:?}");
    assert_eq!(batches[125].1, (0, BatchEnd::WouldBlock));
    let turns: Vec<u64> = batches.iter().map(|(t, _)| *t).collect();
    assert!(turns.windows(2).all(|w| w[1] == w[0] + 1), "one batch in each turn: {turns:?}");
    // From the first batch to the last, no poll was allowed to block.
    let blocked = trace.0.borrow().iter().any(|(turn, s)| {
        *turn > turns[0]
            && *turn <= turns[125]
            && matches!(s, Seen::Poll(t) if *t != Some(Duration::ZERO))
    });
    assert!(!blocked);
    assert_eq!(accepted.get(), 1000);
    assert_eq!(echoed, 126, "the other socket was served in each turn");
    let stats = lp.server(server).stats().unwrap();
    assert_eq!((stats.accepted, stats.rejected, stats.carried_over), (1000, 1000, 125));
    drop(clients);
}

/// The same server, when the loop was held up after its pace had settled on
/// single connections: ceil(1000 / 64) turns and one more.
#[test]
fn a_loop_that_was_held_up_drains_its_queue_in_full_batches() {
    let mut lp = guarded();
    let server =
        lp.listen(ListenOptions::new("127.0.0.1:0").backlog(1024), |conn| conn.reject()).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    for n in 1..=20 {
        let _c = client(at);
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == n);
    }
    let trace = Trace::default();
    lp.observe(trace.clone());
    let clients: Rc<std::cell::RefCell<Vec<_>>> = Rc::default();
    let c = clients.clone();
    // The callback that takes so long.
    lp.next_tick(move |_| c.borrow_mut().extend((0..1000).map(|_| client(at))));
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1020);
    let turns = trace.0.borrow().iter().filter(|(_, s)| matches!(s, Seen::Turn)).count();
    assert!((16..=17).contains(&turns), "{turns} turns");
    drop(clients);
}

#[test]
fn a_budget_of_one_is_libuv_since_1_45() {
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").accept_budget(1);
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients: Vec<_> = (0..5).map(|_| client(at)).collect();
    for n in 1..=5 {
        lp.run_once().unwrap();
        assert_eq!(lp.server(server).stats().unwrap().accepted, n);
    }
    drop(clients);
}

#[test]
fn not_accepted_means_rejected_and_the_peer_sees_the_end() {
    let mut lp = guarded();
    let server = lp.listen("127.0.0.1:0", |_conn| {}).unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().rejected == 1);
    assert_eq!(read_to_end(&c), b"");
    assert_eq!(lp.server(server).stats().unwrap().connections, 0);
    assert_eq!(handles(&lp), 1, "the server alone");
}

#[test]
fn accepted_answered_and_closed_in_one_callback() {
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            let mut s = conn.accept(On::new());
            assert_eq!(s.write(b"hello"), Flow::Ready);
            s.destroy();
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
    assert_eq!(read_to_end(&c), b"hello");
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

#[test]
fn the_key_is_known_before_accepting_and_stays() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let key = conn.key();
            let server = conn.server_key();
            assert_eq!(conn.local_addr().unwrap(), conn.cx().server(server).local_addr().unwrap());
            let s = conn.accept(On::new());
            assert_eq!(s.key(), key);
            l.add("accepted");
        })
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| log.has("accepted"));
}

/// Destroyed by its key before it was accepted: the handler has its one end, and
/// nothing else.
#[test]
fn destroyed_before_it_was_accepted() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let key = conn.key();
            conn.socket(key).destroy();
            let l = l.clone();
            let mut s = conn.accept(On::new().close(move |_, close| l.add(close.to_string())));
            assert_eq!(s.write(b"x"), Flow::Closed);
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
    assert_eq!(read_to_end(&c), b"");
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().connections == 0);
    assert_eq!(log.lines(), ["destroyed"]);
}

/// What was written before a rejection is not counted for ever.
#[test]
fn a_rejected_connection_leaves_nothing_in_buffered() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(1 << 20)).build().unwrap());
    let mut first = true;
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let key = conn.key();
            if std::mem::take(&mut first) {
                let _ = conn.socket(key).write(bytes::Bytes::from(vec![0u8; 8 << 20]));
                return conn.reject();
            }
            assert_eq!(conn.accept(On::new()).write(b"x"), Flow::Ready);
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients = [client(at), client(at)];
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 2);
    assert_eq!(lp.server(server).stats().unwrap().connections, 1);
    drop(clients);
}

struct Tells(Log);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

impl Handler for Tells {}

/// Law 1: neither `accept` nor `reject` drops a handler that the key was given before.
#[test]
fn accept_and_reject_drop_nothing_inside_the_call() {
    for accept in [true, false] {
        let mut lp = guarded();
        let log = Log::default();
        let l = log.clone();
        let server = lp
            .listen("127.0.0.1:0", move |mut conn| {
                let key = conn.key();
                conn.socket(key).set_handler(Tells(l.clone()));
                if accept {
                    conn.accept(On::new());
                } else {
                    conn.reject();
                }
                l.add("returned");
            })
            .unwrap();
        let _c = client(lp.server(server).local_addr().unwrap());
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
        assert_eq!(log.lines(), ["returned", "dropped"], "accept: {accept}");
    }
}

struct Closes(Log);

impl ServerHandler for Closes {
    fn on_connection(&mut self, mut conn: Incoming<'_>) {
        let server = conn.server_key();
        assert_eq!(conn.server(server).close(), Ok(()));
        assert_eq!(conn.server(server).close(), Err(tidegate::KeyError::Closed));
        let log = self.0.clone();
        conn.accept(On::new().end(|_| {}).close(move |_, _| log.add("connection closed")));
    }

    fn on_close(&mut self, _: &mut ServerCx<'_>) {
        self.0.add("server closed");
    }
}

/// `ServerCx::close` stops accepting; the server's `on_close` comes after the last
/// connection's (node V2, libuv 28).
#[test]
fn a_closed_server_lives_until_its_last_connection() {
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve("127.0.0.1:0", Closes(log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let c = client(at);
    turn_until(&mut lp, |lp| lp.server(server).local_addr().is_err());
    assert!(std::net::TcpStream::connect(at).is_err(), "nobody listens any more");
    assert_eq!(log.lines().len(), 0);
    assert_eq!(lp.server(server).stats().unwrap().connections, 1);
    drop(c);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["connection closed", "server closed"]);
    assert_eq!(handles(&lp), 0);
}

/// An accepted connection whose callback then panics is neither leaked nor
/// forgotten, and the rest of the batch is taken in the next run.
#[test]
fn a_panic_in_on_connection_loses_no_connection() {
    let mut lp = guarded();
    let mut first = true;
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            conn.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
            }));
            if std::mem::take(&mut first) {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients: Vec<_> = (0..3).map(|_| client(at)).collect();
    let run = std::panic::AssertUnwindSafe(|| lp.run_once());
    assert!(std::panic::catch_unwind(run).is_err());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 3);
    for c in &clients {
        write_all(c, b"ping");
        c.shutdown(std::net::Shutdown::Write).unwrap();
    }
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().connections == 0);
    assert!(clients.iter().all(|c| read_to_end(c) == b"ping"));
}
