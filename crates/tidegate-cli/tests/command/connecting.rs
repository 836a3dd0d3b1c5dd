//! `connect`: bytes there and back, the stages, the ends.

use std::io::{BufRead, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::running::{Running, command, nobody, run, run_with};

fn echo() -> (Running, String) {
    let (server, at) = Running::serve(&["serve", "echo", "127.0.0.1:0"]);
    (server, at.to_string())
}

#[test]
fn standard_input_goes_there_and_comes_back() {
    let (_server, at) = echo();
    let input = "tide\n".repeat(200_000);
    let done = run_with(&["connect", &at], input.as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out == input, "{} of {} bytes", done.out.len(), input.len());
}

#[test]
fn stages_are_shown_in_order() {
    let (_server, at) = echo();
    let port = at.rsplit(':').next().unwrap();
    let done = run(&["connect", &format!("localhost:{port}"), "--text", "tide"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "tide"), "{done:?}");
    let stages =
        ["looking up localhost", "connecting to", "connected", "first bytes written", "closed"];
    let mut rest = &done.err[..];
    for stage in stages {
        let at = rest.find(stage).unwrap_or_else(|| panic!("no {stage:?} in {}", done.err));
        rest = &rest[at..];
    }
    let quiet = run(&["connect", &at, "--text", "tide", "--quiet"]);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("tide", ""));
}

/// As `tidegate connect ... | head -1`.
#[test]
fn it_ends_quietly_when_nobody_reads_the_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let peer = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        while peer.write_all(b"tide\n").is_ok() {}
    });
    let arguments = ["connect", &at, "--text", "x", "--hold", "--quiet"];
    let (client, mut out) = Running::start_apart(&mut command(&arguments));
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    let done = client.finish();
    assert_eq!((line.as_str(), done.code, done.err.as_str()), ("tide\n", Some(0), ""));
    peer.join().unwrap();

    let (_server, at) = Running::serve(&["serve", "http", "127.0.0.1:0", "--quiet"]);
    let arguments = ["connect", &at.to_string(), "--http", "/bytes/100000000", "--quiet"];
    let (client, mut out) = Running::start_apart(&mut command(&arguments));
    out.read_exact(&mut [0; 1000]).unwrap();
    drop(out);
    let done = client.finish();
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
}

/// A disk that is full is no reader that has gone.
#[test]
#[cfg(target_os = "linux")]
fn an_output_that_fails_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = command(&["completions", "bash"]).stdout(full).output().unwrap();
    let err = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{err}");
    assert!(err.contains("error: standard output: No space left"), "{err}");
}

#[test]
fn refused_says_so_and_ends_with_1() {
    let done = run(&["connect", &nobody(), "--text", "x"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("error:") && done.err.contains("ECONNREFUSED"), "{done:?}");
}

#[test]
fn a_reset_by_the_peer_is_a_failure() {
    let (_server, at) = Running::serve(&["serve", "discard", "127.0.0.1:0", "--reset"]);
    let done = run(&["connect", &at.to_string(), "--text", "x", "--hold"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("ECONNRESET"), "{done:?}");
}

#[test]
fn our_reset_arrives_as_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let client = Running::start(&mut command(&["connect", &at, "--text", "x", "--reset"]));
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 1);
    let e = peer.read(&mut [0]).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset);
    client.finish().good();
}

#[test]
fn an_idle_timeout_ends_it() {
    let (_server, at) = echo();
    let done = run(&["connect", &at, "--text", "x", "--hold", "--idle-timeout", "50ms"]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), "x"), "{done:?}");
    assert!(done.err.contains("idle"), "{done:?}");
}

#[test]
fn after_the_peers_end_we_go_on_if_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let arguments = ["connect", &at, "--half-open"];
    let mut client = Running::start(command(&arguments).stdin(Stdio::piped()));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"last words\n").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    client.until("last words");
    client.complains("end of the peer");
    client.write(b"still here");
    client.end_input();
    let mut got = String::new();
    peer.read_to_string(&mut got).unwrap();
    assert_eq!(got, "still here");
    client.finish().good();
}

/// A peer that does not read stops us: what it has not taken is not in our memory.
#[test]
#[cfg(target_os = "linux")]
fn a_peer_that_does_not_read_stops_what_is_sent() {
    let (_server, at) =
        Running::serve(&["serve", "discard", "127.0.0.1:0", "--read-rate", "0", "--quiet"]);
    let mut client = Running::start(&mut command(&["connect", &at.to_string(), "--send", "4G"]));
    client.complains("full");
    let peak = client.most_memory();
    assert!(peak < 64 << 20, "{peak} bytes");
    let done = client.stop();
    assert_eq!(done.code, Some(130), "{done:?}");
}

#[test]
fn a_text_can_drip() {
    let (_server, at) = echo();
    let done = run(&["connect", &at, "--text", "tide", "--drip", "5ms", "--quiet"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "tide"), "{done:?}");
}

#[test]
fn answers_can_be_read_slowly() {
    let (_server, at) = Running::serve(&["serve", "http", "127.0.0.1:0"]);
    let request = "GET /bytes/3000 HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n";
    let at = at.to_string();
    let started = std::time::Instant::now();
    let done = run(&["connect", &at, "--text", request, "--read-rate", "10K", "--quiet"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.ends_with(&"x".repeat(3000)), "{}", done.out);
    assert!(started.elapsed().as_millis() > 250, "{:?}", started.elapsed());
}

#[test]
fn http_shows_the_head_and_prints_the_body() {
    let (_server, at) = Running::serve(&["serve", "http", "127.0.0.1:0"]);
    let done = run(&["connect", &at.to_string(), "--http", "/hello"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "Hello, World!\n"), "{done:?}");
    assert!(
        done.err.contains("> GET /hello") && done.err.contains("< HTTP/1.1 200 OK"),
        "{done:?}"
    );
    let done = run(&["connect", &nobody(), "--http"]);
    assert_eq!(done.code, Some(1), "{done:?}");
}

#[test]
fn tls_to_a_plain_server_says_so() {
    let (_server, at) = echo();
    let done = run(&["connect", &at, "--tls", "--name", "tide.example", "--text", "x"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("TLS") || done.err.contains("handshake"), "{done:?}");
}
