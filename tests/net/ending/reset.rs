//! A connection that is cut off is reset, so that its peer knows that bytes are missing; one
//! that has sent all it had is not. What belongs to a shutdown or to an end is not cut off.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::net::{Filter, FilterError, Passed, Reset, Timeout};
use tidegate::prelude::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

type Closes = Rc<RefCell<Vec<Close>>>;

/// One connection of a server that is closed again.
fn accepted(
    lp: &mut Loop,
    options: impl FnOnce(ListenOptions) -> ListenOptions,
    on: impl FnOnce(On) -> On,
) -> (SocketKey, TcpStream, Closes) {
    let (key, closes) = (Rc::new(Cell::new(None)), Closes::default());
    let (k, c) = (key.clone(), closes.clone());
    let mut on = Some(on(On::new().close(move |_, close| c.borrow_mut().push(close))));
    let server = lp
        .listen(options(ListenOptions::new("127.0.0.1:0")), move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            k.set(Some(conn.accept(on.take().unwrap()).key()));
        })
        .unwrap();
    let peer = client(lp.server(server).local_addr().unwrap());
    turn_until(lp, |_| key.get().is_some());
    (key.get().unwrap(), peer, closes)
}

/// Which way a peer sees the end, after so many bytes.
fn seen(mut peer: &TcpStream) -> (usize, Result<(), ErrorKind>) {
    let mut all = Vec::new();
    let end = peer.read_to_end(&mut all);
    (all.len(), end.map(|_| ()).map_err(|e| e.kind()))
}

fn plain(options: ListenOptions) -> ListenOptions {
    options
}

/// The source of a pipe is reset: the sink's peer must not take what it has for all.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_broken_pipe_resets_its_sink() {
    let mut lp = guarded();
    let (from, source, closes) = accepted(&mut lp, plain, |on| on);
    let (to, sink, sink_closes) = accepted(&mut lp, plain, |on| on);
    let done = Log::default();
    let d = done.clone();
    lp.pipe(from, to, move |_, result| d.add(result.unwrap_err().to_string())).unwrap();
    write_all(&source, &[7; 100_000]);
    turn_until(&mut lp, |lp| lp.socket(to).bytes_written() == 100_000);
    reset(source);
    lp.run().unwrap();
    assert_eq!(done.lines().len(), 1);
    assert!(done.lines()[0].contains("ECONNRESET"), "{:?}", done.lines());
    assert_eq!(seen(&sink), (100_000, Err(ErrorKind::ConnectionReset)));
    assert_eq!(sink_closes.borrow()[0].reset, Reset::Sent);
    assert_eq!(closes.borrow().len(), 1);
}

/// Both directions of a proxy: what is left of the other direction is cut off, too.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_broken_proxy_resets_both_peers() {
    let mut lp = guarded();
    let (a, a_peer, _) = accepted(&mut lp, plain, |on| on);
    let (b, b_peer, _) = accepted(&mut lp, plain, |on| on);
    for (from, to) in [(a, b), (b, a)] {
        lp.pipe(from, to, |_, _| {}).unwrap();
    }
    write_all(&a_peer, b"up");
    turn_until(&mut lp, |lp| lp.socket(b).bytes_written() == 2);
    reset(b_peer);
    lp.run().unwrap();
    assert_eq!(seen(&a_peer), (0, Err(ErrorKind::ConnectionReset)));
}

/// Our side had ended in good order: its bytes may still be on their way, and stay so.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_side_that_has_ended_is_not_reset() {
    let mut lp = guarded();
    let (from, source, closes) = accepted(&mut lp, |o| o.allow_half_open(true), |on| on);
    // It has said all it has to say, and is the source of a pipe that breaks.
    let _ = lp.socket(from).end_with(vec![1; 100_000]);
    let (to, sink, _) = accepted(&mut lp, plain, |on| on);
    turn_until(&mut lp, |lp| lp.socket(from).buffered() == 0);
    lp.pipe(from, to, |_, _| {}).unwrap();
    write_all(&source, b"half");
    turn_until(&mut lp, |lp| lp.socket(to).bytes_written() == 4);
    reset(sink);
    // Nothing goes to the reset sink before its source says more.
    lp.run().unwrap();
    assert_eq!(seen(&source), (100_000, Ok(())));
    assert_eq!(closes.borrow()[0].reset, Reset::No);
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_deadline_with_bytes_unsent_resets() {
    for (options, which) in [
        ((|o: ListenOptions| o.lifetime(30 * MS)) as fn(_) -> _, Timeout::Lifetime),
        (|o: ListenOptions| o.idle_timeout(30 * MS), Timeout::Idle),
    ] {
        for bytes in [16 << 20, 4] {
            let mut lp = guarded();
            let (key, peer, closes) = accepted(&mut lp, options, |on| on);
            let _ = lp.socket(key).write(Bytes::from(vec![0; bytes]));
            lp.run().unwrap();
            let close = &closes.borrow()[0];
            assert!(matches!(close.reason, Reason::TimedOut(w, _) if w == which), "{close}");
            let end = seen(&peer).1;
            if close.unsent > 0 {
                assert_eq!((close.reset, end), (Reset::Sent, Err(ErrorKind::ConnectionReset)));
            } else {
                assert_eq!((close.reset, end), (Reset::No, Ok(())), "nothing is missing");
            }
            assert_eq!(close.unsent > 0, bytes > 4);
        }
    }
}

/// An error of a filter, with bytes that wait.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_filter_that_fails_with_bytes_unsent_resets() {
    struct Fails;
    impl Filter for Fails {
        fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
            Err("not a record".into())
        }
        fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            out.down.extend_from_slice(user);
            Ok(user.len())
        }
    }
    let mut lp = guarded();
    let (key, peer, closes) = accepted(&mut lp, plain, |on| on);
    lp.socket(key).set_filter(Fails);
    assert_eq!(lp.socket(key).write(&vec![0; 16 << 20][..]), Flow::Full);
    write_all(&peer, b"?");
    lp.run().unwrap();
    assert_eq!(seen(&peer).1, Err(ErrorKind::ConnectionReset));
    assert!(closes.borrow()[0].unsent > 0);
}

/// All is written and our side has ended: a panic of `on_finish` loses nothing of it.
#[test]
fn a_panic_after_our_end_does_not_reset() {
    let mut lp = guarded();
    let (key, peer, closes) =
        accepted(&mut lp, plain, |on| on.finish(|_| std::panic::panic_any("on purpose")));
    let _ = lp.socket(key).end_with(vec![3; 200_000]);
    peer.shutdown(Shutdown::Write).unwrap();
    let reader = std::thread::spawn(move || seen(&peer));
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run().unwrap()));
    assert_eq!(*run.unwrap_err().downcast_ref::<&str>().unwrap(), "on purpose");
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), (200_000, Ok(())));
    let close = &closes.borrow()[0];
    assert!(matches!(close.reason, Reason::Panicked) && close.reset == Reset::No, "{close}");
}

/// The user's own `destroy` is an ordinary end, as in Node; `reset` says it is none.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn the_user_chooses() {
    for (reset, sent) in [(false, Reset::No), (true, Reset::Sent)] {
        let mut lp = guarded();
        let (key, peer, closes) = accepted(&mut lp, plain, |on| on);
        let mut s = lp.socket(key);
        if reset {
            s.reset()
        } else {
            s.destroy()
        }
        lp.run().unwrap();
        assert_eq!(seen(&peer).1.is_err(), reset);
        assert_eq!(closes.borrow()[0].reset, sent);
    }
}

/// Sends what is left, at the pace of the peer, and then its end.
fn fill(left: &mut usize, s: &mut SocketCx<'_>) {
    while *left > 0 {
        *left -= 1;
        if s.write(&[9; 65_536]) != Flow::Ready {
            return;
        }
    }
    s.end();
}

/// A proxy's downloads outlive the shutdown of its server.
#[test]
fn a_shutdown_lets_pipes_end_first() {
    const CHUNKS: usize = 24 << 4;
    let mut lp = guarded();
    let upstream = lp
        .listen("127.0.0.1:0", |conn| {
            let on = On::with(CHUNKS).data(|left, s, _| fill(left, s)).drain(fill);
            conn.accept(on.close(|_, _, close| assert!(!close.reason.is_error(), "{close}")));
        })
        .unwrap();
    let at = lp.server(upstream).local_addr().unwrap();
    let pipes = Log::default();
    let p = pipes.clone();
    let proxy = lp
        .listen("127.0.0.1:0", move |conn| {
            let mut s = conn.accept(On::new());
            let (a, b) = (s.key(), s.connect(at, On::new()));
            for (from, to) in [(a, b), (b, a)] {
                let p = p.clone();
                s.pipe(from, to, move |_, result| p.add(format!("{result:?}"))).unwrap();
            }
        })
        .unwrap();
    let c = client(lp.server(proxy).local_addr().unwrap());
    write_all(&c, b"get");
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_written > 1 << 20);
    lp.server(proxy).shutdown(DEADLINE).unwrap();
    lp.server(upstream).close().unwrap();
    let reader = std::thread::spawn(move || {
        let seen = seen(&c);
        c.shutdown(Shutdown::Write).unwrap();
        seen
    });
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), (CHUNKS * 65_536, Ok(())));
    assert_eq!(pipes.lines(), ["Ok(())", "Ok(())"]);
}

/// ... or until the grace, which cuts off, and says so.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn the_grace_ends_a_pipe_that_is_not_done() {
    let mut lp = guarded();
    let (up, peer, _) = accepted(&mut lp, plain, |on| on);
    let proxy = lp
        .listen("127.0.0.1:0", move |conn| {
            let mut s = conn.accept(On::new());
            let to = s.key();
            s.pipe(up, to, |_, result| assert!(result.is_err())).unwrap();
        })
        .unwrap();
    let c = client(lp.server(proxy).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(proxy).stats().unwrap().accepted == 1);
    write_all(&peer, b"some");
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_written == 4);
    lp.server(proxy).shutdown(30 * MS).unwrap();
    lp.run().unwrap();
    assert_eq!(seen(&c), (4, Err(ErrorKind::ConnectionReset)), "the pipe was not done");
}

/// A handler of one's own is asked all the same.
#[test]
fn on_shutdown_of_a_piped_connection_is_called() {
    struct Asked(Rc<Cell<u32>>);
    impl Handler for Asked {
        fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
            self.0.set(self.0.get() + 1);
            s.destroy();
        }
    }
    let mut lp = guarded();
    let asked = Rc::new(Cell::new(0));
    let a = asked.clone();
    let (up, _peer, _) = accepted(&mut lp, plain, |on| on);
    let proxy = lp
        .listen("127.0.0.1:0", move |conn| {
            let mut s = conn.accept(Asked(a.clone()));
            let to = s.key();
            s.pipe(up, to, |_, _| {}).unwrap();
        })
        .unwrap();
    let _c = client(lp.server(proxy).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(proxy).stats().unwrap().accepted == 1);
    lp.server(proxy).shutdown(DEADLINE).unwrap();
    lp.run().unwrap();
    assert_eq!(asked.get(), 1);
}

/// The peer ended first, so our FIN is the close; until `on_finish` returns the socket can be
/// asked.
#[test]
fn the_socket_can_be_asked_until_its_end_was_told() {
    let mut lp = guarded();
    let asked = Rc::new(Cell::new(0));
    let (a, b) = (asked.clone(), asked.clone());
    let ask = move |s: &mut SocketCx<'_>, asked: &Cell<u32>| {
        assert_eq!(s.state(), Ok(()));
        s.local_addr().unwrap();
        s.socket_option(|o| o.tcp_nodelay()).unwrap();
        asked.set(asked.get() + 1);
    };
    let on = |on: On| {
        on.end(|s| {
            let _ = s.write_id("bye", 1);
        })
        .written(move |s, _, _| ask(s, &a))
        .finish(move |s| ask(s, &b))
    };
    let (_, peer, closes) = accepted(&mut lp, plain, on);
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(asked.get(), 2);
    assert_eq!(seen(&peer), (3, Ok(())));
    assert!(matches!(closes.borrow()[0].reason, Reason::Ended));
}

/// A filter fails in the middle of what a pipe sends, either way: the rest is missing.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_filter_that_fails_under_a_pipe_resets() {
    struct Picky;
    impl Filter for Picky {
        fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
            Err("not a record".into())
        }
        fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            if user.contains(&b'!') {
                return Err("not to be said".into());
            }
            out.down.extend_from_slice(user);
            Ok(user.len())
        }
    }
    for outbound in [false, true] {
        let mut lp = guarded();
        let (from, source, _) = accepted(&mut lp, plain, |on| on);
        let (to, sink, closes) = accepted(&mut lp, plain, |on| on);
        lp.socket(to).set_filter(Picky);
        lp.pipe(from, to, |_, result| assert!(result.is_err())).unwrap();
        write_all(&source, b"first half");
        turn_until(&mut lp, |lp| lp.socket(to).bytes_written() == 10);
        if outbound {
            write_all(&source, b"second half!");
        } else {
            write_all(&sink, b"?");
        }
        lp.run().unwrap();
        assert_eq!(seen(&sink), (10, Err(ErrorKind::ConnectionReset)), "outbound: {outbound}");
        assert_eq!(closes.borrow()[0].reset, Reset::Sent);
    }
}
