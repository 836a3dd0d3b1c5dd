//! Which queue gives way beyond `buffered_limit`.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

type Closed = Rc<RefCell<Vec<&'static str>>>;

fn open(lp: &mut Loop, closed: &Closed, name: &'static str) -> (std::net::TcpStream, SocketKey) {
    let (peer, ours) = pair();
    let c = closed.clone();
    let key = lp.adopt(ours, On::new().close(move |_, _| c.borrow_mut().push(name))).unwrap();
    lp.socket(key).cork();
    (peer, key)
}

/// A small queue with room in its last block, and a long one beyond the limit. Then a small
/// write, which is queued, and answered with `Full`.
fn crowd(lp: &mut Loop, closed: &Closed) -> ([std::net::TcpStream; 2], SocketKey) {
    let (small_peer, small) = open(lp, closed, "small");
    let (long_peer, long) = open(lp, closed, "long");
    assert_eq!(lp.socket(small).write(vec![1; 600]), Flow::Ready);
    assert_eq!(lp.socket(small).write(vec![1; 10]), Flow::Ready);
    assert_eq!(lp.socket(long).write(vec![2; 90_000]), Flow::Full);
    assert_eq!(lp.socket(long).write(vec![2; 16 << 20]), Flow::Full);
    assert!(lp.net_metrics().held > 100_000, "more than the limit is queued");
    assert_eq!(lp.socket(small).write("tide"), Flow::Full);
    ([small_peer, long_peer], long)
}

/// What is queued beyond the limit lets the longest queue give way, at once.
#[test]
fn a_small_write_beyond_the_limit_lets_the_longest_queue_give_way() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(100_000)).build().unwrap());
    let closed = Closed::default();
    let _peers = crowd(&mut lp, &closed);
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    let seen = closed.borrow().clone();
    lp.close_all();
    lp.run().unwrap();
    assert_eq!(seen, ["long"]);
}

/// Bytes that leave the long queue are no reason to close the small one.
#[test]
fn a_queue_that_gets_shorter_closes_nobody() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(100_000)).build().unwrap());
    let closed = Closed::default();
    let (_peers, long) = crowd(&mut lp, &closed);
    lp.socket(long).uncork();
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    let seen = closed.borrow().clone();
    lp.close_all();
    lp.run().unwrap();
    assert!(!seen.contains(&"small"), "closed: {seen:?}");
}

/// Bytes that were given back count as queued ones do: who holds most of them gives way.
#[test]
fn bytes_that_were_given_back_give_way() {
    const LIMIT: usize = 100_000;
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(LIMIT)).build().unwrap());
    let closed = Closed::default();
    let opened: Vec<_> =
        ["a", "b", "c"].into_iter().map(|name| open(&mut lp, &closed, name)).collect();
    for ((_, key), len) in opened.iter().zip([30_000, 50_000, 40_000]) {
        lp.socket(*key).pause();
        lp.socket(*key).unread(&vec![1; len]);
    }
    assert_eq!(lp.net_metrics().held, 70_000, "the last one made the largest give way, at once");
    lp.run_nowait().unwrap();
    assert_eq!(*closed.borrow(), ["b"]);
    // A write does the same, and is not refused for it.
    assert_eq!(lp.socket(opened[0].1).write(vec![2; 60_000]), Flow::Ready);
    assert_eq!(lp.socket(opened[0].1).write("beyond the limit"), Flow::Full);
    lp.run_nowait().unwrap();
    assert_eq!(*closed.borrow(), ["b", "c"]);
    lp.close_all();
    lp.run().unwrap();
}
