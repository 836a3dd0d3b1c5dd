//! Every event of connections, servers and pipes comes when it should: a table of scenarios
//! over real sockets, and the events that each must have.
#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::*;
use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::stream::StreamEvent;

use crate::rlimit;
use crate::rlimit::{next_descriptor, set_limit};
use crate::support::*;

/// The names of what was told.
#[derive(Clone, Default)]
struct Names(Rc<RefCell<Vec<&'static str>>>);

impl Observer for Names {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        let name = match event {
            Event::Turn { .. } => "turn",
            Event::TurnEnd { .. } => "turn end",
            Event::Poll { .. } => "poll",
            Event::Polled { .. } => "polled",
            Event::PhaseEnd { .. } => "phase end",
            Event::Ready { .. } => "ready",
            Event::Calling { .. } => "calling",
            Event::Called { .. } => "called",
            Event::Layer(e) => match (e.as_any().downcast_ref(), e.as_any().downcast_ref()) {
                (Some(NetEvent::Server(of, e)), _) => {
                    assert!(!of.local.to_string().is_empty() && !e.to_string().is_empty());
                    e.name()
                }
                (Some(NetEvent::Socket(of, e)), _) => {
                    let made = matches!(e, SocketEvent::Accepted | SocketEvent::Connected { .. });
                    assert!(!made || of.local.is_some() && of.remote.is_some(), "{of:?} {e}");
                    assert!(!e.to_string().is_empty());
                    e.name()
                }
                (_, Some(StreamEvent::Pipe(_, e))) => e.name(),
                _ => panic!("what is {e}?"),
            },
            other => panic!("what is {other}?"),
        };
        self.0.borrow_mut().push(name);
    }
}

/// A server for one connection.
fn one(lp: &mut Loop, on: impl Fn() -> On + 'static) -> std::net::SocketAddr {
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        conn.accept(on());
    });
    let server = server.unwrap();
    lp.server(server).local_addr().unwrap()
}

fn echo(lp: &mut Loop) {
    let at = one(lp, || On::new().data(|s, chunk| assert_eq!(s.write(chunk), Flow::Ready)));
    let key = lp.connect(at, On::new().data(|s, _| s.end()));
    assert_eq!(lp.socket(key).write(b"x"), Flow::Ready);
    lp.run().unwrap();
}

fn lookup(lp: &mut Loop) {
    let at = one(lp, On::new);
    let know = |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| {
        answer.give(cx, Ok(vec![[127, 0, 0, 1].into()]));
    };
    let to = ConnectOptions::new(("gate.example", at.port())).lookup(know);
    lp.connect(to, On::new().connect(|s| s.end()));
    lp.run().unwrap();
}

fn no_such_name(lp: &mut Loop) {
    let not_found = |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| {
        answer.give(cx, Err(LookupFault::NotFound.into()));
    };
    let to = ConnectOptions::new("no-such-host.example:80").lookup(not_found);
    lp.connect(to, On::new().close(|_, _| {}));
    lp.run().unwrap();
}

fn refused(lp: &mut Loop) {
    lp.connect(closed_port(), On::new().close(|_, _| {}));
    lp.run().unwrap();
}

fn tried_again(lp: &mut Loop) {
    let twice = BackOff::new(2).first_delay(Duration::from_millis(1));
    lp.connect(ConnectOptions::new(closed_port()).back_off(twice), On::new().close(|_, _| {}));
    lp.run().unwrap();
}

/// The peer reads late: the queue fills, and drains; and the reader pauses.
fn back_pressure(lp: &mut Loop) {
    let at = one(lp, || {
        On::new()
            .data(|s, _| {
                let big = bytes::Bytes::from_static(&[7; 12 << 20]);
                assert_eq!(s.write(big), Flow::Full);
            })
            .drain(|s| s.end())
    });
    let client = On::new().connect(|s| {
        let _ = s.write(b"x");
        let key = s.key();
        s.pause();
        s.timer(Duration::from_millis(20), move |cx, _| cx.socket(key).resume());
    });
    lp.connect(at, client);
    lp.run().unwrap();
}

fn pipe(lp: &mut Loop) {
    // Both ends of it are connections of this loop's; a peer of each is beside it.
    let (from_peer, from) = pair();
    let (to_peer, to) = pair();
    let from = lp.adopt(from, On::new().close(|_, _| {})).unwrap();
    let to = lp.adopt(to, On::new().close(|_, _| {})).unwrap();
    lp.pipe(from, to, |_, result| result.unwrap()).unwrap();
    let write = std::thread::spawn(move || write_all(&from_peer, &[7; 12 << 20]));
    let (is_full, full) = std::sync::mpsc::channel();
    lp.interval(Duration::from_millis(1), move |cx, me| {
        if cx.socket(to).metrics().is_ok_and(|m| m.full) {
            is_full.send(()).unwrap();
            cx.close(me).unwrap();
        }
    });
    let read = std::thread::spawn(move || {
        full.recv().unwrap();
        assert_eq!(read_to_end(&to_peer).len(), 12 << 20);
    });
    lp.run().unwrap();
    write.join().unwrap();
    read.join().unwrap();
}

fn pipe_breaks(lp: &mut Loop) {
    let (from_peer, from) = pair();
    let (to_peer, to) = pair();
    let from = lp.adopt(from, On::new().close(|_, _| {})).unwrap();
    let to = lp.adopt(to, On::new().close(|_, _| {})).unwrap();
    lp.pipe(from, to, |_, result| assert!(result.is_err())).unwrap();
    reset(to_peer);
    lp.run().unwrap();
    drop(from_peer);
}

fn reset_by_us(lp: &mut Loop) {
    let at = one(lp, || On::new().data(|s, _| s.reset()));
    let key = lp.connect(at, On::new().close(|_, _| {}));
    assert_eq!(lp.socket(key).write(b"x"), Flow::Ready);
    lp.run().unwrap();
}

fn idle(lp: &mut Loop) {
    let (_peer, ours) = pair();
    let key = lp.adopt(ours, On::new().close(|_, _| {})).unwrap();
    lp.socket(key).set_idle_timeout(Duration::from_millis(5));
    lp.run().unwrap();
}

fn rejected(lp: &mut Loop) {
    let server = lp.listen("127.0.0.1:0", |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        conn.reject();
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    lp.connect(at, On::new().close(|_, _| {}));
    lp.run().unwrap();
}

fn detached(lp: &mut Loop) {
    let server = lp.listen("127.0.0.1:0", |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        drop(conn.detach().unwrap());
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    lp.connect(at, On::new().close(|_, _| {}));
    lp.run().unwrap();
}

fn paused_server(lp: &mut Loop) {
    let server = lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    lp.server(server).pause().unwrap();
    lp.server(server).resume().unwrap();
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// Two clients, and room for one: the second is dropped, or waits.
fn at_the_limit(lp: &mut Loop, beyond: AtLimit) {
    let options = ListenOptions::new("127.0.0.1:0").max_connections(1, beyond);
    let server = lp.listen(options, |conn| {
        conn.accept(On::new().data(|s, _| s.end()));
    });
    let server = server.unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let first = client(at);
    let second = client(at);
    turn_until(lp, |lp| {
        let stats = lp.server(server).stats().unwrap();
        stats.accepted == 2 || stats.connections == 1 && beyond == AtLimit::Hold
    });
    lp.run_nowait().unwrap();
    drop(first);
    turn_until(lp, |lp| lp.server(server).stats().unwrap().accepted == 2);
    drop(second);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

fn blocked(lp: &mut Loop) {
    let mut list = BlockList::new();
    list.add([127, 0, 0, 1].into());
    let options = ListenOptions::new("127.0.0.1:0").block_list(list);
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _client = client(at);
    turn_until(lp, |lp| lp.server(server).stats().unwrap().blocked == 1);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

fn limited(lp: &mut Loop) {
    let options = ListenOptions::new("127.0.0.1:0").max_per_peer(0);
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    let _client = client(lp.server(server).local_addr().unwrap());
    turn_until(lp, |lp| lp.server(server).stats().unwrap().limited == 1);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

fn proxied(lp: &mut Loop) {
    let expected = ProxyProtocol::new("127.0.0.1".parse().unwrap());
    let options = ListenOptions::new("127.0.0.1:0").proxy_protocol(expected);
    let server = lp.listen(options, |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        conn.accept(On::new());
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let header = ProxyHeader::v1("192.0.2.7:1".parse().unwrap(), at);
    lp.connect(ConnectOptions::new(at).proxy_header(header), On::new().connect(|s| s.end()));
    lp.run().unwrap();
}

fn no_descriptors(lp: &mut Loop, policy: OutOfDescriptors) {
    let options = ListenOptions::new("127.0.0.1:0").out_of_descriptors(policy);
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _client = client(at);
    let before = set_limit(next_descriptor());
    turn_until(lp, |lp| {
        let stats = lp.server(server).stats().unwrap();
        stats.held + stats.shed > 0
    });
    set_limit(before);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// Somebody shuts the listening socket down.
fn accept_fails(lp: &mut Loop) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = listener.try_clone().unwrap();
    let server = lp.listen(listener, |conn| conn.reject()).unwrap();
    socket2::SockRef::from(&other).shutdown(std::net::Shutdown::Both).unwrap();
    turn_until(lp, |lp| lp.server(server).stats().unwrap().errors > 0);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

type Scenario = (&'static str, fn(&mut Loop), &'static [&'static str]);

const SCENARIOS: &[Scenario] = &[
    (
        "echo",
        echo,
        &[
            "turn",
            "turn end",
            "poll",
            "polled",
            "phase end",
            "ready",
            "calling",
            "called",
            "listening",
            "accept",
            "accept batch",
            "connect start",
            "connect",
            "first write",
            "first read",
            "end",
            "finish",
            "close",
            "closing",
            "closed",
        ],
    ),
    ("lookup", lookup, &["lookup start", "lookup", "connect start", "connect"]),
    ("no such name", no_such_name, &["lookup start", "lookup failed", "close"]),
    ("refused", refused, &["connect start", "attempt failed", "close"]),
    ("tried again", tried_again, &["attempt failed", "try failed", "connect start", "close"]),
    ("back-pressure", back_pressure, &["queued", "full", "drain", "pause", "resume"]),
    (
        "pipe",
        pipe,
        &[
            "adopt",
            "piped into",
            "piped from",
            "pipe opened",
            "pipe full",
            "pipe flowing",
            "pipe ending",
            "pipe closed",
        ],
    ),
    ("a pipe breaks", pipe_breaks, &["pipe failing", "pipe closed", "reset"]),
    ("reset by us", reset_by_us, &["reset", "close"]),
    ("idle", idle, &["timeout", "close"]),
    ("rejected", rejected, &["accept", "reject"]),
    ("detached", detached, &["accept", "detach"]),
    ("a paused server", paused_server, &["paused", "resumed"]),
    ("dropped", |lp| at_the_limit(lp, AtLimit::Drop), &["dropped"]),
    ("full", |lp| at_the_limit(lp, AtLimit::Hold), &["full", "resumed"]),
    ("blocked", blocked, &["blocked"]),
    ("limited", limited, &["limited"]),
    ("proxied", proxied, &["proxied", "filter left", "close"]),
    ("held", |lp| no_descriptors(lp, OutOfDescriptors::Hold), &["held"]),
    ("shed", |lp| no_descriptors(lp, OutOfDescriptors::Shed), &["shed"]),
    ("accept fails", accept_fails, &["accept failed"]),
];

/// A connection's events end with one that is the last.
fn one_end_each(name: &str, told: &[&str]) {
    let count = |names: &[&str]| told.iter().filter(|t| names.contains(t)).count();
    let begun = count(&["accept", "adopt", "lookup start"]);
    let clients = count(&["connect start"]);
    let ended = count(&["close", "reject", "detach"]);
    assert!(begun <= ended && ended <= begun + clients, "{name}: {told:?}");
}

#[test]
fn every_event_comes() {
    let _alone = rlimit::alone();
    let mut all = BTreeSet::new();
    for (name, run, expected) in SCENARIOS {
        let mut lp = guarded();
        let names = Names::default();
        lp.observe(names.clone());
        run(&mut lp);
        let told = names.0.borrow();
        for wanted in *expected {
            assert!(told.contains(wanted), "{name}: no {wanted} in {told:?}");
        }
        one_end_each(name, &told);
        all.extend(told.iter().copied());
    }
    // No event comes that the table does not expect somewhere.
    let expected = SCENARIOS.iter().flat_map(|(_, _, names)| names.iter().copied());
    assert_eq!(all, expected.collect(), "the table is complete");
}
