//! The connections of a protocol: no call for one runs a function of the protocol.

use std::cell::Cell;
use std::io::IoSlice;
use std::net::Shutdown;
use std::time::Duration;

use tidegate::net::Protocol;
use tidegate::prelude::*;

use crate::support::*;

thread_local! {
    /// How often a function of a protocol ran.
    static RUNS: Cell<u32> = const { Cell::new(0) };
}

fn count() {
    RUNS.set(RUNS.get() + 1);
}

/// Counts every call but `replaced`: that one is an exception to law 1.
const COUNTED: Protocol = Protocol::new("counted")
    .connect(|_, _, _| count())
    .data(|_, _, _, _| count())
    .end(|_, _, _| count())
    .hangup(|_, _, _, _| count())
    .drain(|_, _, _| count())
    .written(|_, _, _, _, _| count())
    .finish(|_, _, _| count())
    .timeout(|_, _, _| count())
    .timer(|_, _, _, _| count())
    .writable(|_, _, _| count())
    .close(|_, _, _, _| count())
    .describe(|_, _, _| {
        count();
        String::new()
    });
static PUSH: Protocol = COUNTED;
static PULL: Protocol = COUNTED.readable(|_, _, _| count());

fn ignore<T>(_: T) {}

const CALLS: &[fn(&mut SocketCx<'_>)] = &[
    |s| ignore(s.write(b"x")),
    |s| ignore(s.write_id(vec![0; 200_000], 1)),
    |s| ignore(s.write_now(&[IoSlice::new(b"x")])),
    |s| ignore(s.write_gathered(&[b"x".into(), b"y".into()])),
    |s| ignore(s.read_now(&mut [0; 2])),
    |s| s.unread(b"back"),
    |s| s.pause(),
    |s| s.resume(),
    |s| s.cork(),
    |s| s.uncork(),
    |s| s.set_idle_timeout(Duration::from_nanos(1)),
    |s| s.set_lifetime(Duration::from_nanos(1)),
    |s| s.set_linger_timeout(Duration::from_nanos(1)),
    |s| s.set_timer(1, Duration::ZERO),
    |s| s.clear_timer(1),
    |s| ignore(s.peer_state()),
    |s| ignore(s.queues()),
    |s| s.set_handler(On::new().close(|_, _| {})),
    |s| ignore(s.set_protocol(&PUSH, 1)),
    |s| s.end(),
    |s| ignore(s.end_with(b"x")),
    |s| s.end_and_drain(1, DEADLINE, DEADLINE),
    |s| s.destroy(),
    |s| s.destroy_with("why"),
    |s| s.reset(),
    |s| s.time_out(),
    |s| {
        let key = s.key();
        ignore(s.cx().close(key));
    },
];

/// For a connection that is being made, one that is new, and one with bytes and an end to read:
/// each call first, and then all in their order; from outside of a run, and inside.
#[test]
fn calls_for_connections_of_protocols() {
    fn calls(cx: &mut Cx<'_>, key: SocketKey, first: usize) {
        for n in std::iter::once(first).chain(0..CALLS.len()) {
            let before = RUNS.get();
            CALLS[n](&mut cx.socket(key));
            assert_eq!(RUNS.get(), before, "call {n}, the first was {first}");
        }
    }
    let mut lp = guarded();
    let refused = closed_port();
    for n in 0..CALLS.len() * 12 {
        let (first, state, inside) = (n / 12, n % 3, n % 2 == 0);
        let protocol = if n % 12 < 6 { &PUSH } else { &PULL };
        let (peer, ours) = pair();
        let end = ours.try_clone().unwrap();
        let key = match state {
            0 => lp.connect_as(refused, protocol, 0).unwrap(),
            _ => lp.adopt_as(ours, protocol, 0).unwrap(),
        };
        if state == 2 {
            lp.run_nowait().unwrap();
            write_all(&peer, b"bytes");
            peer.shutdown(Shutdown::Write).unwrap();
            arrived(&end);
        }
        match inside {
            true => lp.next_tick(move |cx| calls(cx, key, first)),
            false => calls(&mut lp.cx(), key, first),
        }
        lp.run().unwrap();
    }
    assert!(RUNS.get() > 0, "they do run");
}
