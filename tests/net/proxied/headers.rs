//! Whose headers are taken, when, and what has the client's address then.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use tidegate::net::{
    BlockList, Filter, FilterError, FilterFactory, NetEvent, Passed, ProxyFault, ProxyProtocol,
    Reason, SocketEvent, TrustedProxies,
};
use tidegate::prelude::*;

use super::*;

/// The accepted connection, the handler, its close, an error, and what an observer is told.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn the_clients_address_is_everywhere() {
    let client_at: SocketAddr = "192.0.2.7:51000".parse().unwrap();
    for header in [LINE, BINARY] {
        let trace = Trace::default();
        let mut lp = guarded();
        lp.observe(trace.clone());
        let log = Log::default();
        let said = log.clone();
        let server = lp.listen(plain().proxy_protocol(from_loopback()), move |mut conn| {
            assert_eq!(conn.peer_addr(), Some(client_at));
            assert!(conn.transport_peer().unwrap().ip().is_loopback());
            let header = conn.proxy_header().unwrap();
            assert_eq!(header.source(), Some(client_at));
            assert_eq!(header.destination(), "198.51.100.1:443".parse().ok());
            conn.server(conn.server_key()).close().unwrap();
            let said = said.clone();
            conn.accept(
                On::new()
                    .data(move |s, chunk| {
                        assert_eq!((chunk, s.peer_addr()), (&b"tide"[..], Some(client_at)));
                        assert!(s.transport_peer().unwrap().ip().is_loopback());
                        assert!(s.proxy_header().is_some());
                    })
                    .close(move |_, close| {
                        assert_eq!(close.peer, Some(client_at));
                        said.add(close.reason.error().unwrap().to_string());
                    }),
            );
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let peer = client(at);
        write_all(&peer, &[header, b"tide"].concat());
        turn_until(&mut lp, |lp| lp.net_metrics().bytes_read == (header.len() + 4) as u64);
        reset(peer);
        lp.run().unwrap();
        assert!(log.lines()[0].contains("192.0.2.7:51000"), "{:?}", log.lines());
        let events = trace.net();
        let proxied = events.iter().position(|(_, e)| {
            matches!(e, NetEvent::Socket(of, SocketEvent::Proxied { transport: Some(via) })
                if of.remote == Some(client_at) && via.ip().is_loopback())
        });
        let after = events[proxied.unwrap()..].iter();
        let named = after.filter(|(_, e)| matches!(e, NetEvent::Socket(..)));
        assert!(named.clone().count() >= 3);
        assert!(named.clone().all(|(_, e)| e.to_string().starts_with("192.0.2.7:51000: ")));
    }
}

/// The header in two segments, cut at each byte, and all at once with what follows it.
#[test]
fn cut_at_every_byte() {
    let mut lp = guarded();
    let (server, at, log) = echo(&mut lp, plain().proxy_protocol(from_loopback()));
    for header in [LINE, BINARY] {
        for cut in 1..=header.len() {
            let before = lp.net_metrics().bytes_read;
            let mut peer = client(at);
            write_all(&peer, &header[..cut]);
            turn_until(&mut lp, |lp| lp.net_metrics().bytes_read == before + cut as u64);
            assert_eq!(log.lines().len(), usize::from(cut == header.len()), "cut at {cut}");
            write_all(&peer, &[&header[cut..], b"tide"].concat());
            let all = before + header.len() as u64 + 4;
            turn_until(&mut lp, |lp| lp.net_metrics().bytes_read == all);
            assert_eq!(log.lines(), ["192.0.2.7:51000 by loopback"], "cut at {cut}");
            let mut back = [0; 4];
            peer.read_exact(&mut back).unwrap();
            assert_eq!(&back, b"tide");
            drop(peer);
            turn_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
            log.0.borrow_mut().clear();
        }
    }
    end(&mut lp, server);
}

#[test]
fn a_peer_that_is_not_trusted_is_refused() {
    let nobody = ProxyProtocol::new(TrustedProxies::new());
    let others = ProxyProtocol::new("10.0.0.0/8".parse().unwrap());
    for expected in [nobody, others] {
        let mut lp = guarded();
        let (server, at, log) = echo(&mut lp, plain().proxy_protocol(expected));
        let peer = client(at);
        write_all(&peer, &[LINE, b"tide"].concat());
        turn_until(&mut lp, |_| !log.lines().is_empty());
        assert_eq!(log.lines(), ["refused PROXY_UNTRUSTED"]);
        assert_eq!(lp.server(server).stats().unwrap().refused, 1);
        assert!((&peer).read(&mut [0; 8]).map_or(true, |n| n == 0));
        end(&mut lp, server);
    }
}

/// No header, a part of one, a wrong one, none in time; and then a good one.
#[test]
fn what_is_no_header_is_refused() {
    let mut lp = guarded();
    let options = plain().proxy_protocol(from_loopback().v2_only().max_header(64));
    let options = options.handshake_timeout(Duration::from_millis(30));
    let (server, at, log) = echo(&mut lp, options);
    let mut long = BINARY.to_vec();
    long[15] = 65;
    let mut wrong = BINARY.to_vec();
    wrong[12] = 0x31;
    for (bytes, ends, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], false, "PROXY_MISSING"),
        (LINE, false, "PROXY_MISSING"),
        (b"", true, "PROXY_MISSING"),
        (&BINARY[..20], true, "PROXY_TRUNCATED"),
        (&long, false, "PROXY_TOO_LONG"),
        (&wrong, false, "PROXY_MALFORMED"),
        (b"", false, "by its deadline"),
        (&BINARY[..20], false, "by its deadline"),
    ] {
        let peer = client(at);
        write_all(&peer, bytes);
        if ends {
            peer.shutdown(Shutdown::Write).unwrap();
        }
        turn_until(&mut lp, |_| !log.lines().is_empty());
        assert_eq!(log.lines(), [format!("refused {expected}")], "{bytes:?}");
        log.0.borrow_mut().clear();
    }
    let peer = client(at);
    write_all(&peer, BINARY);
    turn_until(&mut lp, |_| log.has("192.0.2.7:51000 by loopback"));
    drop(peer);
    end(&mut lp, server);
}

/// A proxy that speaks for itself, and one that does not know: the address stays that of the proxy.
#[test]
fn without_an_address() {
    let mut local = BINARY.to_vec();
    local[12] = 0x20;
    for (header, expected) in
        [(&local[..], "a peer by itself, local"), (b"PROXY UNKNOWN\r\n", "a peer by itself")]
    {
        let mut lp = guarded();
        let (server, at, log) = echo(&mut lp, plain().proxy_protocol(from_loopback()));
        let peer = client(at);
        write_all(&peer, header);
        turn_until(&mut lp, |_| log.has(expected));
        drop(peer);
        end(&mut lp, server);
    }
}

/// The client is on the list, and its proxy is not; then the proxy is.
#[test]
fn the_block_list_gets_both_addresses() {
    let listed = |ip: &str| {
        let mut list = BlockList::new();
        list.add(ip.parse().unwrap());
        plain().proxy_protocol(from_loopback()).block_list(list)
    };
    for (ip, others) in [("192.0.2.7", true), ("127.0.0.1", false)] {
        let mut lp = guarded();
        let (server, at, log) = echo(&mut lp, listed(ip));
        let peer = client(at);
        write_all(&peer, LINE);
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().blocked == 1);
        assert!((&peer).read(&mut [0; 8]).map_or(true, |n| n == 0));
        let other = client(at);
        write_all(&other, b"PROXY TCP4 192.0.2.8 198.51.100.1 51000 443\r\n");
        let done = |lp: &mut Loop| lp.server(server).stats().unwrap().blocked == 2;
        turn_until(&mut lp, |lp| if others { !log.lines().is_empty() } else { done(lp) });
        let stats = lp.server(server).stats().unwrap();
        assert_eq!((stats.accepted, stats.connections), (2, usize::from(others)));
        drop(other);
        end(&mut lp, server);
        assert!(!log.lines().iter().any(|l| l.contains("192.0.2.7")), "{:?}", log.lines());
    }
}

/// On a Unix domain socket there is no address but the one in the header.
#[cfg(unix)]
#[test]
fn over_a_path() {
    use std::io::Write;
    let path = std::env::temp_dir().join(format!("tidegate-proxied-{}", std::process::id()));
    for trusts in [true, false] {
        let _ = std::fs::remove_file(&path);
        let trusted: TrustedProxies = "0.0.0.0/0".parse().unwrap();
        let trusted = if trusts { trusted.unix_sockets() } else { trusted };
        let options = ListenOptions::unix(&path).proxy_protocol(ProxyProtocol::new(trusted));
        // An option by address has a meaning again.
        let options = options.block_list(BlockList::new()).max_per_peer(1);
        let mut lp = guarded();
        let log = Log::default();
        let server = lp.serve(options, Echo(log.clone())).unwrap();
        let mut peer = std::os::unix::net::UnixStream::connect(&path).unwrap();
        peer.write_all(LINE).unwrap();
        turn_until(&mut lp, |_| !log.lines().is_empty());
        let expected = if trusts { "192.0.2.7:51000 by a path" } else { "refused PROXY_UNTRUSTED" };
        assert_eq!(log.lines(), [expected]);
        drop(peer);
        end(&mut lp, server);
    }
}

/// A filter of a user's that knows another header.
struct Named;

impl Filter for Named {
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        assert!(out.peer().unwrap().ip().is_loopback());
        Ok(())
    }
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.set_peer(std::str::from_utf8(wire)?.parse()?);
        out.leave();
        Ok(())
    }
    fn outbound(&mut self, _: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Ok(0)
    }
}

struct Names(bool);

impl FilterFactory for Names {
    fn make(&self) -> Box<dyn Filter> {
        Box::new(Named)
    }
    fn names_peer(&self) -> bool {
        self.0
    }
}

/// It names the peer. Whether its factory says so decides whose connections are counted.
#[test]
fn a_filter_of_the_users_names_the_peer() {
    for says in [true, false] {
        let mut lp = guarded();
        let (server, at, log) = echo(&mut lp, plain().filter(Names(says)).max_per_peer(1));
        let first = client(at);
        write_all(&first, b"192.0.2.9:9");
        turn_until(&mut lp, |_| log.has("192.0.2.9:9 by loopback"));
        let second = client(at);
        write_all(&second, b"192.0.2.10:9");
        let limited = |lp: &mut Loop| lp.server(server).stats().unwrap().limited == 1;
        turn_until(&mut lp, |lp| log.lines().len() == 2 || limited(lp));
        assert_eq!(limited(&mut lp), !says);
        drop((first, second));
        end(&mut lp, server);
    }
}

/// The error that `on_refused` gets, in words.
#[test]
fn the_text_of_a_refusal() {
    for (fault, text) in [
        (ProxyFault::Untrusted, "this peer may not send a PROXY header (PROXY_UNTRUSTED)"),
        (ProxyFault::Malformed("a rule"), "a malformed PROXY header: a rule (PROXY_MALFORMED)"),
        (
            ProxyFault::TooLong { bytes: 9, limit: 8 },
            "a PROXY header of 9 bytes, the limit is 8 (PROXY_TOO_LONG)",
        ),
    ] {
        assert_eq!(fault.to_string(), text);
    }
    let reason = Reason::Ended;
    assert!(reason.error().and_then(ProxyFault::of).is_none());
    assert!("10.0.0.0/8,nobody".parse::<TrustedProxies>().is_err());
    assert!(TrustedProxies::everybody().has(None));
    assert!(TrustedProxies::everybody().has("2001:db8::1".parse().ok()));
}

/// The filter that read the header has left: the connection can go to another loop, which gets what
/// comes behind the header. Not if that came with it: it was read already.
#[test]
fn a_connection_is_detached_behind_its_header() {
    let mut lp = guarded();
    let mut other = guarded();
    let taken = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let t = taken.clone();
    let server = lp.listen(plain().proxy_protocol(from_loopback()), move |conn| {
        t.borrow_mut().push(conn.detach());
    });
    let server = server.unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let (peer, early) = (client(at), client(at));
    write_all(&peer, LINE);
    write_all(&early, &[LINE, b"early"].concat());
    turn_until(&mut lp, |_| taken.borrow().len() == 2);
    let (whole, refused): (Vec<_>, Vec<_>) = taken.take().into_iter().partition(Result::is_ok);
    assert_eq!((whole.len(), refused.len()), (1, 1));
    assert_eq!(lp.server(server).stats().unwrap().detached, 1);
    write_all(&peer, b"tide");
    // The first loop hears nothing of it any more.
    let turns = lp.metrics().events;
    lp.run_nowait().unwrap();
    assert_eq!(lp.metrics().events, turns);
    let log = Log::default();
    let l = log.clone();
    let on = On::new().data(move |s, chunk| {
        l.add(String::from_utf8_lossy(chunk));
        s.end();
    });
    other.adopt(whole.into_iter().next().unwrap().unwrap(), on).unwrap();
    turn_until(&mut other, |_| log.lines() == ["tide"]);
    drop(peer);
    other.run().unwrap();
    lp.server(server).close().unwrap();
}
