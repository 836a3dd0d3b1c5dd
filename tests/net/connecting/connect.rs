//! Making connections: names, attempts beside each other, our own address, the deadline,
//! and giving up at every stage.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

pub(super) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(super) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A server that says hello and ends, once.
pub(super) fn hello(lp: &mut Loop, at: &str) -> Option<SocketAddr> {
    let server = lp
        .listen(at, |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let _ = conn.accept(On::new()).end_with("hello");
        })
        .ok()?;
    Some(lp.server(server).local_addr().unwrap())
}

/// Logs the callbacks of a connection.
pub(super) fn told(log: &Log) -> On {
    let say = |what: &'static str| {
        let log = log.clone();
        move |_: &mut SocketCx<'_>| log.add(what)
    };
    let (data, close) = (log.clone(), log.clone());
    On::new()
        .connect(say("connect"))
        .data(move |_, chunk| data.add(String::from_utf8_lossy(chunk)))
        .end(say("end"))
        .close(move |_, c| close.add(format!("close: {c}")))
}

pub(super) const WELL: [&str; 4] = ["connect", "hello", "end", "close: both sides ended"];

/// A lookup that knows these addresses, and how often it was asked.
pub(super) fn knows(
    addresses: &[IpAddr],
) -> (impl Fn(&mut Cx<'_>, &str, LookupAnswer) + 'static, Rc<Cell<u32>>) {
    let (addresses, asked) = (addresses.to_vec(), Rc::new(Cell::new(0)));
    let a = asked.clone();
    let lookup = move |cx: &mut Cx<'_>, host: &str, answer: LookupAnswer| {
        assert_eq!(host, "tide.example");
        a.set(a.get() + 1);
        answer.give(cx, Ok(addresses.clone()));
    };
    (lookup, asked)
}

pub(super) fn name(port: u16) -> ConnectOptions {
    ConnectOptions::new(("tide.example", port))
}

#[test]
#[cfg(feature = "lookup")]
fn a_name_is_looked_up_by_the_system() {
    let mut lp = guarded();
    let log = Log::default();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let at = hello(&mut lp, "127.0.0.1:0").unwrap();
    lp.connect(("localhost", at.port()), told(&log));
    assert!(log.lines().is_empty());
    lp.run().unwrap();
    assert_eq!(log.lines(), WELL);
    let looked =
        |e: &&(u64, NetEvent)| matches!(&e.1, NetEvent::Socket(_, SocketEvent::LookedUp { .. }));
    assert_eq!(trace.net().iter().filter(looked).count(), 1);
}

/// dns-lookup-skip: a number needs no lookup.
#[test]
fn a_number_skips_the_lookup() {
    let mut lp = guarded();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let at = hello(&mut lp, "127.0.0.1:0").unwrap();
    let log = Log::default();
    lp.connect(("127.0.0.1", at.port()), told(&log));
    lp.run().unwrap();
    assert_eq!(log.lines(), WELL);
    let asked = |e: &NetEvent| matches!(e, NetEvent::Socket(_, SocketEvent::LookupStart { .. }));
    assert!(!trace.net().iter().any(|(_, e)| asked(e)));
}

/// Many connections to one name at once ask once; each gets the answer.
#[test]
#[cfg(feature = "lookup")]
fn lookups_of_one_name_are_one() {
    let mut lp = guarded();
    let failed = Rc::new(Cell::new(0));
    for _ in 0..20 {
        let f = failed.clone();
        let close = move |_: &mut SocketCx<'_>, close: Close| {
            let e = close.reason.error().unwrap();
            assert_eq!(e.stage(), Stage::Lookup);
            assert_eq!(e.name(), Some("no-such-name.invalid:80"));
            assert!(matches!(e.code(), Some("ENOTFOUND" | "EAI_AGAIN")), "{close}");
            assert!(close.to_string().starts_with("lookup of no-such-name.invalid:80 failed"));
            f.set(f.get() + 1);
        };
        lp.connect("no-such-name.invalid:80", On::new().close(close));
    }
    lp.run().unwrap();
    assert_eq!(failed.get(), 20);
    assert_eq!(lp.work_stats().done, 1);
}

/// dns-custom-lookup: called later, once; what it finds is used.
#[test]
fn a_lookup_of_the_users_own() {
    let mut lp = guarded();
    let at = hello(&mut lp, "127.0.0.1:0").unwrap();
    let log = Log::default();
    let (lookup, asked) = knows(&[V4]);
    lp.connect(name(at.port()).lookup(lookup), told(&log));
    assert_eq!(asked.get(), 0, "not inside the call");
    lp.run().unwrap();
    assert_eq!((log.lines(), asked.get()), (WELL.map(String::from).to_vec(), 1));
}

/// A lookup that answers later, with nothing, with an error, twice or never.
#[test]
fn lookups_that_go_wrong() {
    let mut lp = guarded();
    let log = Log::default();
    lp.connect(name(80).lookup(|cx, _, answer| answer.give(cx, Ok(vec![]))), told(&log));
    let fails = |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| {
        let mut answer = Some(answer);
        let later = move |cx: &mut Cx<'_>, _| {
            answer.take().unwrap().give(cx, Err(LookupFault::TryAgain.into()));
        };
        cx.timer(Duration::from_millis(1), later);
    };
    lp.connect(name(80).lookup(fails), told(&log));
    lp.connect(name(80).family(Family::V6).lookup(knows(&[V4]).0), told(&log));
    let never = name(80).lookup(|_, _, _| {}).connect_timeout(Duration::from_millis(20));
    lp.connect(never, told(&log));
    lp.run().unwrap();
    let lines = log.lines();
    let found = |what: &str| lines.iter().filter(|l| l.contains(what)).count();
    assert_eq!(found("close: lookup of tide.example:80 failed after"), 3, "{lines:?}");
    assert_eq!((found("(ENOTFOUND)"), found("(EAI_AGAIN)")), (2, 1));
    assert_eq!(found("close: connect to tide.example:80 timed out after "), 1, "{lines:?}");
    assert!(lines.last().unwrap().ends_with("(connect timeout)"));
}

/// Our own address and port; a family that does not match; a port that is taken.
#[test]
fn our_own_address() {
    let mut lp = guarded();
    let peers = Rc::new(RefCell::new(Vec::new()));
    let p = peers.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            p.borrow_mut().push(conn.peer_addr());
            conn.reject();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let mine = closed_port().port();
    let other: IpAddr = "127.0.0.9".parse().unwrap();
    let options = ConnectOptions::new(at).local_address(other).local_port(mine);
    lp.connect(options, On::new());
    turn_until(&mut lp, |_| peers.borrow().len() == 1);
    assert_eq!(peers.borrow()[0], Some(SocketAddr::new(other, mine)));

    let log = Log::default();
    lp.connect(ConnectOptions::new(at).local_address(V6), told(&log));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    lp.connect(ConnectOptions::new(at).local_address(V4).local_port(port), told(&log));
    let nobody: IpAddr = "192.0.2.1".parse().unwrap();
    lp.connect(ConnectOptions::new(at).local_address(nobody), told(&log));
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("the local address ::1 is IPv6, the target is IPv4"), "{lines:?}");
    assert!(lines[1].contains("bind") && lines[1].contains("(EADDRINUSE)"), "{lines:?}");
    assert!(lines[2].starts_with("close: bind on 192.0.2.1:0 failed"), "{lines:?}");
    assert!(lines[2].ends_with(&format!("(EADDRNOTAVAIL) [to connect to {at}]")), "{lines:?}");
}

#[test]
fn a_block_list_forbids_targets() {
    let mut lp = guarded();
    let at = hello(&mut lp, "127.0.0.1:0").unwrap();
    let mut list = BlockList::new();
    list.add(V6);
    let log = Log::default();
    // One of two is forbidden: the other is used.
    lp.connect(name(at.port()).block_list(list.clone()).lookup(knows(&[V6, V4]).0), told(&log));
    lp.run().unwrap();
    assert_eq!(log.lines(), WELL);
    list.add(V4);
    lp.connect(ConnectOptions::new(at).block_list(list), told(&log));
    lp.run().unwrap();
    assert!(log.lines()[4].contains("the block list forbids this address"), "{:?}", log.lines());
}

/// connect-nodelay, connect-keepalive, buffers: before `on_connect`.
#[test]
fn a_client_has_its_options() {
    let mut lp = guarded();
    let at = hello(&mut lp, "127.0.0.1:0").unwrap();
    let keep_alive = TcpKeepAlive::default();
    let options = ConnectOptions::new(at).no_delay(true).keep_alive(keep_alive).send_buffer(50_000);
    let seen = Rc::new(Cell::new(false));
    let s = seen.clone();
    let connected = move |socket: &mut SocketCx<'_>| {
        let set = socket.socket_option(|o| Ok(o.tcp_nodelay()? && o.keepalive()?)).unwrap();
        assert!(set && socket.buffer_sizes().unwrap().1 >= 50_000);
        assert!(!socket.is_connecting());
        s.set(true);
    };
    let key = lp.connect(options, On::new().connect(connected));
    assert!(lp.socket(key).is_connecting());
    lp.run().unwrap();
    assert!(seen.get());
    let gone = lp.socket(key).set_no_delay(true).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotConnected);
}

/// As [`silent`], with other addresses free on that port.
#[cfg(target_os = "linux")]
pub(super) fn silent_alone() -> Option<(TcpListener, Vec<std::net::TcpStream>)> {
    use socket2::{Domain, Socket, Type};
    let raw = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    raw.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    raw.listen(0).unwrap();
    let listener: TcpListener = raw.into();
    let at = listener.local_addr().unwrap();
    let mut fill = Vec::new();
    for _ in 0..8 {
        match std::net::TcpStream::connect_timeout(&at, Duration::from_millis(50)) {
            Ok(c) => fill.push(c),
            Err(_) => return Some((listener, fill)),
        }
    }
    None
}

/// tcp_connect_timeout: nobody answers. The deadline covers it all, and nothing is left.
#[test]
#[cfg(target_os = "linux")]
fn libuv_38_connect_timeout() {
    let Some((listener, _fill)) = silent() else {
        return println!("skipped: the system answers although the queue is full");
    };
    let at = listener.local_addr().unwrap();
    let mut lp = guarded();
    let log = Log::default();
    let start = Instant::now();
    let timeout = Duration::from_millis(30);
    let key = lp.connect(ConnectOptions::new(at).connect_timeout(timeout), told(&log));
    assert_eq!(lp.socket(key).write_id("queued", 1), Flow::Ready);
    lp.run().unwrap();
    assert!(start.elapsed() >= timeout);
    let text = &log.lines()[0];
    assert!(text.starts_with(&format!("close: connect to {at} timed out after ")), "{text}");
    assert!(text.contains("; connect timeout)") && text.contains("(from 127.0.0.1:"), "{text}");
    assert_eq!(handles(&lp), 0);
}

/// connect-after-destroy, connect-immediate-destroy, connect-abort: given up in the lookup,
/// between attempts, while several are open. One close each; nothing keeps the loop.
#[test]
#[cfg(target_os = "linux")]
fn giving_up_at_every_stage() {
    let Some((listener, _fill)) = silent() else {
        return println!("skipped: the system answers although the queue is full");
    };
    let port = listener.local_addr().unwrap().port();
    let mut lp = guarded();
    let log = Log::default();
    // At once; in a lookup of our own that never answers; in the system's.
    let now = lp.connect(listener.local_addr().unwrap(), told(&log));
    let asking = lp.connect(name(1).lookup(|_, _, _| {}), told(&log));
    let system = lp.connect("localhost:1", told(&log));
    for key in [now, system] {
        lp.socket(key).destroy();
    }
    lp.run_nowait().unwrap();
    lp.socket(asking).destroy();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["close: destroyed"; 3]);

    // While two are open.
    let trace = Trace::default();
    lp.observe(trace.clone());
    let all: Vec<IpAddr> = vec![V4, "::ffff:127.0.0.1".parse().unwrap()];
    let delay = Duration::from_millis(10);
    let key = lp.connect(name(port).lookup(knows(&all).0).attempt_delay(delay), told(&log));
    let starts = || {
        let all = trace.net();
        let start =
            |e: &NetEvent| matches!(e, NetEvent::Socket(_, SocketEvent::AttemptStart { .. }));
        all.iter().filter(|(_, e)| start(e)).count()
    };
    turn_until(&mut lp, |_| starts() == 2);
    assert!(handles(&lp) >= 2, "one beside the other");
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 4);
    assert_eq!(handles(&lp), 0);
}

/// A custom lookup that panics: it unwinds out of run, and the connection is closed.
#[test]
fn a_panic_in_a_lookup() {
    let mut lp = guarded();
    let log = Log::default();
    lp.connect(name(80).lookup(|_, _, _| std::panic::resume_unwind(Box::new(1))), told(&log));
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
    assert!(run.is_err());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["close: a callback panicked"]);
}

/// libuv 41, connect_unspecified: to 0.0.0.0 and :: means to this host (Linux).
#[test]
#[cfg(target_os = "linux")]
fn libuv_41_connect_unspecified() {
    let mut lp = guarded();
    let at = hello(&mut lp, "127.0.0.1:0").unwrap();
    let log = Log::default();
    lp.connect(("0.0.0.0", at.port()), told(&log));
    lp.run().unwrap();
    assert_eq!(log.lines(), WELL);
}

/// pingpong: 1,001 round trips, on each family.
#[test]
fn a_thousand_round_trips() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let mut lp = guarded();
        let echo = |mut conn: Incoming<'_>| {
            conn.server(conn.server_key()).close().unwrap();
            conn.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
            }));
        };
        let Ok(server) = lp.listen(at, echo) else {
            println!("skipped {at}: there is no IPv6 here");
            continue;
        };
        let at = lp.server(server).local_addr().unwrap();
        let pongs = Rc::new(Cell::new(0));
        let p = pongs.clone();
        let ping = |s: &mut SocketCx<'_>| {
            let _ = s.write(b"PING");
        };
        let on = On::new().connect(ping).data(move |s, chunk| {
            assert_eq!(chunk, b"PING");
            p.set(p.get() + 1);
            if p.get() == 1001 { s.end() } else { ping(s) }
        });
        lp.connect(at, on);
        lp.run().unwrap();
        assert_eq!(pongs.get(), 1001);
    }
}

/// The time of a connect counts from when it was asked for, not from the last poll.
#[test]
fn elapsed_counts_from_the_call() {
    let mut lp = guarded();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(50) {
        std::hint::spin_loop();
    }
    let elapsed = Rc::new(Cell::new(Duration::MAX));
    let e = elapsed.clone();
    let close = move |_: &mut SocketCx<'_>, c: Close| {
        e.set(c.reason.error().unwrap().elapsed().unwrap());
    };
    let at = closed_port();
    let asked = Instant::now();
    lp.connect(at, On::new().close(close));
    lp.run().unwrap();
    assert!(elapsed.get() <= asked.elapsed(), "{elapsed:?}");
}

/// Once it is over, a connection has no address and nothing queued.
#[test]
fn a_destroyed_connection_tells_nothing() {
    let mut lp = guarded();
    let at = closed_port();
    let seen = Rc::new(Cell::new(None));
    let s = seen.clone();
    let key = lp.connect(at, On::new().close(move |_, c| s.set(Some((c.peer, c.unsent)))));
    let mut s = lp.socket(key);
    assert_eq!(s.write(b"abc"), Flow::Ready);
    assert_eq!((s.peer_addr(), s.buffered()), (Some(at), 3));
    s.destroy();
    assert_eq!((s.peer_addr(), s.buffered(), s.memory_held()), (None, 0, 0));
    lp.run().unwrap();
    assert_eq!(seen.get(), Some((Some(at), 3)), "the close has both");
}
