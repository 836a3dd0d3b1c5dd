//! `websocket_echo`: the example of RFC 6455, limits and refusals byte by byte, and the clients of
//! Python or Node.

use std::io::Read;
use std::net::TcpStream;

use super::judge;
use crate::running::Running;
use crate::support::*;

/// A client after its handshake.
fn connect(server: &Running) -> TcpStream {
    let mut peer = client(server.at);
    write_all(
        &peer,
        b"GET /chat HTTP/1.1\r\nHost: tide\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        peer.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
    // The standard's own example.
    let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
    assert!(head.lines().any(|line| line == accept), "{head}");
    peer
}

/// A frame as clients send it, with the mask of the standard's example.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[track_caller]
fn expect(mut peer: &TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    peer.read_exact(&mut got).unwrap();
    assert!(got == bytes, "{:?}", &got[..got.len().min(100)]);
}

#[test]
fn messages_pings_and_the_end() {
    let server = Running::start("websocket_echo", &["127.0.0.1:0"]);
    let peer = connect(&server);
    assert_eq!(frame(0x81, b"Hello")[6..], [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    // Byte by byte; with a ping inside of a message in two parts.
    for byte in frame(0x81, b"Hello") {
        write_all(&peer, &[byte]);
    }
    expect(&peer, b"\x81\x05Hello");
    let parts = [frame(0x01, b"Hel"), frame(0x89, b"?"), frame(0x80, b"lo")].concat();
    write_all(&peer, &parts);
    expect(&peer, b"\x8a\x01?\x81\x05Hello");
    // As large as a message may be, and in one write with another one.
    let large = vec![7; 1 << 20];
    write_all(&peer, &[frame(0x82, &large), frame(0x82, b"")].concat());
    expect(&peer, b"\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x00");
    expect(&peer, &large);
    expect(&peer, b"\x82\x00");
    // The client closes: the server says so, too, and ends.
    write_all(&peer, &frame(0x88, &1000u16.to_be_bytes()));
    expect(&peer, b"\x88\x02\x03\xe8");
    assert_eq!(read_to_end(&peer), b"");
    drop(peer);
    let said = server.stop();
    assert!(said.ends_with("both sides ended\n"), "{said}");
}

#[test]
fn what_is_refused() {
    let server = Running::start("websocket_echo", &["127.0.0.1:0"]);
    let unmasked = b"\x81\x05Hello".to_vec();
    let too_large = frame(0x82, &vec![0; (1 << 20) + 1])[..100].to_vec();
    for (bytes, code) in [
        (unmasked, 1002),
        (frame(0x81, b"\xff"), 1007),
        (too_large, 1009),
        (frame(0x83, b"unknown"), 1002),
        (frame(0x80, b"no beginning"), 1002),
    ] {
        let peer = connect(&server);
        write_all(&peer, &bytes);
        let code = u16::to_be_bytes(code);
        expect(&peer, &[0x88, 2, code[0], code[1]]);
    }
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "426"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tide\r\n\r\n", "426"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
            "426",
        ),
    ] {
        let peer = client(server.at);
        write_all(&peer, head.as_bytes());
        expect(&peer, format!("HTTP/1.1 {status} ").as_bytes());
    }
    server.stop();
}

/// The server stops: it says that it goes away, and waits for the answer.
#[test]
fn a_stop_is_announced() {
    let server = Running::start("websocket_echo", &["127.0.0.1:0"]);
    let peer = connect(&server);
    server.signal("-TERM");
    expect(&peer, &[0x88, 2, 0x03, 0xe9]);
    write_all(&peer, &frame(0x88, &1001u16.to_be_bytes()));
    assert_eq!(read_to_end(&peer), b"");
    drop(peer);
    server.finish();
}

/// A client that sends and does not read.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_does_not_read_is_not_read() {
    use std::io::Write;
    let server = Running::start("websocket_echo", &["127.0.0.1:0"]);
    let mut peer = connect(&server);
    peer.set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let message = frame(0x82, &vec![1; 64 * 1024]);
    let most = 64 << 20;
    let mut sent = 0;
    while sent < most && peer.write_all(&message).is_ok() {
        sent += message.len();
    }
    assert!(sent < most, "the server took all of it");
    assert!(server.most_memory() < 32 << 20, "{}", server.most_memory());
    drop(peer);
    server.stop();
}

const PYTHON: &str = r#"
import asyncio, sys
try:
    import websockets
except ImportError:
    print("no websockets")
    sys.exit()
async def main():
    async with websockets.connect(sys.argv[1], max_size=1 << 21) as ws:
        for message in ["high tide", "", "x" * 70000, b"\x00\xff" * 500000, "\u00e9\u4e2d"]:
            await ws.send(message)
            assert await ws.recv() == message
        await asyncio.wait_for(await ws.ping(), 5)
        parts = ["a", "b", "c"]
        await ws.send(iter(parts))
        assert await ws.recv() == "abc"
    print("all is well", websockets.__version__)
asyncio.run(main())
"#;

const NODE: &str = r#"
if (!globalThis.WebSocket) { console.log('no websockets'); process.exit(); }
const ws = new WebSocket(process.argv[1]);
const messages = ['high tide', '', 'x'.repeat(70000), '\u00e9\u4e2d'];
let next = 0;
ws.onopen = () => ws.send(messages[next]);
ws.onmessage = e => {
  if (e.data !== messages[next]) throw new Error('another message');
  next += 1;
  if (next < messages.length) ws.send(messages[next]); else ws.close(1000);
};
ws.onclose = e => console.log(e.code === 1000 ? 'all is well' : 'closed by ' + e.code);
"#;

/// Judged by `websockets` of Python, or by Node from version 22 on.
#[test]
fn clients_of_others() {
    let server = Running::start("websocket_echo", &["127.0.0.1:0"]);
    let url = format!("ws://{}/", server.at);
    for (name, program) in [("python3", ["-c", PYTHON]), ("node", ["-e", NODE])] {
        match judge(name, "--version", &[&program[..], &[&url]].concat(), b"") {
            Some(said) if said.contains("no websockets") => {
                eprintln!("skipped: this {name} has no client of WebSocket");
            }
            Some(said) => assert!(said.contains("all is well"), "{said}"),
            None => {}
        }
    }
    server.stop();
}
