//! Headers that our clients send: first, once, and before any filter speaks.

use std::io::Read;
use std::net::{Shutdown, TcpListener};

use tidegate::net::{Filter, FilterError, Passed, ProxyHeader};
use tidegate::prelude::*;

use super::*;

/// Says what it is first.
struct Greets;

impl Filter for Greets {
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.down.extend(b"<hello>");
        out.ready();
        Ok(())
    }
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.up.extend_from_slice(wire);
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend_from_slice(user);
        Ok(user.len())
    }
}

fn header() -> ProxyHeader {
    ProxyHeader::v1("192.0.2.7:51000".parse().unwrap(), "198.51.100.1:443".parse().unwrap())
}

/// The last header that was given, then the filter, then what was written before the connect.
#[test]
fn a_header_comes_first() {
    for filtered in [false, true] {
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut lp = guarded();
        let mut to = ConnectOptions::new(there.local_addr().unwrap());
        if filtered {
            to = to.filter(|| Greets);
        }
        let to = to.proxy_header(ProxyHeader::local()).proxy_header(header());
        let key = lp.connect(to, On::new().connect(|s| s.end()));
        assert_eq!(lp.socket(key).write("tide"), Flow::Ready);
        let (mut peer, _) = there.accept().unwrap();
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            peer.shutdown(Shutdown::Both).unwrap_or(());
            got
        });
        lp.run().unwrap();
        let greeting = if filtered { "<hello>" } else { "" };
        let expected = [LINE, greeting.as_bytes(), b"tide"].concat();
        assert_eq!(reader.join().unwrap(), expected);
    }
}

/// From client to server by a proxy of ours: the header that came goes on, with what it says.
#[test]
fn a_header_is_passed_on() {
    let mut lp = guarded();
    let seen = Log::default();
    let said = seen.clone();
    let server = lp.listen(plain().proxy_protocol(from_loopback()), move |mut conn| {
        let header = conn.proxy_header().unwrap();
        said.add(format!("{:?} for {:?}", header.source(), header.authority()));
        conn.server(conn.server_key()).close().unwrap();
        conn.accept(On::new().close(|_, _| {}));
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let front = lp.listen(plain().proxy_protocol(from_loopback()), move |mut conn| {
        let header = conn.proxy_header().unwrap().clone();
        conn.server(conn.server_key()).close().unwrap();
        let there = conn.connect(ConnectOptions::new(at).proxy_header(header), On::new());
        conn.accept(On::new().close(move |s, _| s.socket(there).destroy()));
    });
    let front = lp.server(front.unwrap()).local_addr().unwrap();
    let from = "192.0.2.7:51000".parse().unwrap();
    let header = ProxyHeader::v2(from, "[::1]:443".parse().unwrap());
    let header = header.with(ProxyHeader::AUTHORITY, b"tide.example").unwrap().with_checksum();
    let peer = client(front);
    write_all(&peer, &header.to_bytes());
    turn_until(&mut lp, |_| !seen.lines().is_empty());
    drop(peer);
    lp.run().unwrap();
    assert_eq!(seen.lines(), ["Some([::ffff:192.0.2.7]:51000) for Some(\"tide.example\")"]);
}
