//! Where sockets are bound, what they share, and which options are errors.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use tidegate::net::{Stage, UdpOptions};
use tidegate::prelude::*;

use crate::support::*;
use crate::{bytes, keeps, nothing, open, peer};

/// The number of descriptors of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |d| d.count())
}

#[test]
fn b01_b02_an_address_in_use_is_said_and_leaks_nothing() {
    let (_taken, at) = peer();
    let mut lp = guarded();
    let before = handles(&lp);
    for _ in 0..20 {
        let e = lp.udp(at, nothing()).unwrap_err();
        assert_eq!((e.stage(), e.code(), e.local()), (Stage::Bind, Some("EADDRINUSE"), Some(at)));
        assert!(e.to_string().contains(&at.to_string()), "{e}");
    }
    assert_eq!(handles(&lp), before);
    assert!(descriptors() < 500);
}

#[test]
fn b03_b04_port_0_and_no_host() {
    let mut lp = guarded();
    let (_, at) = open(&mut lp, "127.0.0.1:0", nothing());
    assert_ne!(at.port(), 0);
    let (_, any) = open(&mut lp, ":0", nothing());
    assert!(any.ip().is_unspecified(), "{any}");
    let (_, any) = open(&mut lp, "0.0.0.0:0", nothing());
    assert_eq!(any.ip(), std::net::Ipv4Addr::UNSPECIFIED);
    lp.cx().close_all();
    lp.run().unwrap();
}

#[test]
fn b05_with_reuse_address_the_last_one_receives() {
    let mut lp = guarded();
    let (first, handler) = keeps();
    let options = UdpOptions::new("127.0.0.1:0").reuse_address(true);
    let (_, at) = open(&mut lp, options, handler);
    let (second, handler) = keeps();
    open(&mut lp, UdpOptions::new(at).reuse_address(true), handler);
    let (sender, _) = peer();
    sender.send_to(b"x", at).unwrap();
    turn_until(&mut lp, |_| !first.borrow().is_empty() || !second.borrow().is_empty());
    if cfg!(target_os = "linux") {
        assert_eq!((first.borrow().len(), second.borrow().len()), (0, 1));
    }
}

#[test]
fn b06_reuse_port_spreads_senders() {
    let mut lp = guarded();
    if !SPREADS {
        let shared = lp.udp(UdpOptions::new("127.0.0.1:0").reuse_port(true), nothing());
        return assert_eq!(shared.unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    }
    let (a, handler) = keeps();
    let options = UdpOptions::new("127.0.0.1:0").reuse_port(true);
    let (_, at) = open(&mut lp, options, handler);
    let (b, handler) = keeps();
    open(&mut lp, UdpOptions::new(at).reuse_port(true), handler);
    let senders: Vec<_> = (0..64).map(|_| peer().0).collect();
    for sender in &senders {
        sender.send_to(b"x", at).unwrap();
    }
    turn_until(&mut lp, |_| a.borrow().len() + b.borrow().len() == 64);
    assert!(
        a.borrow().len() > 5 && b.borrow().len() > 5,
        "{} {}",
        a.borrow().len(),
        b.borrow().len()
    );
}

fn has_ipv6() -> bool {
    UdpSocket::bind("[::1]:0").is_ok()
}

#[test]
fn b07_ipv6_only_leaves_ipv4_alone_and_without_it_both_come() {
    if !has_ipv6() {
        return eprintln!("skipped: no IPv6 here");
    }
    let mut lp = guarded();
    let (_, at) = open(&mut lp, UdpOptions::new("[::]:0").ipv6_only(true), nothing());
    let (_, four) = open(&mut lp, ("0.0.0.0", at.port()), nothing());
    assert_eq!(four.port(), at.port());
    let (both, handler) = keeps();
    let (_, at) = open(&mut lp, UdpOptions::new("[::]:0").ipv6_only(false), handler);
    let (sender, from) = peer();
    sender.send_to(b"four", ("127.0.0.1", at.port())).unwrap();
    turn_until(&mut lp, |_| !both.borrow().is_empty());
    let mapped = both.borrow()[0].1.from;
    assert_eq!((mapped.ip().to_canonical(), mapped.port()), (from.ip(), from.port()));
    let e = lp.udp(UdpOptions::new("127.0.0.1:0").ipv6_only(true), nothing()).unwrap_err();
    assert_eq!(e.stage(), Stage::Bind);
}

#[test]
fn b08_a_socket_that_is_there_is_taken_over() {
    let mut lp = guarded();
    let (ours, at) = peer();
    let (theirs, there) = peer();
    ours.connect(there).unwrap();
    let (got, handler) = keeps();
    let options = UdpOptions::new(ours);
    let again = options.clone();
    let (key, local) = open(&mut lp, options, handler);
    assert_eq!((local, lp.datagrams(key).peer_addr()), (at, Some(there)));
    assert_eq!(lp.datagrams(key).send(b"hello"), SendFlow::Ready);
    theirs.send_to(b"tide", at).unwrap();
    turn_until(&mut lp, |_| !got.borrow().is_empty());
    assert_eq!(crate::received(&theirs), b"hello");
    assert_eq!(bytes(&got), [b"tide"]);
    let e = lp.udp(again, nothing()).unwrap_err();
    assert!(e.to_string().contains("used before"), "{e}");
    let e = lp.udp(UdpOptions::new(peer().0).reuse_port(true), nothing()).unwrap_err();
    assert!(e.to_string().contains("bound already"), "{e}");
}

#[test]
#[cfg(unix)]
fn b08_what_is_no_udp_socket_is_refused() {
    let mut lp = guarded();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let disguised = UdpSocket::from(std::os::fd::OwnedFd::from(tcp));
    let e = lp.udp(disguised, nothing()).unwrap_err();
    assert!(e.to_string().contains("no datagram socket"), "{e}");
    let (unix, _) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let disguised = UdpSocket::from(std::os::fd::OwnedFd::from(unix));
    let e = lp.udp(disguised, nothing()).unwrap_err();
    assert!(e.to_string().contains("no UDP socket"), "{e}");
}

#[test]
fn b09_a_destination_of_the_wrong_family_fails_alone() {
    let mut lp = guarded();
    let log = Log::default();
    let to = log.clone();
    let handler = nothing().send_error(move |_, e| to.add(e.error.kind().to_string()));
    let (key, _) = open(&mut lp, "127.0.0.1:0", handler);
    let (socket, at) = peer();
    let six: SocketAddr = "[::1]:9".parse().unwrap();
    let mut u = lp.datagrams(key);
    assert_eq!(u.send_to(b"six", six), SendFlow::Ready);
    assert_eq!(u.send_to(b"four", at), SendFlow::Ready);
    turn_until(&mut lp, |_| log.lines().len() == 1);
    assert_eq!(crate::received(&socket), b"four");
}

#[test]
fn b10_options_out_of_range_are_refused_at_once() {
    let mut lp = guarded();
    let at = || UdpOptions::new("127.0.0.1:0");
    for (options, word) in [
        (at().ttl(0), "ttl is 0"),
        (at().ttl(256), "ttl is 256"),
        (at().multicast_ttl(256), "multicast_ttl is 256"),
        (at().datagram_budget(0), "datagram_budget is 0"),
        (at().max_datagram(0), "max_datagram is 0"),
    ] {
        let e = lp.udp(options, nothing()).unwrap_err();
        assert!(e.kind() == ErrorKind::InvalidInput && e.to_string().contains(word), "{e}");
    }
    let (key, _) = open(&mut lp, at().ttl(1).multicast_ttl(0), nothing());
    let mut u = lp.datagrams(key);
    for hops in [0, 256] {
        assert_eq!(u.set_ttl(hops).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(u.set_multicast_ttl(256).unwrap_err().kind(), ErrorKind::InvalidInput);
    u.set_ttl(255).unwrap();
    u.set_multicast_ttl(0).unwrap();
    assert!(lp.udp("no address", nothing()).unwrap_err().to_string().contains("no address"));
}

#[test]
fn b11_buffer_sizes_are_told_as_the_system_made_them() {
    let mut lp = guarded();
    let options = UdpOptions::new("127.0.0.1:0").receive_buffer(20_000).send_buffer(30_000);
    let (key, _) = open(&mut lp, options, nothing());
    let queues = lp.datagrams(key).queues().unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!((queues.receive_limit, queues.send_limit), (Some(40_000), Some(60_000)));
        assert_eq!((queues.receive, queues.drops), (Some(0), Some(0)));
    }
}

#[test]
fn b12_two_loops_share_a_port() {
    if !SPREADS {
        return;
    }
    let (mut one, mut two) = (guarded(), guarded());
    let options = UdpOptions::new("127.0.0.1:0").reuse_port(true);
    let (a, handler) = keeps();
    let (_, at) = open(&mut one, options, handler);
    let (b, handler) = keeps();
    open(&mut two, UdpOptions::new(at).reuse_port(true), handler);
    let senders: Vec<_> = (0..32).map(|_| peer().0).collect();
    senders.iter().for_each(|s| {
        s.send_to(b"x", at).unwrap();
    });
    poll_until(&mut one, |one| {
        two.run_nowait().unwrap();
        one.run_nowait().unwrap();
        a.borrow().len() + b.borrow().len() == 32
    });
}

#[test]
fn source_for_asks_the_kernel_and_sends_nothing() {
    let to: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let source = tidegate::net::source_for(to).unwrap();
    assert_eq!(source.address.to_string(), "127.0.0.1");
    if cfg!(target_os = "linux") {
        assert_eq!((source.interface.as_deref(), source.gateway), (Some("lo"), None));
        assert_eq!(source.to_string(), "127.0.0.1 by lo");
    }
}

/// Errors that nobody takes would wake the loop for ever; trains that nobody splits would be other
/// datagrams.
#[test]
#[cfg(target_os = "linux")]
fn b08_what_an_adopted_socket_has_on_stays_on() {
    crate::alone(|| {
        let mut lp = guarded();
        let (ours, at) = peer();
        turn_on(&ours, libc::IPPROTO_UDP, libc::UDP_GRO);
        turn_on(&ours, libc::IPPROTO_IP, libc::IP_RECVERR);
        let (got, handler) = keeps();
        let errors = Log::default();
        let e = errors.clone();
        let (key, _) = open(&mut lp, ours, handler.error(move |_, error| e.add(error.to_string())));
        let (from, _) = open(&mut lp, "127.0.0.1:0", nothing());
        let how = tidegate::net::SendOptions::to(at).segment(1000);
        assert_eq!(lp.datagrams(from).send_with(&[7; 3500], how), SendFlow::Ready);
        turn_until(&mut lp, |_| got.borrow().len() == 4);
        assert_eq!(bytes(&got)[3].len(), 500);
        lp.datagrams(key).try_send_to(b"x", crate::gone()).unwrap();
        turn_until(&mut lp, |_| errors.lines().len() == 1);
        let before = lp.metrics().turns;
        run_for(&mut lp, std::time::Duration::from_millis(20));
        let turns = lp.metrics().turns - before;
        assert!(turns < 10, "{turns} turns after the error was heard");
    });
}

#[cfg(target_os = "linux")]
pub(crate) fn turn_on(socket: &UdpSocket, level: i32, name: i32) {
    use std::os::fd::AsRawFd;
    let (on, len) = (1i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the descriptor is open for the time of the call, and the value is an int.
    #[allow(unsafe_code)]
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), len) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// As `ip route get` says it, also where the address belongs to another interface.
#[test]
#[cfg(target_os = "linux")]
fn source_for_names_the_interface_and_the_gateway() {
    let Ok((here, _there)) = crate::netns::pair() else {
        return eprintln!("skipped: no network namespaces");
    };
    here.inside(|| {
        crate::netns::run("ip addr add 10.1.1.1/32 dev lo").unwrap();
        crate::netns::run("ip route add 192.0.2.0/24 via 10.9.0.2 src 10.1.1.1").unwrap();
        crate::netns::run("ip -6 route add 2001:db8::/32 via fd09::2").unwrap();
        let cases = [
            ("10.9.0.2:80", "10.9.0.1 by near"),
            ("10.9.0.1:80", "10.9.0.1 by lo"),
            ("192.0.2.9:80", "10.1.1.1 by near via 10.9.0.2"),
            ("[2001:db8::1]:80", "fd09::1 by near via fd09::2"),
        ];
        for (to, expected) in cases {
            let source = tidegate::net::source_for(to.parse().unwrap()).unwrap();
            assert_eq!(source.to_string(), expected);
        }
        let e = tidegate::net::source_for("198.51.100.1:80".parse().unwrap()).unwrap_err();
        assert_eq!(e.kind(), std::io::ErrorKind::NetworkUnreachable);
    });
}
