//! Clients of others at a server of ours: 1.2 and 1.3, full and resumed, with and without ALPN.

use std::net::SocketAddr;

use tidegate::prelude::*;
use tidegate::tls::{Tls, TlsServer};

use super::{Files, args, has, run};
use crate::authority::Authority;
use crate::peer::{BOTH, beside};
use crate::support::*;

/// A server that answers each request by one line of what was agreed, and ends.
fn serve(lp: &mut Loop, tls: &TlsServer, log: &Log) -> SocketAddr {
    let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
    let log = log.clone();
    let server = lp.listen(options, move |mut conn| {
        let tls = conn.filter::<Tls>().unwrap();
        let alpn = tls.alpn().map(|p| String::from_utf8_lossy(p).into_owned());
        let agreed = format!("{} {alpn:?} {}", tls.version().unwrap(), tls.is_resumed());
        let close = log.clone();
        let on = On::new()
            .data(move |s, _| {
                let body = format!("agreed: {agreed}\n");
                let len = body.len();
                let _ =
                    s.end_with(format!("HTTP/1.0 200 OK\r\nContent-Length: {len}\r\n\r\n{body}"));
            })
            .close(move |_, c| close.add(c.to_string()));
        conn.accept(on);
    });
    lp.server(server.unwrap()).local_addr().unwrap()
}

fn server(ca: &Authority) -> TlsServer {
    let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
    builder.alpn(["http/1.1"]).build().unwrap()
}

/// Runs a client once; what the server said to it.
fn ask(lp: &mut Loop, files: &Files, tool: &str, line: String) -> String {
    let dir = files.path("");
    let tool = tool.to_owned();
    let out = beside(lp, move || run(&dir, &tool, &args(&line), b"GET / HTTP/1.0\r\n\r\n"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let found = text.lines().find_map(|line| line.strip_prefix("agreed: ").map(str::to_owned));
    found.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&out.stderr)))
}

#[test]
fn openssl_s_client() {
    if !has("openssl", "version") {
        return;
    }
    for (of, option) in [(BOTH[0], "-tls1_2"), (BOTH[1], "-tls1_3")] {
        for alpn in [false, true] {
            let ca = Authority::new();
            let files = Files::new(&ca);
            let tls = server(&ca);
            let mut lp = guarded();
            let log = Log::default();
            let at = serve(&mut lp, &tls, &log);
            let offers = if alpn { "-alpn http/1.1" } else { "" };
            let protocol = if alpn { "Some(\"http/1.1\")" } else { "None" };
            for (session, resumed) in [("-sess_out s.pem", false), ("-sess_in s.pem", true)] {
                let line = format!(
                    "s_client -connect {at} -servername tide.example -CAfile ca.pem \
                     -verify_return_error -verify_hostname tide.example -ign_eof {option} \
                     {offers} {session}"
                );
                let agreed = ask(&mut lp, &files, "openssl", line);
                assert_eq!(agreed, format!("{of} {protocol} {resumed}"));
            }
            turn_until(&mut lp, |_| log.lines().len() == 2);
            assert_eq!(tls.stats().failed, 0, "{:?}", tls.stats());
        }
    }
}

#[test]
fn curl() {
    if !has("curl", "--version") {
        return;
    }
    for (of, option) in [(BOTH[0], "--tls-max 1.2"), (BOTH[1], "--tlsv1.3")] {
        let ca = Authority::new();
        let files = Files::new(&ca);
        let tls = server(&ca);
        let mut lp = guarded();
        let log = Log::default();
        let at = serve(&mut lp, &tls, &log);
        let line = format!(
            "-sS --http1.1 --cacert ca.pem {option} --resolve tide.example:{}:127.0.0.1 \
             https://tide.example:{}/",
            at.port(),
            at.port()
        );
        let agreed = ask(&mut lp, &files, "curl", line);
        assert_eq!(agreed, format!("{of} Some(\"http/1.1\") false"));
        turn_until(&mut lp, |_| !log.lines().is_empty());
        assert_eq!(log.lines(), ["both sides ended"]);
    }
}

#[test]
fn gnutls_cli() {
    if !has("gnutls-cli", "--version") {
        return;
    }
    for (of, version) in [(BOTH[0], "TLS1.2"), (BOTH[1], "TLS1.3")] {
        let ca = Authority::new();
        let files = Files::new(&ca);
        let tls = server(&ca);
        let mut lp = guarded();
        let log = Log::default();
        let at = serve(&mut lp, &tls, &log);
        let line = format!(
            "--x509cafile ca.pem --sni-hostname tide.example --verify-hostname tide.example \
             --alpn http/1.1 --priority NORMAL:-VERS-ALL:+VERS-{version} -p {} 127.0.0.1",
            at.port()
        );
        let agreed = ask(&mut lp, &files, "gnutls-cli", line);
        assert_eq!(agreed, format!("{of} Some(\"http/1.1\") false"));
    }
}

#[test]
fn python() {
    if !has("python3", "--version") {
        return;
    }
    let program = r#"
import socket, ssl, sys
port, version = int(sys.argv[1]), getattr(ssl.TLSVersion, sys.argv[2])
ctx = ssl.create_default_context(cafile="ca.pem")
ctx.minimum_version = ctx.maximum_version = version
ctx.set_alpn_protocols(["http/1.1"])
session = None
for i in range(2):
    raw = socket.create_connection(("127.0.0.1", port))
    s = ctx.wrap_socket(raw, server_hostname="tide.example", session=session,
                        suppress_ragged_eofs=False)
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    got = b""
    while True:
        more = s.recv(4096)  # raises if there is no close_notify
        if not more: break
        got += more
    session = s.session
    s.unwrap()
    line = got.decode().splitlines()[-1]
    print(("first " if i == 0 else "") + line)
"#;
    for (of, version) in [(BOTH[0], "TLSv1_2"), (BOTH[1], "TLSv1_3")] {
        let ca = Authority::new();
        let files = Files::new(&ca);
        std::fs::write(files.path("client.py"), program).unwrap();
        let tls = server(&ca);
        let mut lp = guarded();
        let at = serve(&mut lp, &tls, &Log::default());
        let line = format!("client.py {} {version}", at.port());
        let agreed = ask(&mut lp, &files, "python3", line);
        assert_eq!(agreed, format!("{of} Some(\"http/1.1\") true"));
        assert_eq!(tls.stats().resumed, 1);
    }
}

#[test]
fn node() {
    if !has("node", "--version") {
        return;
    }
    let program = r#"
const tls = require('tls'), fs = require('fs');
const [port, version] = process.argv.slice(2);
const s = tls.connect({ port, host: '127.0.0.1', servername: 'tide.example',
  ca: fs.readFileSync('ca.pem'), minVersion: version, maxVersion: version,
  ALPNProtocols: ['http/1.1'] }, () => s.write('GET / HTTP/1.0\r\n\r\n'));
s.on('data', chunk => process.stdout.write(chunk));
s.on('end', () => console.log('end'));
s.on('error', e => { console.log('error ' + e.code); process.exit(1); });
"#;
    for (of, version) in [(BOTH[0], "TLSv1.2"), (BOTH[1], "TLSv1.3")] {
        let ca = Authority::new();
        let files = Files::new(&ca);
        std::fs::write(files.path("client.js"), program).unwrap();
        let tls = server(&ca);
        let mut lp = guarded();
        let log = Log::default();
        let at = serve(&mut lp, &tls, &log);
        let line = format!("client.js {} {version}", at.port());
        let agreed = ask(&mut lp, &files, "node", line);
        assert_eq!(agreed, format!("{of} Some(\"http/1.1\") false"));
        turn_until(&mut lp, |_| !log.lines().is_empty());
        assert_eq!(log.lines(), ["both sides ended"]);
    }
}

/// The old versions and the weak suites are not there: the alert says so.
#[test]
fn openssl_with_old_versions_is_refused() {
    if !has("openssl", "version") {
        return;
    }
    let ca = Authority::new();
    let files = Files::new(&ca);
    let tls = server(&ca);
    let mut lp = guarded();
    let at = serve(&mut lp, &tls, &Log::default());
    for option in [
        "-tls1_1 -cipher ALL:@SECLEVEL=0",
        "-tls1_2 -cipher AES128-SHA:@SECLEVEL=0",
        "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
    ] {
        let line = format!("s_client -connect {at} -servername tide.example {option}");
        let dir = files.path("");
        let out = beside(&mut lp, move || run(&dir, "openssl", &args(&line), b""));
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(text.contains("alert"), "{option}: {text}");
    }
    assert_eq!(tls.stats().failed, 3);
}
