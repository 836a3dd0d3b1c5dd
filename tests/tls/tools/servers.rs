//! A client of ours at servers of others: 1.2 and 1.3, full and resumed, with and without ALPN.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tidegate::prelude::*;
use tidegate::tls::{Tls, TlsClient};

use super::{Files, args, has};
use crate::authority::Authority;
use crate::peer::BOTH;
use crate::support::*;

/// A server of another, killed at the end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(files: &Files, tool: &str, line: &str, port: u16) -> (Server, SocketAddr) {
    let mut command = Command::new(tool);
    command.args(args(line)).current_dir(files.path(""));
    // Some servers end with their input.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.spawn().unwrap());
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let began = Instant::now();
    while TcpStream::connect(at).is_err() {
        assert!(began.elapsed() < DEADLINE, "{tool} does not listen");
        std::thread::yield_now();
    }
    (server, at)
}

/// Connects, asks, and says what was agreed, what came, and how it ended.
fn ask(lp: &mut Loop, at: SocketAddr, tls: &TlsClient, request: &'static str) -> [String; 3] {
    let (agreed, got, over) = (Log::default(), Log::default(), Log::default());
    let (connect, data, close) = (agreed.clone(), got.clone(), over.clone());
    let on = On::new()
        .connect(move |s| {
            let tls = s.filter::<Tls>().unwrap();
            let alpn = tls.alpn().map(|p| String::from_utf8_lossy(p).into_owned());
            let resumed = tls.is_resumed();
            connect.add(format!("{} {alpn:?} {resumed}", tls.version().unwrap()));
            let _ = s.write(request);
        })
        .data(move |s, chunk| {
            data.add(String::from_utf8_lossy(chunk));
            // Of a server that does not end itself.
            if request.starts_with("echo") {
                s.end();
            }
        })
        .close(move |_, c| close.add(c.to_string()));
    lp.connect(ConnectOptions::new(at).filter(tls.clone()), on);
    turn_until(lp, |_| !over.lines().is_empty());
    [agreed.lines().concat(), got.lines().concat(), over.lines().concat()]
}

fn client(ca: &Authority, alpn: bool) -> TlsClient {
    let mut builder = TlsClient::builder().roots(ca.roots());
    if alpn {
        builder = builder.alpn(["http/1.1"]);
    }
    builder.build().unwrap().name("tide.example").unwrap()
}

/// A program that echoes: at the first connection, and at one that resumes its session.
fn echoes(name: &str, file: &str, text: &str) {
    let ca = Authority::new();
    let files = Files::new(&ca);
    let (_server, at) = program(&files, name, file, text);
    let mut lp = guarded();
    let tls = client(&ca, true);
    for resumed in [false, true] {
        let [agreed, got, over] = ask(&mut lp, at, &tls, "echo me\n");
        assert_eq!(agreed, format!("TLSv1.3 Some(\"http/1.1\") {resumed}"));
        assert_eq!((got.as_str(), over.as_str()), ("echo me\n", "both sides ended"));
    }
}

#[test]
fn openssl_s_server() {
    if !has("openssl", "version") {
        return;
    }
    for (of, option) in [(BOTH[0], "-tls1_2"), (BOTH[1], "-tls1_3")] {
        for alpn in [false, true] {
            let ca = Authority::new();
            let files = Files::new(&ca);
            let port = free_port();
            let line = format!(
                "s_server -accept 127.0.0.1:{port} -cert cert.pem -key key.pem -alpn http/1.1 \
                 -www -quiet {option}"
            );
            let (_server, at) = start(&files, "openssl", &line, port);
            let mut lp = guarded();
            let tls = client(&ca, alpn);
            let protocol = if alpn { "Some(\"http/1.1\")" } else { "None" };
            for resumed in [false, true] {
                let [agreed, got, over] = ask(&mut lp, at, &tls, "GET / HTTP/1.0\r\n\r\n");
                assert_eq!(agreed, format!("{of} {protocol} {resumed}"));
                assert!(got.starts_with("HTTP/1.0 200 ok"), "{got}");
                assert_eq!(over, "both sides ended");
            }
            assert_eq!(tls.stats().resumed, 1);
        }
    }
}

#[test]
fn gnutls_serv() {
    if !has("gnutls-serv", "--version") {
        return;
    }
    for (of, version) in [(BOTH[0], "TLS1.2"), (BOTH[1], "TLS1.3")] {
        let ca = Authority::new();
        let files = Files::new(&ca);
        let port = free_port();
        let line = format!(
            "--echo --quiet --disable-client-cert --x509certfile cert.pem --x509keyfile key.pem \
             --alpn http/1.1 --priority NORMAL:-VERS-ALL:+VERS-{version} -p {port}"
        );
        let (_server, at) = start(&files, "gnutls-serv", &line, port);
        let mut lp = guarded();
        let tls = client(&ca, true);
        for resumed in [false, true] {
            let [agreed, got, _] = ask(&mut lp, at, &tls, "echo me\n");
            assert_eq!(agreed, format!("{of} Some(\"http/1.1\") {resumed}"));
            assert_eq!(got, "echo me\n");
        }
    }
}

/// Starts a program that prints its port, and then one line for each connection's end.
fn program(files: &Files, tool: &str, name: &str, text: &str) -> (Server, SocketAddr) {
    std::fs::write(files.path(name), text).unwrap();
    let mut command = Command::new(tool);
    command.arg(name).current_dir(files.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Server(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();
    (server, SocketAddr::from(([127, 0, 0, 1], port)))
}

#[test]
fn python() {
    if !has("python3", "--version") {
        return;
    }
    let text = r#"
import socket, ssl
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain("cert.pem", "key.pem")
ctx.set_alpn_protocols(["http/1.1"])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    raw, _ = listener.accept()
    try:
        s = ctx.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False)
        s.sendall(s.recv(4096))
        # Raises if there is no close_notify.
        assert s.recv(1) == b""
        s.unwrap()
        s.close()
    except Exception as e:
        raw.close()
"#;
    echoes("python3", "server.py", text);
}

#[test]
fn node() {
    if !has("node", "--version") {
        return;
    }
    let text = r#"
const tls = require('tls'), fs = require('fs');
const server = tls.createServer({ cert: fs.readFileSync('cert.pem'),
  key: fs.readFileSync('key.pem'), ALPNProtocols: ['http/1.1'] }, s => s.pipe(s));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"#;
    echoes("node", "server.js", text);
}
