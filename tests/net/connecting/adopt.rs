//! Connections that are taken over: with options, over TCP and over Unix domain sockets; and
//! descriptors that cannot be.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use tidegate::AsCx;
use tidegate::net::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

/// The close of a connection, and where it will be.
fn noted(on: On) -> (Rc<RefCell<Option<Close>>>, On) {
    let close = Rc::new(RefCell::new(None));
    let c = close.clone();
    (close, on.close(move |_, close| *c.borrow_mut() = Some(close)))
}

#[test]
fn an_adopted_connection_has_its_options() {
    let mut lp = guarded();
    // The mark: five bytes in the queue are full.
    let (peer, ours) = pair();
    let options = AdoptOptions::new(ours).high_water_mark(5).write_limit(1 << 20).no_delay(true);
    let key = lp.adopt(options, On::new()).unwrap();
    let mut s = lp.socket(key);
    assert!(s.socket_option(|o| o.tcp_nodelay()).unwrap());
    s.cork();
    assert_eq!(s.write(b"1234"), Flow::Ready);
    assert_eq!(s.write(b"5"), Flow::Full);
    s.destroy();
    drop(peer);

    // The limit.
    let (_peer, ours) = pair();
    let (close, on) = noted(On::new());
    let key = lp.adopt(AdoptOptions::new(ours).write_limit(10), on).unwrap();
    lp.socket(key).cork();
    while lp.socket(key).write(&[0; 2000]) != Flow::Closed {}
    lp.run().unwrap();
    let close = close.borrow_mut().take().unwrap();
    assert!(matches!(close.reason, Reason::WriteLimit { scope: Scope::Socket, .. }), "{close}");

    // Half-open: our side stays.
    let (peer, ours) = pair();
    let on = On::new().end(|s| {
        let key = s.key();
        s.timer(5 * MS, move |cx, _| {
            let _ = cx.socket(key).end_with("still here");
        });
    });
    lp.adopt(AdoptOptions::new(ours).allow_half_open(true), on).unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer), b"still here");
}

/// Deadlines count from the adoption.
#[test]
fn an_adopted_connection_has_its_deadlines() {
    let mut lp = guarded();
    for which in [Timeout::Idle, Timeout::Lifetime, Timeout::Linger] {
        let (peer, ours) = pair();
        let options = AdoptOptions::new(ours);
        let options = match which {
            Timeout::Idle => options.idle_timeout(20 * MS),
            Timeout::Lifetime => options.lifetime(20 * MS),
            _ => options.linger_timeout(20 * MS).allow_half_open(true),
        };
        peer.shutdown(match which {
            Timeout::Linger => std::net::Shutdown::Write,
            _ => std::net::Shutdown::Read,
        })
        .unwrap();
        let (close, on) = noted(On::new());
        lp.adopt(options, on).unwrap();
        lp.run().unwrap();
        let close = close.borrow_mut().take().unwrap();
        assert!(matches!(close.reason, Reason::TimedOut(w, _) if w == which), "{which}: {close}");
    }
}

/// A Unix domain socket is a stream socket like any other: it has no address.
#[test]
#[cfg(unix)]
fn a_unix_domain_socket_is_adopted() {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    let echo = || {
        On::new().data(|s, chunk| {
            assert_eq!(s.peer_addr(), None);
            let _ = s.write(chunk);
        })
    };
    let mut lp = guarded();
    // By its own type, and as a descriptor whose type says TCP.
    for by_type in [true, false] {
        let (mut peer, ours) = UnixStream::pair().unwrap();
        let options = match by_type {
            true => AdoptOptions::from(ours),
            false => TcpStream::from(OwnedFd::from(ours)).into(),
        };
        lp.adopt(options.send_buffer(50_000), echo()).unwrap();
        peer.write_all(b"tide").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        lp.run().unwrap();
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"tide");
    }
    let (_peer, ours) = UnixStream::pair().unwrap();
    let e = lp.adopt(AdoptOptions::from(ours).no_delay(true), On::new()).unwrap_err();
    assert_eq!(e.to_string(), "no_delay does not apply to a Unix domain socket");
    assert_eq!(handles(&lp), 0);
}

/// What is no connected stream is an error, and nothing is left.
#[test]
#[cfg(unix)]
fn what_cannot_be_adopted() {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    let mut lp = guarded();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(at).unwrap();
    let datagrams = UnixDatagram::pair().unwrap().0;
    let file = std::fs::File::open("/dev/null").unwrap();
    for (fd, kind) in [
        (OwnedFd::from(listener), Some(ErrorKind::NotConnected)),
        (OwnedFd::from(udp), Some(ErrorKind::InvalidInput)),
        (OwnedFd::from(datagrams), Some(ErrorKind::InvalidInput)),
        (OwnedFd::from(file), None), // ENOTSOCK has no kind
    ] {
        let e = lp.adopt(TcpStream::from(fd), On::new()).unwrap_err();
        assert!(kind.is_none_or(|kind| e.kind() == kind), "{e}");
    }

    // As a server: what does not listen, and what is no TCP.
    let (peer, _ours) = pair();
    let path = std::env::temp_dir().join(format!("tidegate-adopt-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let unix = UnixListener::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let at = peer.local_addr().unwrap();
    let no_tcp = "it is no TCP socket: for a Unix domain socket use ListenOptions::unix";
    for (fd, text) in [
        (OwnedFd::from(unix), format!("listen failed: {no_tcp}")),
        (OwnedFd::from(peer), format!("listen on {at} failed: this socket does not listen")),
    ] {
        let e = lp.listen(TcpListener::from(fd), |conn| conn.reject()).unwrap_err();
        assert_eq!(e.to_string(), text);
    }
    assert_eq!(handles(&lp), 0);
}
