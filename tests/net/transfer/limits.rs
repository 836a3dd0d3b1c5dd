//! What the loop counts against its limits: the counts do not drift, only a connection that was asked
//! to stop is closed, and it is the one that holds the memory.

use std::cell::{Cell, RefCell};
use std::net::TcpStream;
use std::rc::Rc;

use bytes::Bytes;
use tidegate::net::{AdoptOptions, Filter, FilterError, Passed, Scope};
use tidegate::prelude::*;

use crate::support::*;

type Closes = Rc<RefCell<Vec<(SocketKey, Close)>>>;

/// Connections of one server, with their peers; each does nothing by itself.
fn connected(lp: &mut Loop, count: usize) -> (Vec<SocketKey>, Vec<TcpStream>, Closes) {
    let (keys, closes) = (Rc::new(RefCell::new(Vec::new())), Closes::default());
    let (k, c) = (keys.clone(), closes.clone());
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let c = c.clone();
            let on = On::new().close(move |s, close| c.borrow_mut().push((s.key(), close)));
            k.borrow_mut().push(conn.accept(on).key());
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let mut peers = Vec::new();
    for n in 1..=count {
        peers.push(client(at));
        turn_until(lp, |_| keys.borrow().len() == n);
    }
    lp.server(server).close().unwrap();
    (keys.take(), peers, closes)
}

/// Ids that are reported in the dispatch of their connection give their memory back.
#[test]
fn ids_leave_nothing_in_the_account() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(16 * 1024)).build().unwrap());
    let (keys, peers, closes) = connected(&mut lp, 1);
    let written = Rc::new(Cell::new(0u64));
    let w = written.clone();
    // Written in on_data, so that the same dispatch tells them.
    let on = On::new()
        .data(|s, _| {
            for id in 0..100 {
                assert_eq!(s.write_id("x", id), Flow::Ready);
            }
        })
        .written(move |_, _, result| {
            result.unwrap();
            w.set(w.get() + 1);
        });
    lp.socket(keys[0]).set_handler(on);
    let mut buffer = [0; 100];
    for n in 1..=100 {
        write_all(&peers[0], b"?");
        turn_until(&mut lp, |_| written.get() == n * 100);
        assert_eq!(lp.net_metrics().held, 0);
        std::io::Read::read_exact(&mut &peers[0], &mut buffer).unwrap();
    }
    assert!(closes.borrow().is_empty());
}

/// The same from outside, told in the pending phase, and of a connection that never told.
#[test]
fn ids_leave_nothing_behind_however_they_end() {
    let mut lp = guarded();
    let (keys, peers, _) = connected(&mut lp, 3);
    for (n, key) in keys.iter().enumerate() {
        for id in 0..50 {
            let _ = lp.socket(*key).write_id("", id);
        }
        match n {
            0 => lp.socket(*key).end(),
            1 => lp.socket(*key).destroy(),
            _ => lp.socket(*key).reset(),
        }
    }
    drop(peers);
    lp.run().unwrap();
    assert_eq!(lp.net_metrics().held, 0);
}

/// Ids count against the limit; the answer is `Full` before it can close.
#[test]
fn ids_beyond_the_limit_ask_for_a_stop_first() {
    for size in [0, 1, 1000] {
        let mut lp = guarded();
        let full = Rc::new(Cell::new(0));
        let drained = Rc::new(Cell::new(0));
        let told = Rc::new(RefCell::new(Vec::new()));
        let (f, dr, t) = (full.clone(), drained.clone(), told.clone());
        let options = ListenOptions::new("127.0.0.1:0")
            .allow_half_open(true)
            .write_limit(16 * 1024)
            .send_buffer(1 << 20);
        let server = lp
            .listen(options, move |mut conn| {
                conn.server(conn.server_key()).close().unwrap();
                let (f, dr, t) = (f.clone(), dr.clone(), t.clone());
                let on = On::new()
                    .data(move |s, _| {
                        for id in 0.. {
                            match s.write_id(&vec![0u8; size][..], id) {
                                Flow::Ready => {}
                                Flow::Full => {
                                    f.set(id + 1);
                                    break;
                                }
                                Flow::Closed => panic!("closed without a word"),
                            }
                        }
                    })
                    .drain(move |s| {
                        dr.set(dr.get() + 1);
                        let _ = s.write_id("after", u64::MAX);
                        s.end();
                    })
                    .written(move |_, id, result| {
                        result.unwrap();
                        t.borrow_mut().push(id);
                    })
                    .close(|_, close| assert!(!close.reason.is_error(), "{close}"));
                conn.accept(on);
            })
            .unwrap();
        let c = client(lp.server(server).local_addr().unwrap());
        write_all(&c, b"go");
        c.shutdown(std::net::Shutdown::Write).unwrap();
        let reader = std::thread::spawn(move || read_to_end(&c).len());
        lp.run().unwrap();
        // Each id counts 16 bytes; what is queued beside them counts, too.
        assert!((1..=1025).contains(&full.get()), "{}", full.get());
        assert_eq!(drained.get(), 1);
        let expected: Vec<u64> = (0..full.get()).chain([u64::MAX]).collect();
        assert_eq!(*told.borrow(), expected, "size {size}");
        assert_eq!(reader.join().unwrap(), size * full.get() as usize + 5);
    }
}

/// A connection that queues nothing is nobody's offender.
#[test]
fn beyond_the_buffered_limit_small_writes_of_others_go_on() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(1 << 20)).build().unwrap());
    let (keys, peers, closes) = connected(&mut lp, 2);
    assert_eq!(lp.socket(keys[0]).write(Bytes::from(vec![0; 16 << 20])), Flow::Full);
    for _ in 0..100 {
        assert_eq!(lp.socket(keys[1]).write(b"hello"), Flow::Ready);
        lp.run_nowait().unwrap();
    }
    assert!(closes.borrow().is_empty());
    let mut buffer = [0; 500];
    std::io::Read::read_exact(&mut &peers[1], &mut buffer).unwrap();
}

/// What has to be queued beyond the limit is accepted with `Full`, and the connection that
/// holds most gives way; the next write of one that was asked to stop is its end.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn beyond_the_buffered_limit_the_largest_queue_gives_way() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(1 << 20)).build().unwrap());
    let (keys, peers, closes) = connected(&mut lp, 3);
    let megabytes = |n: usize| Bytes::from(vec![7; n << 20]);
    assert_eq!(lp.socket(keys[0]).write(megabytes(16)), Flow::Full);
    assert_eq!(lp.socket(keys[1]).write(megabytes(8)), Flow::Full);
    lp.run_nowait().unwrap();
    let over: Vec<_> = closes.borrow().iter().map(|(key, _)| *key).collect();
    assert_eq!(over, [keys[0]], "the largest, and no other");
    assert!(was_reset(&peers[0]), "bytes are missing");
    let (_, close) = closes.borrow_mut().remove(0);
    let Reason::WriteLimit { scope: Scope::Loop, queued, limit } = close.reason else {
        panic!("{close}");
    };
    assert!(queued > limit && limit == 1 << 20);
    assert!(close.unsent > 8 << 20, "what was freed is still reported: {}", close.unsent);
    assert!(lp.net_metrics().held <= 8 << 20);
    // Asked to stop, and writes all the same.
    assert_eq!(lp.socket(keys[1]).write(b"more"), Flow::Closed);
    lp.run_nowait().unwrap();
    assert_eq!(closes.borrow().len(), 1);
    assert_eq!(closes.borrow()[0].0, keys[1]);
    assert_eq!(lp.socket(keys[2]).write(b"fine"), Flow::Ready);
    lp.close_all();
    lp.run().unwrap();
}

/// However many write at once, the loop holds the limit and one write, no more.
#[test]
fn the_buffered_limit_bounds_a_broadcast() {
    let (limit, one) = (4 << 20, 1 << 20);
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(limit)).build().unwrap());
    let (keys, _peers, _) = connected(&mut lp, 40);
    let highest = Rc::new(Cell::new(0));
    let h = highest.clone();
    lp.next_tick(move |cx| {
        for key in keys {
            let _ = cx.socket(key).write(&vec![1; 8 * one][..]);
            h.set(h.get().max(cx.net_metrics().held));
        }
    });
    lp.run_nowait().unwrap();
    assert!(highest.get() <= limit + 8 * one, "{}", highest.get());
    assert!(highest.get() > limit, "it was tried: {}", highest.get());
    lp.close_all();
    lp.run().unwrap();
}

/// A filter's bytes are in the same account.
#[test]
fn filters_are_in_the_account() {
    use tidegate::net::{Filter, FilterError, Passed};
    struct Twice;
    impl Filter for Twice {
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
            out.up.extend_from_slice(wire);
            Ok(())
        }
        fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            out.down.extend_from_slice(user);
            out.down.extend_from_slice(user);
            Ok(user.len())
        }
    }
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(1 << 20)).build().unwrap());
    let (keys, _peers, closes) = connected(&mut lp, 2);
    for key in &keys {
        lp.socket(*key).set_filter(Twice);
    }
    assert_eq!(lp.socket(keys[0]).write(&vec![0; 8 << 20][..]), Flow::Full);
    assert_eq!(lp.socket(keys[1]).write(b"hello"), Flow::Ready, "the kernel took it");
    assert_eq!(lp.socket(keys[1]).write(&vec![0; 8 << 20][..]), Flow::Full);
    lp.run_nowait().unwrap();
    assert_eq!(closes.borrow().len(), 1);
    assert_eq!(closes.borrow()[0].0, keys[0]);
    lp.close_all();
    lp.run().unwrap();
    assert_eq!(lp.net_metrics().held, 0);
}

/// Answers what comes, and has last words.
struct Speaks;

impl tidegate::net::Filter for Speaks {
    fn inbound(
        &mut self,
        wire: &mut [u8],
        out: &mut tidegate::net::Passed,
    ) -> Result<(), tidegate::net::FilterError> {
        out.up.extend_from_slice(wire);
        out.down.extend_from_slice(b"ack");
        Ok(())
    }
    fn outbound(
        &mut self,
        user: &[u8],
        out: &mut tidegate::net::Passed,
    ) -> Result<usize, tidegate::net::FilterError> {
        out.down.extend_from_slice(user);
        Ok(user.len())
    }
    fn close(&mut self, out: &mut tidegate::net::Passed) -> Result<(), tidegate::net::FilterError> {
        out.down.extend_from_slice(b"bye");
        Ok(())
    }
}

/// One write beyond the limit is allowed; the filter's last bytes after it do not close.
#[test]
fn last_bytes_of_a_filter_are_always_sent() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let log = Log::default();
    let l = log.clone();
    let options = AdoptOptions::new(ours).write_limit(16 * 1024);
    let key = lp.adopt(options, On::new().close(move |_, c| l.add(c.to_string()))).unwrap();
    lp.socket(key).set_filter(Speaks);
    assert_eq!(lp.socket(key).end_with(vec![1; 16 << 20]), Flow::Full);
    let reader = std::thread::spawn(move || {
        let all = read_to_end(&peer);
        (all.len(), all.ends_with(b"bye"))
    });
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), ((16 << 20) + 3, true));
    assert_eq!(log.lines(), ["both sides ended"]);
}

/// The peer of a connection that was told `Full` and waits makes its filter answer: nobody
/// is closed for that but the connection with the longest queue.
#[test]
fn a_filter_that_answers_is_no_offender() {
    for ends in [true, false] {
        let mut lp = guard(
            Loop::builder().limits(NetLimits::new().buffered_limit(1 << 20)).build().unwrap(),
        );
        let (keys, peers, closes) = connected(&mut lp, 2);
        lp.socket(keys[0]).set_filter(Speaks);
        lp.socket(keys[0]).set_buffer_sizes(4096, 4096).unwrap();
        while lp.socket(keys[0]).write(&[1; 1000]) == Flow::Ready {}
        assert_eq!(lp.socket(keys[1]).write(&vec![0; 16 << 20][..]), Flow::Full);
        if ends {
            lp.socket(keys[0]).end();
        } else {
            write_all(&peers[0], b"hello");
        }
        turn_until(&mut lp, |lp| ends || lp.net_metrics().bytes_read == 5);
        lp.run_nowait().unwrap();
        assert!(closes.borrow().iter().all(|(key, _)| *key == keys[1]), "{:?}", closes.borrow());
        lp.close_all();
        lp.run().unwrap();
    }
}

/// A filter that answers whatever comes with so many bytes.
struct Loud(usize);

impl Filter for Loud {
    fn inbound(&mut self, _: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.down.resize(self.0, 7);
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend_from_slice(user);
        Ok(user.len())
    }
}

/// But a peer that makes a filter answer without end, and reads nothing, meets the limit.
#[test]
fn answers_of_a_filter_have_a_limit() {
    use std::io::Write;
    let mut lp = guarded();
    let (mut peer, ours) = pair();
    let log = Log::default();
    let l = log.clone();
    let options = AdoptOptions::new(ours).write_limit(2 << 20);
    let key = lp.adopt(options, On::new().close(move |_, c| l.add(c.to_string()))).unwrap();
    lp.socket(key).set_filter(Loud(1 << 20));
    let highest = Rc::new(Cell::new(0));
    while log.lines().is_empty() {
        let _ = peer.write(b"?");
        lp.run_nowait().unwrap();
        highest.set(highest.get().max(lp.net_metrics().held));
    }
    assert!(log.lines()[0].contains("write_limit is 2097152"), "{:?}", log.lines());
    assert!(highest.get() <= 6 << 20, "{}", highest.get());
}

/// What a pipe queues for a connection that is being made counts as any write.
#[test]
fn pipes_into_connecting_sockets_keep_the_buffered_limit() {
    use tidegate::stream::{BoxError, ReadableCx, Source};
    struct Endless;
    impl Source for Endless {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            let _ = r.push(Bytes::from(vec![0; 8192]));
            Ok(())
        }
    }
    let Some((listener, _fill)) = silent() else { return };
    let port = listener.local_addr().unwrap().port();
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(1 << 20)).build().unwrap());
    for _ in 0..50 {
        let options = ConnectOptions::new(at).high_water_mark(1 << 20);
        let to = lp.connect(options, On::new().close(|_, _| {}));
        let from = lp.open_readable(Default::default(), Endless, ()).unwrap();
        lp.pipe(from, to, |_, _| {}).unwrap();
    }
    for _ in 0..20 {
        lp.run_nowait().unwrap();
        assert!(lp.net_metrics().held <= (1 << 20) + 8192, "{}", lp.net_metrics().held);
    }
    lp.close_all();
    lp.run().unwrap();
}

/// A `Drop` of the user's in a `Bytes` panics inside a call: the account is whole.
#[test]
fn a_panic_inside_a_call_leaves_the_account_whole() {
    use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
    struct Boom(Vec<u8>);
    impl AsRef<[u8]> for Boom {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Boom {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic_any("on purpose");
            }
        }
    }
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let key = lp.adopt(ours, On::new().close(|_, _| {})).unwrap();
    lp.socket(key).cork();
    let _ = lp.socket(key).write(Bytes::from_owner(Boom(vec![0; 50_000])));
    let uncorked = catch_unwind(AssertUnwindSafe(|| lp.socket(key).uncork()));
    assert!(uncorked.is_err(), "the kernel took it");
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert_eq!(lp.net_metrics().held, 0);
}

/// Connections that have ended still hold what they wrote: they give way, too.
#[test]
fn the_buffered_limit_bounds_connections_that_have_ended() {
    let (limit, one) = (4 << 20, 8 << 20);
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(limit)).build().unwrap());
    let (keys, _peers, closes) = connected(&mut lp, 20);
    let mut highest = 0;
    for key in keys {
        let _ = lp.socket(key).end_with(vec![1; one]);
        highest = highest.max(lp.net_metrics().held);
    }
    assert!(highest > limit, "it was tried: {highest}");
    assert!(highest <= limit + one, "{highest}");
    lp.run_nowait().unwrap();
    assert!(closes.borrow().iter().all(|(_, c)| matches!(c.reason, Reason::WriteLimit { .. })));
    lp.close_all();
    lp.run().unwrap();
}

/// So do those whose filter answered a peer that reads nothing.
#[test]
fn the_buffered_limit_bounds_answers_of_filters() {
    let limit = 4 << 20;
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(limit)).build().unwrap());
    let (keys, peers, _) = connected(&mut lp, 10);
    for (key, peer) in keys.iter().zip(&peers) {
        lp.socket(*key).set_filter(Loud(8 << 20));
        // Twice: the first answer may find an empty queue.
        for _ in 0..2 {
            let before = lp.net_metrics().bytes_read;
            if lp.socket(*key).state().is_ok() {
                write_all(peer, b"?");
                turn_until(&mut lp, |lp| lp.net_metrics().bytes_read > before);
            }
            let held = lp.net_metrics().held;
            assert!(held <= limit + (8 << 20), "{held}");
        }
    }
    lp.close_all();
    lp.run().unwrap();
}
