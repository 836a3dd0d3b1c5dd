//! Bytes that a handler gives back: they come again, before any from the kernel and before the
//! end, to whom the bytes are for by then.

use std::net::Shutdown;

use tidegate::net::*;

use crate::support::*;

fn add(log: &Log, chunk: &[u8]) {
    log.add(String::from_utf8_lossy(chunk));
}

/// Changes a bit of what comes in.
struct Mask;
impl Filter for Mask {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.up.extend(wire.iter().map(|b| b ^ 1));
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend(user);
        Ok(user.len())
    }
}

/// Paused: nothing comes until the resume, though the kernel has more, and the end.
#[test]
fn they_wait_for_the_resume() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, b"high water");
    let log = Log::default();
    let on = On::with(log.clone()).end(|log, _| log.add("end")).data(|log, s, chunk| {
        add(log, chunk);
        if chunk.len() == 10 {
            s.pause();
            assert!(s.is_paused());
            s.unread(&chunk[5..]);
            assert!(s.is_paused());
        }
    });
    let key = lp.adopt(ours, on).unwrap();
    turn_until(&mut lp, |_| log.has("high water"));
    write_all(&peer, b" at noon");
    peer.shutdown(Shutdown::Write).unwrap();
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    lp.socket(key).resume();
    assert!(!lp.socket(key).is_paused());
    // Taken back before it was due.
    lp.socket(key).pause();
    lp.run_nowait().unwrap();
    assert_eq!(log.lines(), ["high water"]);
    lp.socket(key).unread(b"the ");
    lp.socket(key).resume();
    lp.socket(key).resume();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["high water", "the water", " at noon", "end"]);
}

/// Not paused: they come again at once, before what the kernel has. `on_data` is not called from
/// inside of `unread`.
#[test]
fn they_come_before_what_the_kernel_has() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, b"abc");
    let log = Log::default();
    let on = On::with(log.clone()).data(move |log, s, chunk| {
        add(log, chunk);
        if log.lines().len() == 1 {
            write_all(&peer, b"def");
            peer.shutdown(Shutdown::Write).unwrap();
        }
        s.unread(&chunk[1..]);
    });
    lp.adopt(ours, on).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["abc", "bc", "c", "def", "ef", "f"]);
}

/// A handler that gives back everything is called once in each pass, and starves nobody.
#[test]
fn a_handler_that_gives_back_everything_starves_nobody() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, b"x");
    let log = Log::default();
    let l = log.clone();
    let key = lp.adopt(
        ours,
        On::new().data(move |s, chunk| {
            l.add("data");
            s.unread(chunk);
        }),
    );
    turn_until(&mut lp, |_| log.has("data"));
    let before = log.lines().len();
    for _ in 0..10 {
        lp.run_once().unwrap();
    }
    let calls = log.lines().len() - before;
    assert!((10..=20).contains(&calls), "{calls} calls in 10 turns");
    lp.socket(key.unwrap()).destroy();
    lp.run().unwrap();
}

/// Nothing is given back to a connection that is not made, that has ended or is over.
#[test]
fn at_bad_moments() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    drop(peer);
    let log = Log::default();
    let l = log.clone();
    let on = On::with(log.clone()).data(|log, _, chunk| add(log, chunk)).end(|log, s| {
        log.add("end");
        s.unread(b"late");
    });
    let key = lp.adopt(
        ours,
        on.close(|log, s, _| {
            log.add("close");
            s.unread(b"later");
        }),
    );
    let key = key.unwrap();
    let refused =
        lp.connect(closed_port(), On::new().data(move |_, _| l.add("data")).close(|_, _| {}));
    lp.socket(refused).unread(b"early");
    lp.run().unwrap();
    lp.socket(key).unread(b"latest");
    lp.run().unwrap();
    assert_eq!(log.lines(), ["end", "close"]);
}

/// Closed while they wait: they are gone with the connection.
#[test]
fn a_close_drops_them() {
    for paused in [true, false] {
        let mut lp = guarded();
        let (peer, ours) = pair();
        write_all(&peer, b"abc");
        let log = Log::default();
        let on = On::with(log.clone()).data(move |log, s, chunk| {
            add(log, chunk);
            if paused {
                s.pause();
            }
            s.unread(chunk);
            s.destroy();
            s.resume();
        });
        lp.adopt(ours, on).unwrap();
        lp.run().unwrap();
        assert_eq!(log.lines(), ["abc"]);
    }
}

/// A filter's bytes are given back above the filter.
#[test]
fn behind_a_filter() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, &[b'a' ^ 1, b'b' ^ 1, b'c' ^ 1]);
    drop(peer);
    let log = Log::default();
    let on = On::with(log.clone()).data(|log, s, chunk| {
        add(log, &chunk[..1]);
        s.unread(&chunk[1..]);
    });
    let key = lp.adopt(ours, on).unwrap();
    lp.socket(key).set_filter(Mask);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["a", "b", "c"]);
}

/// What was given back before a filter is set goes through it, as what follows does (STARTTLS): a
/// peer cannot slip bytes past the filter by sending them early.
#[test]
fn a_filter_set_later_gets_them() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, &[b'S', b'a' ^ 1, b'b' ^ 1]);
    let log = Log::default();
    let on = On::with(log.clone()).data(|log, s, chunk| {
        if chunk[0] == b'S' {
            s.unread(&chunk[1..]);
            s.set_filter(Mask);
            assert_eq!(s.memory_held().min(2), 2, "they wait in front of the handler");
        } else {
            add(log, chunk);
        }
    });
    lp.adopt(ours, on).unwrap();
    turn_until(&mut lp, |_| log.has("ab"));
    write_all(&peer, &[b'c' ^ 1]);
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["ab", "c"]);
}
