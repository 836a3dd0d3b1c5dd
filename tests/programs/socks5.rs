//! The SOCKS5 proxy: what it passes on, what it refuses and how.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::running::{Running, installed};
use crate::support::*;

fn start(login: &[&str]) -> Running {
    Running::start("socks5", &[&["127.0.0.1:0"], login].concat())
}

/// Reads until the client ends its side, and then says all of it once more, for each client.
fn target(ip: IpAddr) -> Option<SocketAddr> {
    let listener = TcpListener::bind((ip, 0)).ok()?;
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            thread::spawn(move || {
                let mut all = Vec::new();
                if peer.read_to_end(&mut all).is_ok() {
                    let _ = peer.write_all(&all);
                }
            });
        }
    });
    Some(at)
}

fn here() -> SocketAddr {
    target([127, 0, 0, 1].into()).unwrap()
}

fn request(command: u8, host: &[u8], port: u16) -> Vec<u8> {
    [&[5, command, 0], host, &port.to_be_bytes()].concat()
}

fn name(name: &str) -> Vec<u8> {
    [&[3, name.len() as u8], name.as_bytes()].concat()
}

fn ip(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => [&[1], &ip.octets()[..]].concat(),
        IpAddr::V6(ip) => [&[4], &ip.octets()[..]].concat(),
    }
}

fn read<const N: usize>(mut peer: &TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}

/// A client that has said hello.
fn greeted(server: &Running) -> TcpStream {
    let peer = client(server.at);
    write_all(&peer, &[5, 2, 0, 2]);
    assert_eq!(read(&peer), [5, 0]);
    peer
}

/// The code of the answer to a request.
fn code(peer: &TcpStream) -> u8 {
    let [version, code, _, kind] = read(peer);
    assert_eq!(version, 5);
    match kind {
        1 => drop(read::<6>(peer)),
        4 => drop(read::<18>(peer)),
        kind => panic!("an address of kind {kind}"),
    }
    code
}

/// All of it comes back, behind the end of our side.
fn echoes(peer: &TcpStream, text: &[u8]) {
    let writer = peer.try_clone().unwrap();
    let sent = text.to_vec();
    let writer = thread::spawn(move || {
        write_all(&writer, &sent);
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let all = read_to_end(peer);
    writer.join().unwrap();
    assert!(all == text, "{} of {} bytes", all.len(), text.len());
}

#[test]
fn it_connects_by_address_and_by_name() {
    let server = start(&[]);
    let at = here();
    let peer = greeted(&server);
    write_all(&peer, &request(1, &ip(at.ip()), at.port()));
    assert_eq!(code(&peer), 0);
    echoes(&peer, &vec![7; 4 << 20]);

    let peer = greeted(&server);
    write_all(&peer, &request(1, &name("localhost"), at.port()));
    assert_eq!(code(&peer), 0);
    echoes(&peer, b"high water");

    match target(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])) {
        None => eprintln!("skipped: no IPv6 here"),
        Some(at) => {
            let peer = greeted(&server);
            write_all(&peer, &request(1, &ip(at.ip()), at.port()));
            assert_eq!(code(&peer), 0);
            echoes(&peer, b"high water");
        }
    }
    let said = server.stop();
    assert!(said.contains(": both sides ended, 4194304 bytes back"), "{said}");
}

/// Everything in one write, or byte by byte: the bytes behind the request are for the target.
#[test]
fn a_client_in_a_hurry_and_a_slow_one() {
    let server = start(&[]);
    let at = here();
    let all = [&[5, 1, 0][..], &request(1, &ip(at.ip()), at.port()), b"high water"].concat();
    for step in [all.len(), 1] {
        let peer = client(server.at);
        peer.set_nodelay(true).unwrap();
        all.chunks(step).for_each(|piece| write_all(&peer, piece));
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read(&peer), [5, 0]);
        assert_eq!(code(&peer), 0);
        assert_eq!(read_to_end(&peer), b"high water");
    }
    server.stop();
}

#[test]
fn each_refusal_has_its_code() {
    let server = start(&[]);
    let closed = closed_port();
    let cases = [
        (request(1, &ip(closed.ip()), closed.port()), &[5][..]),
        // Without a resolver there is no answer to tell that from a general failure.
        (request(1, &name("no-such-name.invalid"), 80), &[4, 1]),
        (request(1, &name(""), 80), &[8]),
        (request(2, &ip(closed.ip()), 80), &[7]),
        (request(1, &[9], 80), &[8]),
    ];
    for (request, codes) in cases {
        let peer = greeted(&server);
        write_all(&peer, &request);
        let code = code(&peer);
        assert!(codes.contains(&code), "{code} to {request:?}");
        assert_eq!(read_to_end(&peer), b"", "and then the end");
    }
    // Not SOCKS 5 at all, and no method that we know.
    let peer = client(server.at);
    write_all(&peer, b"GET / HTTP/1.1\r\n");
    assert!(read_to_end_or_reset(&peer).is_empty());
    let peer = client(server.at);
    write_all(&peer, &[5, 1, 1]);
    assert_eq!(read_to_end(&peer), [5, 0xFF]);
    server.stop();
}

fn read_to_end_or_reset(mut peer: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = peer.read_to_end(&mut all);
    all
}

/// The target does not answer. The client leaves, and the target is not waited for any more.
#[test]
fn a_client_that_leaves_while_it_is_connected() {
    let Some((listener, _full)) = silent() else {
        return eprintln!("skipped: a full queue answers here");
    };
    let mut server = start(&[]);
    let peer = greeted(&server);
    let port = listener.local_addr().unwrap().port();
    write_all(&peer, &request(1, &ip([127, 0, 0, 1].into()), port));
    // Its connection is made in the turn of another's, or before that.
    drop(greeted(&server));
    reset(peer);
    let said = server.line();
    assert!(said.contains(": destroyed"), "{said}");
    server.stop();
}

#[test]
fn a_login() {
    let server = start(&["ann:tide"]);
    let at = here();
    let login = |user: &str, password: &str| {
        let prefixed = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        [vec![1], prefixed(user), prefixed(password)].concat()
    };
    let peer = client(server.at);
    write_all(&peer, &[5, 1, 2]);
    assert_eq!(read(&peer), [5, 2]);
    write_all(&peer, &login("ann", "tide"));
    assert_eq!(read(&peer), [1, 0]);
    write_all(&peer, &request(1, &ip(at.ip()), at.port()));
    assert_eq!(code(&peer), 0);
    echoes(&peer, b"high water");

    // A wrong one is the end, also with more behind it.
    let peer = client(server.at);
    let ask = request(1, &ip(at.ip()), at.port());
    write_all(&peer, &[&[5, 1, 2][..], &login("ann", "ebb"), &ask].concat());
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&peer), [5, 2, 1, 1]);

    let peer = client(server.at);
    write_all(&peer, &[&[5, 1, 0][..], &ask].concat());
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&peer), [5, 0xFF], "no way around it");
    let said = server.stop();
    assert_eq!(said.lines().count(), 1, "one connection was made: {said}");
}

#[test]
fn curl() {
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://localhost:{}/", web.local_addr().unwrap().port());
    thread::spawn(move || {
        for peer in web.incoming() {
            let mut peer = peer.unwrap();
            let _ = peer.read(&mut [0; 4096]);
            let _ = peer.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nhigh water");
        }
    });
    let server = start(&[]);
    let proxy = server.at.to_string();
    if let Some(output) = installed("curl", &["-sS", "--socks5-hostname", &proxy, &url]) {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "high water", "{output:?}");
    }
    server.stop();
    let server = start(&["ann:tide"]);
    let proxy = format!("socks5h://ann:tide@{}", server.at);
    if let Some(output) = installed("curl", &["-sS", "--proxy", &proxy, &url]) {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "high water", "{output:?}");
    }
    let wrong = format!("socks5h://ann:ebb@{}", server.at);
    if let Some(output) = installed("curl", &["-sS", "--proxy", &wrong, &url]) {
        assert!(!output.status.success());
    }
    server.stop();
}
