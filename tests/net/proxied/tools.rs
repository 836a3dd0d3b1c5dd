//! haproxy in front of a server of ours, a client of ours in front of haproxy, and which headers
//! haproxy and nginx take. A tool that is not installed is skipped, and the test prints why.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tidegate::net::ProxyHeader;
use tidegate::prelude::*;

use super::*;

/// A program of others with a configuration of this test's own.
struct Tool {
    child: Child,
    folder: PathBuf,
}

impl Tool {
    /// `None`, with the reason said, if it is not installed. `heir`: it gets this socket, which
    /// listens already, as the descriptor of the same number.
    fn start(
        name: &str,
        arguments: &[&str],
        config: &str,
        heir: Option<&TcpListener>,
    ) -> Option<Tool> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tidegate-{name}-{}-{n}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let config = config.replace("FOLDER", folder.to_str().unwrap());
        std::fs::write(folder.join("config"), config).unwrap();
        if let Some(listener) = heir {
            socket2::SockRef::from(listener).set_cloexec(false).unwrap();
        }
        let child = Command::new(name)
            .args(arguments)
            .arg(folder.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Some(listener) = heir {
            socket2::SockRef::from(listener).set_cloexec(true).unwrap();
        }
        match child {
            Ok(child) => Some(Tool { child, folder }),
            Err(e) => {
                eprintln!("skipped: {name}: {e}");
                let _ = std::fs::remove_dir_all(&folder);
                None
            }
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// haproxy in the foreground, with these sections behind its defaults; its front end listens on a
/// socket of ours. `ADDRESS` and `FRONT` stand for an address and that socket.
fn haproxy(sections: &str, address: SocketAddr) -> Option<(Tool, SocketAddr)> {
    use std::os::fd::AsRawFd;
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = front.local_addr().unwrap();
    let defaults = "global\n  nbthread 1\ndefaults\n  timeout connect 20s\n  timeout client 20s\n  timeout server 20s\n";
    let sections = sections.replace("ADDRESS", &address.to_string());
    let sections = sections.replace("FRONT", &format!("fd@{}", front.as_raw_fd()));
    let config = format!("{defaults}{sections}");
    Some((Tool::start("haproxy", &["-q", "-db", "-f"], &config, Some(&front))?, at))
}

/// Each way in which haproxy sends a header: our server sees the client's port, which only that
/// knows.
#[test]
fn haproxy_in_front() {
    for option in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority",
        "send-proxy-v2-ssl-cn",
    ] {
        let mut lp = guarded();
        let (server, at, log) = echo(&mut lp, plain().proxy_protocol(from_loopback()));
        let sections = format!(
            "listen front\n  mode tcp\n  bind FRONT\n  unique-id-format %ci:%cp\n  server ours ADDRESS {option}\n"
        );
        let Some((_haproxy, front)) = haproxy(&sections, at) else { return };
        let mut peer = client(front);
        write_all(&peer, b"tide");
        let expected = format!("{} by loopback", peer.local_addr().unwrap());
        turn_until(&mut lp, |_| log.has(&expected));
        turn_until(&mut lp, |lp| lp.net_metrics().bytes_written == 4);
        let mut back = [0; 4];
        peer.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"tide", "{option}");
        drop(peer);
        end(&mut lp, server);
        assert!(!log.lines().iter().any(|l| l.contains("refused")), "{option}: {:?}", log.lines());
    }
}

/// haproxy's health checks speak for haproxy itself.
#[test]
fn haproxy_checks_our_health() {
    for option in ["send-proxy", "send-proxy-v2"] {
        let mut lp = guarded();
        let options = plain().proxy_protocol(from_loopback()).max_per_peer(0);
        let (server, at, log) = echo(&mut lp, options);
        let sections = format!(
            "listen front\n  mode tcp\n  bind FRONT\n  server ours ADDRESS {option} check check-send-proxy inter 50ms\n"
        );
        let Some((_haproxy, _)) = haproxy(&sections, at) else { return };
        let local = |l: &String| l == "a peer by itself, local";
        turn_until(&mut lp, |lp| {
            let limited = lp.server(server).stats().unwrap().limited;
            log.lines().iter().filter(|l| local(l)).count() >= 2 || limited >= 2
        });
        // Version 1 has no word for it: haproxy sends its own addresses, as those of a client.
        assert_eq!(log.lines().iter().any(local), option == "send-proxy-v2", "{:?}", log.lines());
        lp.server(server).close().unwrap();
        drop(_haproxy);
        lp.run().unwrap();
    }
}

/// What an HTTP server answers to a request behind this header: the address that it took, or `None`
/// if it did not take it.
fn asked(at: SocketAddr, header: &[u8]) -> Option<String> {
    let peer = client(at);
    // It may reset the connection before all is written.
    let request = b"GET / HTTP/1.1\r\nHost: tide\r\nConnection: close\r\n\r\n";
    let _ = (&peer).write_all(&[header, request].concat());
    let mut answer = Vec::new();
    let _ = (&peer).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if !answer.starts_with("HTTP/1.1 200") {
        return None;
    }
    let line = answer.lines().find_map(|l| l.strip_prefix("x-client: "));
    Some(line.unwrap_or_default().trim().to_owned())
}

const ACCEPTING: &str = "frontend front\n  mode http\n  bind FRONT accept-proxy\n  http-request return status 200 hdr x-client %[src]:%[src_port]\n";

/// Our headers, for haproxy.
#[test]
fn haproxy_takes_our_headers() {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let Some((_haproxy, at)) = haproxy(ACCEPTING, nowhere) else { return };
    let (v4, v6) = ("192.0.2.7:51000".parse().unwrap(), "[2001:db8::7]:51000".parse().unwrap());
    let to = "198.51.100.1:443".parse().unwrap();
    let to6 = "[2001:db8::1]:443".parse().unwrap();
    for (header, expected) in [
        (ProxyHeader::v1(v4, to), "192.0.2.7:51000"),
        (ProxyHeader::v2(v4, to), "192.0.2.7:51000"),
        (ProxyHeader::v1(v6, to6), "2001:db8::7:51000"),
        (ProxyHeader::v2(v6, to6), "2001:db8::7:51000"),
        (ProxyHeader::v2(v4, to6), "::ffff:192.0.2.7:51000"),
        (ProxyHeader::v2(v4, to).with_checksum(), "192.0.2.7:51000"),
        (
            ProxyHeader::v2(v4, to).with(ProxyHeader::AUTHORITY, b"tide").unwrap().with_checksum(),
            "192.0.2.7:51000",
        ),
    ] {
        assert_eq!(asked(at, &header.to_bytes()).as_deref(), Some(expected), "{header:?}");
    }
    let local = asked(at, &ProxyHeader::local().to_bytes()).unwrap();
    assert!(local.starts_with("127.0.0.1:"), "{local}");
    // And by a connection of ours.
    let mut lp = guarded();
    let log = Log::default();
    let (said, done) = (log.clone(), log.clone());
    let to = ConnectOptions::new(at).proxy_header(ProxyHeader::v2(v4, to));
    let request = "GET / HTTP/1.1\r\nHost: tide\r\nConnection: close\r\n\r\n";
    let on = On::new()
        .data(move |_, chunk| said.add(String::from_utf8_lossy(chunk)))
        .close(move |_, close| done.add(close.to_string()));
    let key = lp.connect(to, on);
    let _ = lp.socket(key).write(request);
    lp.run().unwrap();
    assert!(log.lines()[0].contains("x-client: 192.0.2.7:51000"), "{:?}", log.lines());
}

/// A header, who of haproxy and nginx takes it, and whether we do.
struct Judged(&'static str, Vec<u8>, [bool; 3]);

fn judged() -> Vec<Judged> {
    let v2 = |command: u8, family: u8, rest: &[u8]| {
        let [high, low] = (rest.len() as u16).to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family, high, low][..], rest].concat()
    };
    let v4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0, 123, 0x16, 0x2e];
    let line = |text: &str| text.as_bytes().to_vec();
    let (all, none) = ([true; 3], [false; 3]);
    vec![
        Judged("v1", line("PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\n"), all),
        Judged("v1, IPv6", line("PROXY TCP6 2001:Db8::1 2001:Db8::2 123 5678\r\n"), all),
        Judged("v1, unknown", line("PROXY UNKNOWN\r\n"), all),
        // The document: what is in the line is to be ignored.
        Judged("v1, unknown, words", line("PROXY UNKNOWN 1 2 3\r\n"), [false, true, true]),
        Judged("v2", v2(0x21, 0x11, v4), all),
        Judged("v2, local", v2(0x20, 0x00, &[]), all),
        Judged("v2, local with bytes", v2(0x20, 0x11, v4), all),
        Judged("v2, three empty values", v2(0x21, 0x11, &[v4, &[0; 9]].concat()), all),
        Judged("v2, no family", v2(0x21, 0x00, &[]), [false, true, true]),
        Judged("v2, a family without a name", v2(0x21, 0x41, &[1, 2, 3, 4]), [false, true, false]),
        Judged("v2, UDP", v2(0x21, 0x12, v4), [false, true, true]),
        Judged("no header", Vec::new(), none),
        Judged("v1, LF alone", line("PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\n"), none),
        Judged("v1, TCP5", line("PROXY TCP5 192.0.2.1 192.0.2.2 123 5678\r\n"), none),
        Judged("v1, a word is missing", line("PROXY TCP4 192.0.2.1 192.0.2.2 123\r\n"), none),
        Judged("v1, lower case", line("proxy TCP4 192.0.2.1 192.0.2.2 123 5678\r\n"), none),
        Judged("v1, no blank", line("PROXYTCP4 192.0.2.1 192.0.2.2 123 5678\r\n"), none),
        Judged("v2, another version", v2(0x31, 0x11, v4), none),
        Judged("v2, too short for its addresses", v2(0x21, 0x11, &v4[1..]), none),
        Judged("v2, another command", v2(0x22, 0x11, v4), [false, true, false]),
        Judged(
            "v2, a value too long",
            v2(0x21, 0x11, &[v4, &[2, 0, 9, 1]].concat()),
            [false, true, false],
        ),
        Judged(
            "v2, a wrong checksum",
            v2(0x21, 0x11, &[v4, &[3, 0, 4, 1, 2, 3, 4]].concat()),
            [false, true, false],
        ),
        Judged("v1, UNKNOWNX", line("PROXY UNKNOWNX\r\n"), [false, true, false]),
        Judged(
            "v1, a port too high",
            line("PROXY TCP4 192.0.2.1 192.0.2.2 65536 5678\r\n"),
            [true, false, false],
        ),
        Judged(
            "v1, a zero in front of an address",
            line("PROXY TCP4 192.0.2.01 192.0.2.2 123 5678\r\n"),
            [true, true, false],
        ),
        Judged(
            "v1, zeros in front",
            line("PROXY TCP4 192.0.2.1 192.0.2.2 0123 5678\r\n"),
            [true, true, false],
        ),
    ]
}

/// We take what both take, and refuse what both refuse. Where they differ we do as the protocol's
/// document says; and we keep one of its rules that neither does.
#[test]
fn what_haproxy_and_nginx_take() {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let haproxy = haproxy(ACCEPTING, nowhere);
    let nginx = nginx();
    for Judged(name, header, [theirs_h, theirs_n, ours]) in judged() {
        if let Some((_, at)) = &haproxy {
            assert_eq!(asked(*at, &header).is_some(), theirs_h, "haproxy: {name}");
        }
        if let Some((_, at)) = &nginx {
            assert_eq!(asked(*at, &header).is_some(), theirs_n, "nginx: {name}");
        }
        let request = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        let taken = ProxyHeader::parse(&request);
        assert_eq!(taken.as_ref().is_ok_and(|t| t.is_some()), ours, "{name}: {taken:?}");
        assert!(!ours || theirs_h || theirs_n, "{name}");
        // And the same address.
        if let (Some((_, at)), Ok(Some((taken, _))), true) = (&haproxy, taken, theirs_h) {
            let said = asked(*at, &header).unwrap();
            match taken.source() {
                Some(at) => assert_eq!(said, format!("{}:{}", at.ip(), at.port()), "{name}"),
                None => assert!(said.starts_with("127.0.0.1:"), "{name}: {said}"),
            }
        }
    }
}

/// nginx that answers with the address that a header names. Its port may be taken meanwhile: then it
/// tries others.
fn nginx() -> Option<(Tool, SocketAddr)> {
    for _ in 0..5 {
        let at = closed_port();
        let config = format!(
            "daemon off;\nmaster_process off;\nerror_log FOLDER/error.log;\npid FOLDER/pid;\n\
             events {{}}\nhttp {{\n  access_log off;\n\
             client_body_temp_path FOLDER/b;\n  proxy_temp_path FOLDER/p;\n\
             fastcgi_temp_path FOLDER/f;\n  uwsgi_temp_path FOLDER/u;\n  scgi_temp_path FOLDER/s;\n\
             server {{\n    listen {at} proxy_protocol;\n\
             add_header x-client $proxy_protocol_addr;\n    return 200;\n  }}\n}}\n"
        );
        let mut tool = Tool::start("nginx", &["-c"], &config, None)?;
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end && tool.child.try_wait().unwrap().is_none() {
            if TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok() {
                return Some((tool, at));
            }
        }
    }
    panic!("nginx does not start");
}
