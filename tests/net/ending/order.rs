//! The order of events of one connection, from both sides.

use bytes::Bytes;
use tidegate::net::{NetEvent, SocketEvent};
use tidegate::prelude::*;

use crate::one_connection::{logged, server};
use crate::support::*;

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
            let _ = s.write(Bytes::from(vec![7u8; big]));
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

/// The observer gets what the handlers get, with phase and turn.
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
