//! `http_proxy` before a server of the test's, judged by `curl`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::running::{Running, installed};

/// A server in threads. It tells what it got: the start line, fields of interest, and the body's
/// length; keeps its connections; and closes each after three answers, without a word.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let peer = peer.unwrap();
            thread::spawn(move || answer_all(peer));
        }
    });
    at
}

fn answer_all(mut peer: TcpStream) {
    let mut reader = BufReader::new(peer.try_clone().unwrap());
    for _ in 0..3 {
        let Some(told) = request(&mut reader) else { return };
        let body = if told.starts_with("HEAD") { String::new() } else { told.clone() };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nKeep-Alive: timeout=5\r\nX-Up: yes\r\n\r\n",
            told.len()
        );
        if peer.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

fn request(from: &mut impl BufRead) -> Option<String> {
    let (mut told, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let lower = line.trim_end().to_ascii_lowercase();
        if told.is_empty() {
            told = line.trim_end().to_owned();
        }
        for field in ["connection:", "x-mine:", "expect:"] {
            if lower.starts_with(field) {
                told.push_str(&format!("; {lower}"));
            }
        }
        if let Some(n) = lower.strip_prefix("content-length: ") {
            length = n.parse().unwrap();
        }
        chunked |= lower == "transfer-encoding: chunked";
        if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    while chunked {
        let mut size = String::new();
        from.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        from.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Some(format!("{told}; {} bytes", body.len()))
}

#[track_caller]
fn curl(arguments: &[&str]) -> Option<String> {
    let output = installed("curl", &[&["-sS", "--max-time", "20"], arguments].concat())?;
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn curl_through_the_proxy() {
    let up = upstream();
    let proxy = Running::start("http_proxy", &["127.0.0.1:0", &format!("http://{up}")]);
    let url = format!("http://{}/x?y", proxy.at);
    let Some(told) = curl(&[&url, "-H", "X-Mine: a", "-H", "Connection: x-mine-too"]) else {
        return;
    };
    assert_eq!(told, "GET /x?y HTTP/1.1; x-mine: a; 0 bytes");
    // More of them than the server answers on one connection.
    for n in 0..10 {
        let body = "b".repeat(n * 1000);
        let put = ["-X", "PUT", "--data-binary", &body, &url];
        assert_eq!(curl(&put).unwrap(), format!("PUT /x?y HTTP/1.1; {} bytes", n * 1000));
    }
    let head = curl(&["-I", &url]).unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n") && head.contains("\r\nx-up: yes"), "{head}");
    assert!(!head.contains("keep-alive: timeout"), "{head}");
    // A large body in chunks, and one for which curl waits for 100.
    let file = std::env::temp_dir().join(format!("tidegate-http-proxy-{}", std::process::id()));
    std::fs::write(&file, vec![b'x'; 20_000_000]).unwrap();
    let file = file.to_str().unwrap();
    let chunked = ["-T", file, "-H", "Transfer-Encoding: chunked", &url];
    assert_eq!(curl(&chunked).unwrap(), "PUT /x?y HTTP/1.1; 20000000 bytes");
    let whole = ["-T", file, "--expect100-timeout", "20", &url];
    assert_eq!(curl(&whole).unwrap(), "PUT /x?y HTTP/1.1; 20000000 bytes");
    std::fs::remove_file(file).unwrap();
    let said = proxy.stop();
    assert!(said.ends_with(", 0 failed\n"), "{said}");
}

#[test]
fn no_server_behind_the_proxy() {
    let up = crate::support::closed_port();
    let proxy = Running::start("http_proxy", &["127.0.0.1:0", &format!("http://{up}")]);
    let url = format!("http://{}/", proxy.at);
    let code = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url]);
    assert!(code.is_none_or(|code| code == "502"));
    proxy.stop();
}
