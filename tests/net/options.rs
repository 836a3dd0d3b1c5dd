//! Options say what they do: none is ignored, none is taken for another number, and the budget of
//! writing holds.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

fn text(lp: &mut Loop, options: ListenOptions) -> String {
    lp.listen(options, |conn| conn.reject()).unwrap_err().to_string()
}

/// One large piece, or many: a turn sends no more of a queue than `write_budget`.
#[test]
fn a_queue_is_flushed_by_budget() {
    for piece in [100_000, 2_000] {
        let mut lp =
            guard(Loop::builder().limits(NetLimits::new().write_budget(1_000)).build().unwrap());
        let (peer, ours) = pair();
        let key = lp.adopt(ours, On::new()).unwrap();
        lp.socket(key).cork();
        for _ in 0..100_000 / piece {
            let _ = lp.socket(key).write(Bytes::from(vec![7; piece]));
        }
        lp.socket(key).uncork();
        let mut before = lp.socket(key).buffered();
        assert_eq!(before, 99_000);
        while before > 0 {
            lp.run_nowait().unwrap();
            let now = lp.socket(key).buffered();
            assert!(before - now <= 1_000, "{} bytes in one turn", before - now);
            before = now;
        }
        lp.socket(key).end();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        lp.run().unwrap();
        assert_eq!(read_to_end(&peer).len(), 100_000);
    }
}

#[test]
fn a_family_holds_for_a_number_too() {
    let mut lp = guarded();
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listening.local_addr().unwrap();
    let log = Log::default();
    let l = log.clone();
    let options = ConnectOptions::new(at).family(Family::V6);
    lp.connect(options, On::new().close(move |_, close| l.add(close.to_string())));
    lp.run().unwrap();
    assert!(log.lines()[0].contains("family asks for the other family"), "{:?}", log.lines());
    // Without a host it is the loopback of the family.
    let peers = Rc::new(RefCell::new(Vec::new()));
    for family in [Family::V4, Family::V6] {
        let p = peers.clone();
        let close = move |_: &mut SocketCx<'_>, close: Close| {
            p.borrow_mut().push(close.peer.unwrap().ip().to_string());
        };
        let options = ConnectOptions::new(format!(":{}", closed_port().port())).family(family);
        lp.connect(options, On::new().close(close));
        lp.run().unwrap();
    }
    assert_eq!(*peers.borrow(), ["127.0.0.1", "::1"]);
}

#[test]
fn options_without_a_meaning_are_errors() {
    let mut lp = guarded();
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let e = text(&mut lp, ListenOptions::from(listening).ipv6_only(true));
    assert!(e.contains("ipv6_only does not apply to a socket that listens already"), "{e}");
    if cfg!(target_os = "linux") {
        let e = text(&mut lp, ListenOptions::unix("\0tidegate-options").mode(0o600));
        assert!(e.contains("mode does not apply to a name without a file"), "{e}");
    }
}

/// As systemd hands it over: its backlog stays, or is changed by listen(2).
#[test]
fn the_backlog_of_a_socket_that_listens() {
    let mut lp = guarded();
    let handed_over = || {
        let domain = socket2::Domain::IPV4;
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(5).unwrap();
        TcpListener::from(socket)
    };
    let changed = ListenOptions::from(handed_over()).backlog(7);
    if cfg!(windows) {
        let e = text(&mut lp, changed);
        assert!(e.contains("backlog does not apply to a socket that listens already"), "{e}");
        return;
    }
    for (options, expected) in [(ListenOptions::from(handed_over()), 5), (changed, 7)] {
        let server = lp.listen(options, |conn| conn.reject()).unwrap();
        let limit = lp.server(server).accept_queue().unwrap().limit;
        assert!(limit.is_none_or(|limit| limit == expected), "{limit:?} is not {expected}");
        assert!(limit.is_some() || !cfg!(target_os = "linux"));
        lp.server(server).close().unwrap();
    }
    lp.run().unwrap();
}

/// A buffer beyond the system's number is the largest there is, not its lower half.
#[test]
fn a_huge_buffer_is_not_a_tiny_one() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let (one, beyond) = (1 << 20, (1 << 32) + 5);
    let key = lp.adopt(AdoptOptions::new(ours).send_buffer(one).recv_buffer(one), On::new());
    let key = key.unwrap();
    let (recv, send) = lp.socket(key).buffer_sizes().unwrap();
    lp.socket(key).set_buffer_sizes(beyond, beyond).unwrap();
    let huge = lp.socket(key).buffer_sizes().unwrap();
    assert!(huge.0 >= recv && huge.1 >= send, "{huge:?} is less than {recv} and {send}");
}

/// Rounded up: no probe is early. Windows does not tell the times.
/// The handshake offers the window, so what a client can send before it is accepted tells whether
/// the listener knew of the buffer.
#[test]
#[cfg(unix)]
fn a_receive_buffer_holds_for_clients_that_wait() {
    use std::io::Write;
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").recv_buffer(8 << 10);
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    let mut waiting = client(lp.server(server).local_addr().unwrap());
    socket2::SockRef::from(&waiting).set_send_buffer_size(8 << 10).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let sent: usize = std::iter::from_fn(|| waiting.write(&[0; 1 << 10]).ok()).sum();
    assert!(sent < 48 << 10, "{sent} bytes");
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

#[test]
#[cfg(unix)]
fn keep_alive_is_rounded_up_to_seconds() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let keep_alive = TcpKeepAlive {
        idle: Duration::from_millis(1_500),
        interval: Duration::from_millis(2_001),
        count: 3,
    };
    let key = lp.adopt(AdoptOptions::new(ours).keep_alive(keep_alive), On::new()).unwrap();
    let times =
        |o: socket2::SockRef<'_>| Ok((o.tcp_keepalive_time()?, o.tcp_keepalive_interval()?));
    let (idle, interval) = lp.socket(key).socket_option(times).unwrap();
    assert_eq!((idle.as_secs(), interval.as_secs()), (2, 3));
}

/// The error of a lookup names what was looked up, and why it failed.
#[test]
#[cfg(feature = "lookup")]
fn a_server_on_a_name_that_is_none() {
    let mut lp = guarded();
    let e = match lp.listen("no-such-name.invalid:80", |conn| conn.reject()) {
        Err(ListenError::Failed(e)) => e,
        other => panic!("{other:?}"),
    };
    assert_eq!((e.stage(), e.name()), (Stage::Lookup, Some("no-such-name.invalid:80")));
    assert!(matches!(e.code(), Some("ENOTFOUND" | "EAI_AGAIN")), "{e}");
    assert!(e.to_string().starts_with("lookup of no-such-name.invalid:80 failed: "), "{e}");
}

#[test]
fn adopted_listener_has_stream_options() {
    let mut lp = guarded();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    let seen = Rc::new(Cell::new(None));
    let s = seen.clone();
    lp.listen(
        ListenOptions::from(l).no_delay(true).keep_alive(TcpKeepAlive::default()),
        move |conn| {
            let mut c = conn.accept(On::new());
            s.set(Some(c.socket_option(|o| Ok((o.tcp_nodelay()?, o.keepalive()?))).unwrap()));
        },
    )
    .unwrap();
    let _c = client(at);
    turn_until(&mut lp, |_| seen.get().is_some());
    assert_eq!(seen.get(), Some((true, true)));
}

#[test]
fn cloned_options_cannot_be_used_twice() {
    let mut lp = guarded();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let o = ListenOptions::from(l);
    lp.listen(o.clone(), |c| c.reject()).unwrap();
    assert!(lp.listen(o, |c| c.reject()).is_err(), "docs: cloned options cannot be used twice");
}

#[test]
fn set_tos_of_an_ipv4_client_of_a_server_for_both() {
    let mut lp = guarded();
    let seen = Rc::new(Cell::new(None));
    let s = seen.clone();
    let server = lp
        .listen(":0", move |conn| {
            let mut c = conn.accept(On::new());
            println!("{:?}", c.peer_addr());
            c.set_tos(0x10).unwrap();
            s.set(Some(c.socket_option(|o| o.tos_v4()).unwrap()));
        })
        .unwrap();
    let port = lp.server(server).local_addr().unwrap().port();
    let _c = client(([127, 0, 0, 1], port).into());
    turn_until(&mut lp, |_| seen.get().is_some());
    assert_eq!(seen.get(), Some(0x10), "IP_TOS of an IPv4 connection");
}
