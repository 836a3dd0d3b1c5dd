//! The five small programs, each judged by those who talk to such programs: curl, redis-cli and
//! redis-benchmark, people at a terminal, a server that fails again and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

use crate::example;
use crate::running::{Running, installed};
use crate::support::*;

fn start(name: &str) -> Running {
    Running::start(name, &["127.0.0.1:0"])
}

#[test]
fn hello() {
    let server = start("hello");
    let url = format!("http://{}/", server.at);
    let missing = format!("{url}nothing");
    let curl = |arguments: &[&str]| installed("curl", &[&["-sS"], arguments].concat());
    let codes = ["-o", "-", "-w", "%{http_code} %{num_connects}\n"];
    if let Some(output) = curl(&[&codes[..], &[&url, &url, &missing]].concat()) {
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, "hello\n200 1\nhello\n200 0\nnot found\n404 0\n", "on one connection");
        let head = String::from_utf8(curl(&["-I", &url]).unwrap().stdout).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n"), "{head}");
    }
    server.signal("-INT");
    server.finish();
}

#[test]
fn redis() {
    let server = start("small_redis");
    let port = server.at.port().to_string();
    let cli = |words: &str| {
        let words: Vec<&str> = ["-p", &port].into_iter().chain(words.split(' ')).collect();
        Some(String::from_utf8(installed("redis-cli", &words)?.stdout).unwrap())
    };
    if let Some(said) = cli("PING") {
        assert_eq!(said, "PONG\n");
        for (words, answer) in
            [("SET a 1", "OK"), ("INCR a", "2"), ("GET a", "2"), ("DEL a b", "1")]
        {
            assert_eq!(cli(words).unwrap(), format!("{answer}\n"), "{words}");
        }
        assert_eq!(cli("GET").unwrap(), "ERR wrong number of arguments\n\n");
    }
    let flags = ["-p", &port, "-t", "set,get", "-n", "2000", "-P", "16", "--csv"];
    if let Some(output) = installed("redis-benchmark", &flags) {
        assert!(output.status.success(), "{output:?}");
    }
    let ask = |bytes: &[u8]| {
        let peer = client(server.at);
        write_all(&peer, bytes);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        String::from_utf8(read_to_end(&peer)).unwrap()
    };
    let error = |why: &str| format!("-ERR Protocol error: {why}\r\n");
    assert_eq!(ask(b"PING\r\n\nINCR n\n*1\r\n$4\r\nPING\r\n"), "+PONG\r\n:1\r\n+PONG\r\n");
    assert_eq!(ask(b"*1\r\n$99999999\r\n"), error("the command is too long"));
    assert_eq!(ask(b"*1\r\n:4\r\nPING\r\n"), error("expected '$'"));
    assert_eq!(ask(b"*1\r\n$4\r\nPINGxx"), error("expected '\\r\\n'"));
    assert_eq!(ask(b"*-1\r\n"), error("invalid digit found in string"));
    assert!(ask(b"*2\r\n$4\r\nPI").contains("the peer ended its side inside a frame"));
    server.stop();
}

/// A server of HTTP that answers one request of each client.
fn web() -> SocketAddr {
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = web.local_addr().unwrap();
    thread::spawn(move || {
        for peer in web.incoming() {
            let mut peer = peer.unwrap();
            let _ = peer.read(&mut [0; 4096]);
            let _ = peer.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nhigh water");
        }
    });
    at
}

#[test]
fn socks5() {
    let (server, web) = (start("small_socks5"), web());
    let proxy = server.at.to_string();
    let curl = |way: &str, url: String| installed("curl", &["-sS", way, &proxy, &url]);
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    for (way, host) in [("--socks5", "127.0.0.1"), ("--socks5-hostname", "localhost")] {
        if let Some(output) = curl(way, format!("http://{host}:{}/", web.port())) {
            assert_eq!(text(&output), "high water", "{output:?}");
        }
    }
    if let Some(output) = curl("--socks5-hostname", format!("http://{}/", closed_port())) {
        assert_eq!(output.status.code(), Some(97), "curl says that the proxy refuses");
        assert!(String::from_utf8_lossy(&output.stderr).contains("(5)"), "{output:?}");
    }
    let ask = |bytes: &[u8]| {
        let peer = client(server.at);
        write_all(&peer, bytes);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        read_to_end(&peer)
    };
    let refusal = |code| [5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(ask(b"\x05\x01\x02"), [5, 0xFF]);
    assert!(ask(b"\x04\x01").is_empty());
    assert_eq!(ask(b"\x05\x01\0\x05\x02\0\x01\x7f\0\0\x01\0\x50"), refusal(7), "BIND");
    assert_eq!(ask(b"\x05\x01\0\x05\x01\0\x09"), refusal(8), "an unknown kind of address");
    assert_eq!(ask(b"\x05\x01\0\x05\x01\0\x03\0\0\x50"), refusal(1), "an empty name");
    server.stop();
}

struct Guest(BufReader<TcpStream>);

impl Guest {
    fn enter(at: SocketAddr, name: &str) -> Guest {
        let mut guest = Guest(BufReader::new(client(at)));
        assert_eq!(guest.hear(), "your name?");
        guest.say(name);
        guest
    }

    fn say(&mut self, text: &str) {
        writeln!(self.0.get_mut(), "{text}").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn chat() {
    let server = start("small_chat");
    let mut ann = Guest::enter(server.at, "ann");
    assert_eq!(ann.hear(), "* here:");
    let mut bob = Guest::enter(server.at, "ann");
    assert_eq!(bob.hear(), "somebody has that name; another?");
    bob.say("bob");
    assert_eq!((bob.hear(), ann.hear()), ("* here: ann".to_owned(), "* bob joined".to_owned()));
    ann.say("high \x1bwater");
    assert_eq!(bob.hear(), "ann: high water");
    let mut eve = Guest::enter(server.at, &"e".repeat(2000));
    assert_eq!(eve.hear(), "* a frame is longer than 1024 bytes");
    drop(ann);
    assert_eq!(bob.hear(), "* ann left");
    server.signal("-TERM");
    assert_eq!(bob.hear(), "* the server stops");
    drop((bob, eve));
    server.finish();
}

/// Answers lines, and breaks the connection before some of them, in turn in three ways: its end,
/// a reset, and in the middle of an answer.
fn flaky() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (n, peer) in listener.incoming().enumerate() {
            let mut lines = BufReader::new(peer.unwrap());
            let mut line = String::new();
            for _ in 0..7 {
                line.clear();
                if lines.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                write!(lines.get_mut(), "ok {line}").unwrap();
            }
            match n % 3 {
                0 => {}
                1 => reset(lines.into_inner()),
                _ => drop(lines.get_mut().write_all(b"ok requ")),
            }
        }
    });
    at
}

#[test]
fn client_of_a_flaky_server() {
    let program = example::build(&["small_client"]).join("small_client");
    let run = |to: &str, requests: &str| {
        let output = Command::new(&program).args([to, requests]).output().unwrap();
        let said = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), said(output.stdout), said(output.stderr))
    };
    let (is_good, out, err) = run(&flaky().to_string(), "40");
    assert!(is_good, "{err}");
    let answers: String = (1..=40).map(|n| format!("request {n} -> ok request {n}\n")).collect();
    assert_eq!(out, answers, "each once, in order");
    assert!(err.contains(" requests left, next try in "), "{err}");

    let (is_good, _, err) = run(&closed_port().to_string(), "3");
    assert!(!is_good);
    let last = err.lines().last().unwrap();
    assert!(
        last.starts_with("Error: gave up after 6 tries, 3 requests left: connect to "),
        "{err}"
    );
    let (is_good, _, err) = run("nonsense", "3");
    assert!(!is_good && err.starts_with("Error: \"nonsense\" is not a valid address"), "{err}");
}
