//! `serve`: what each server does, and how it ends.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;

use crate::running::{DEADLINE, Running, command, run};

fn client(at: std::net::SocketAddr) -> TcpStream {
    let client = TcpStream::connect(at).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

fn rest(mut client: TcpStream) -> String {
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn echo_sends_back_and_ends_at_ctrl_c() {
    let (server, at) = Running::serve(&["serve", "echo", "127.0.0.1:0"]);
    let mut one = client(at);
    one.write_all(b"tide").unwrap();
    assert_eq!(rest(one), "tide");
    let said = server.stop().good();
    assert!(said.contains("4 B in, 4 B out, 0 pauses"), "{said}");
    assert!(said.contains("stopped after 1 connections, 0 failed"), "{said}");
}

/// As `tidegate serve echo | head -1`.
#[test]
fn a_server_goes_on_when_nobody_reads_what_it_prints() {
    let (server, mut out) = Running::start_apart(&mut command(&["serve", "echo", "127.0.0.1:0"]));
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    let at = line.strip_prefix("listening on ").and_then(|l| l.split(';').next()).unwrap();
    for _ in 0..3 {
        let mut one = client(at.parse().unwrap());
        one.write_all(b"tide").unwrap();
        assert_eq!(rest(one), "tide");
    }
    let done = server.stop();
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
}

#[test]
fn a_server_ends_by_itself_after_its_time() {
    let said = run(&["serve", "echo", "127.0.0.1:0", "--for", "20ms"]).good();
    assert!(said.contains("stopped after 0 connections"), "{said}");
}

#[test]
fn discard_drops_and_can_be_slow_or_reset() {
    let (server, at) = Running::serve(&["serve", "discard", "127.0.0.1:0"]);
    let mut one = client(at);
    one.write_all(&[7; 100_000]).unwrap();
    assert_eq!(rest(one), "");
    assert!(server.stop().good().contains("100000 B in, 0 B out"));

    let (mut server, at) = Running::serve(&["serve", "discard", "127.0.0.1:0", "--reset"]);
    let mut one = client(at);
    one.write_all(b"x").unwrap();
    let e = one.read(&mut [0]).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset);
    server.until("1 B in");

    // It reads nothing, so the kernel takes what fits into its buffers, and no more.
    let (server, at) =
        Running::serve(&["serve", "discard", "127.0.0.1:0", "--read-rate", "0", "--grace", "50ms"]);
    let mut one = client(at);
    one.set_nonblocking(true).unwrap();
    let mut taken = 0;
    let full = loop {
        match one.write(&[7; 65_536]) {
            Ok(n) => taken += n,
            Err(e) => break e,
        }
        assert!(taken < 1 << 30, "it reads");
    };
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    drop(one);
    server.stop().good();
}

#[test]
fn http_answers_its_paths() {
    let (server, at) = Running::serve(&["serve", "http", "127.0.0.1:0"]);
    let ask = |request: &str| {
        let mut one = client(at);
        one.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        one.read_to_string(&mut text).unwrap();
        text
    };
    let get = |path| ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    assert!(get("/hello").ends_with("\r\n\r\nHello, World!\n"));
    assert!(get("/bytes/200000").ends_with(&"x".repeat(200_000)));
    assert!(get("/bytes/many").starts_with("HTTP/1.1 400 "));
    assert!(get("/nothing").starts_with("HTTP/1.1 404 "));
    let post =
        "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntide";
    assert!(ask(post).ends_with("\r\n\r\ntide"));
    let said = server.stop().good();
    assert!(said.contains("GET /bytes/200000"), "{said}");
}

#[test]
fn a_slow_head_gets_408() {
    let options = ["serve", "http", "127.0.0.1:0", "--headers-timeout", "50ms"];
    let (mut server, at) = Running::serve(&options);
    let mut one = client(at);
    one.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut text = String::new();
    one.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    server.until("408");
}

#[test]
fn a_proxy_passes_on_and_says_what_fails() {
    let (echo, upstream) = Running::serve(&["serve", "echo", "127.0.0.1:0"]);
    let (proxy, at) = Running::serve(&["serve", "proxy", &upstream.to_string(), "127.0.0.1:0"]);
    let mut one = client(at);
    one.write_all(b"tide").unwrap();
    assert_eq!(rest(one), "tide");
    echo.stop().good();
    let said = client(at).read(&mut [0]);
    assert!(said.is_err() || said.is_ok_and(|n| n == 0), "nobody is upstream");
    let said = proxy.stop().good();
    assert!(said.contains("ECONNREFUSED"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_a_failure() {
    let (_server, at) = Running::serve(&["serve", "echo", "127.0.0.1:0"]);
    let done = run(&["serve", "echo", &at.to_string()]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("EADDRINUSE"), "{done:?}");
}

#[test]
fn beyond_max_connections_a_client_is_dropped() {
    let options = ["serve", "echo", "127.0.0.1:0", "--max-connections", "1", "--drop"];
    let (mut server, at) = Running::serve(&options);
    let first = client(at);
    server.until(&format!("from {}", first.local_addr().unwrap()));
    assert!(!matches!(client(at).read(&mut [0]), Ok(1..)), "the second is closed");
}
