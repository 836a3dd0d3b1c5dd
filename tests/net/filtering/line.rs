//! Connections of servers whose filters are not ready: their steps come after all others, so many in
//! a turn; what comes with the last `ready` goes out with the first write.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::net::{Filter, FilterError, FilterFactory, Passed};
use tidegate::prelude::*;

use super::Done;
use crate::support::*;

/// What was done, in order.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<String>>>);

impl Order {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Is ready by its first byte, which it logs, and says so to the peer.
struct Slow(Order);

impl Filter for Slow {
    fn start(&mut self, _: &mut Passed) -> Done {
        Ok(())
    }

    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        match wire {
            [b'0'..=b'9', ..] => {
                self.0.add(format!("step {}", char::from(wire[0])));
                out.down.extend(b"ready ");
                out.ready();
            }
            bytes => out.up.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend_from_slice(user);
        Ok(user.len())
    }
}

struct Makes(Order, u32);

impl FilterFactory for Makes {
    fn make(&self) -> Box<dyn Filter> {
        Box::new(Slow(self.0.clone()))
    }

    fn handshakes_per_turn(&self) -> u32 {
        self.1
    }
}

fn serve(lp: &mut Loop, order: &Order, per_turn: u32) -> (ServerKey, SocketAddr) {
    let options = ListenOptions::new("127.0.0.1:0").filter(Makes(order.clone(), per_turn));
    let server = lp.listen(options, |conn| {
        conn.accept(On::new());
    });
    let server = server.unwrap();
    (server, lp.server(server).local_addr().unwrap())
}

/// A connection that logs what it gets, without a filter.
fn plain(lp: &mut Loop, order: &Order) -> TcpStream {
    let (peer, ours) = pair();
    let order = order.clone();
    lp.adopt(ours, On::new().data(move |_, _| order.add("other".into()))).unwrap();
    peer
}

/// Which of several ready connections the poller names first is its affair.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn turn(lp: &mut Loop, order: &Order) -> Vec<String> {
    lp.run_nowait().unwrap();
    order.take()
}

#[test]
fn steps_come_after_all_others_and_so_many_in_a_turn() {
    for per_turn in [1, 2, 5] {
        let mut lp = guarded();
        let order = Order::default();
        let (server, at) = serve(&mut lp, &order, per_turn);
        let waiting: Vec<TcpStream> = (0..5).map(|_| client(at)).collect();
        let other = plain(&mut lp, &order);
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 5);
        while !turn(&mut lp, &order).is_empty() {}
        for (i, c) in waiting.iter().enumerate() {
            write_all(c, i.to_string().as_bytes());
        }
        let mut steps = Vec::new();
        while steps.len() < 5 {
            // It comes last in the kernel's queue, and first in the turn.
            write_all(&other, b".");
            let expected = per_turn.min(5 - steps.len() as u32);
            let mut done = turn(&mut lp, &order);
            assert_eq!(done.remove(0), "other", "{per_turn} a turn");
            assert_eq!(done.len(), expected as usize, "{per_turn} a turn: {done:?}");
            steps.append(&mut done);
        }
        assert_eq!(sorted(steps), (0..5).map(|i| format!("step {i}")).collect::<Vec<_>>());
        assert!(turn(&mut lp, &order).is_empty());
    }
}

/// Two servers share the steps of a turn.
#[test]
fn the_steps_of_a_turn_are_those_of_all_servers() {
    let mut lp = guarded();
    let order = Order::default();
    let ats = [serve(&mut lp, &order, 1).1, serve(&mut lp, &order, 1).1];
    let waiting: Vec<TcpStream> = ats.iter().map(|at| client(*at)).collect();
    turn_until(&mut lp, |lp| lp.net_metrics().sockets == 2);
    while !turn(&mut lp, &order).is_empty() {}
    for (i, c) in waiting.iter().enumerate() {
        write_all(c, i.to_string().as_bytes());
    }
    let turns = [turn(&mut lp, &order), turn(&mut lp, &order)];
    assert!(turns.iter().all(|steps| steps.len() == 1), "{turns:?}");
    assert_eq!(sorted(turns.concat()), ["step 0", "step 1"]);
}

/// One that ends in the line is skipped, and costs no step; one whose callback panics does not keep
/// the others from theirs.
#[test]
fn ends_and_panics_in_the_line() {
    let mut lp = guarded();
    let order = Order::default();
    let options = ListenOptions::new("127.0.0.1:0").filter(Makes(order.clone(), 1));
    let seen = order.clone();
    let server = lp
        .listen(options, move |conn| {
            seen.add("connection".into());
            if seen.0.lock().unwrap().len() == 2 {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            conn.accept(On::new());
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let waiting: Vec<TcpStream> = (0..4).map(|_| client(at)).collect();
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 4);
    for _ in 0..3 {
        lp.run_nowait().unwrap();
    }
    for (i, c) in waiting.iter().enumerate() {
        write_all(c, i.to_string().as_bytes());
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run_nowait()));
    assert!(panicked.is_err());
    let is_step = |line: &&String| line.starts_with("step");
    turn_until(&mut lp, |_| order.0.lock().unwrap().iter().filter(is_step).count() == 4);
    let steps = order.take().into_iter().filter(|line| is_step(&line)).collect();
    assert_eq!(sorted(steps), ["step 0", "step 1", "step 2", "step 3"]);
}

/// What a filter says with its last `ready` goes out with the first write: one segment. Without a
/// write it goes out, too.
#[test]
fn the_last_word_goes_with_the_first_write() {
    for writes in [true, false] {
        let mut lp = guarded();
        let order = Order::default();
        let options = ListenOptions::new("127.0.0.1:0").filter(Makes(order.clone(), 1));
        let seen = order.clone();
        let server = lp
            .listen(options, move |conn| {
                let mut s = conn.accept(On::new());
                let before = s.bytes_written();
                if writes {
                    let _ = s.write("answer");
                }
                seen.add(format!("{before} {}", s.bytes_written()));
            })
            .unwrap();
        let c = client(lp.server(server).local_addr().unwrap());
        write_all(&c, b"1");
        turn_until(&mut lp, |lp| lp.net_metrics().bytes_written >= 6);
        let (bytes, all) =
            if writes { ("0 12", &b"ready answer"[..]) } else { ("0 0", &b"ready "[..]) };
        assert_eq!(order.take(), ["step 1", bytes]);
        // The turn that offered it has done all: the next one waits.
        assert_ne!(lp.backend_timeout(), Some(Duration::ZERO));
        let mut got = vec![0; all.len()];
        std::io::Read::read_exact(&mut &c, &mut got).unwrap();
        assert_eq!(got, all);
    }
}

/// Also if nobody wants the connection.
#[test]
fn the_last_word_of_a_rejected_connection_goes_out() {
    let mut lp = guarded();
    let order = Order::default();
    let options = ListenOptions::new("127.0.0.1:0").filter(Makes(order.clone(), 1));
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    write_all(&c, b"1");
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().rejected == 1);
    assert_eq!(read_to_end(&c), b"ready ");
}
