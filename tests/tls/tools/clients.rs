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

/// A server, and what a tool needs to reach it.
struct Scene {
    lp: Guarded,
    files: Files,
    tls: TlsServer,
    log: Log,
    at: SocketAddr,
}

impl Scene {
    fn new() -> Scene {
        let ca = Authority::new();
        let (files, tls) = (Files::new(&ca), server(&ca));
        let (mut lp, log) = (guarded(), Log::default());
        let at = serve(&mut lp, &tls, &log);
        Scene { lp, files, tls, log, at }
    }

    /// Runs a client once; what the server said to it.
    fn ask(&mut self, tool: &str, line: String) -> String {
        let (dir, tool) = (self.files.path(""), tool.to_owned());
        let request = b"GET / HTTP/1.0\r\n\r\n";
        let out = beside(&mut self.lp, move || run(&dir, &tool, &args(&line), request));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let found = text.lines().find_map(|line| line.strip_prefix("agreed: ").map(str::to_owned));
        found.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&out.stderr)))
    }

    /// How the first connection ended.
    fn ended(&mut self) -> String {
        turn_until(&mut self.lp, |_| !self.log.lines().is_empty());
        self.log.lines().remove(0)
    }
}

#[test]
fn openssl_s_client() {
    if !has("openssl", "version") {
        return;
    }
    for (of, option) in [(BOTH[0], "-tls1_2"), (BOTH[1], "-tls1_3")] {
        for alpn in [false, true] {
            let mut scene = Scene::new();
            let at = scene.at;
            let offers = if alpn { "-alpn http/1.1" } else { "" };
            let protocol = if alpn { "Some(\"http/1.1\")" } else { "None" };
            for (session, resumed) in [("-sess_out s.pem", false), ("-sess_in s.pem", true)] {
                let line = format!(
                    "s_client -connect {at} -servername tide.example -CAfile ca.pem \
                     -verify_return_error -verify_hostname tide.example -ign_eof {option} \
                     {offers} {session}"
                );
                let agreed = scene.ask("openssl", line);
                assert_eq!(agreed, format!("{of} {protocol} {resumed}"));
            }
            turn_until(&mut scene.lp, |_| scene.log.lines().len() == 2);
            assert_eq!(scene.tls.stats().failed, 0, "{:?}", scene.tls.stats());
        }
    }
}

#[test]
fn curl() {
    if !has("curl", "--version") {
        return;
    }
    for (of, option) in [(BOTH[0], "--tls-max 1.2"), (BOTH[1], "--tlsv1.3")] {
        let mut scene = Scene::new();
        let line = format!(
            "-sS --http1.1 --cacert ca.pem {option} --resolve tide.example:{}:127.0.0.1 \
             https://tide.example:{}/",
            scene.at.port(),
            scene.at.port()
        );
        let agreed = scene.ask("curl", line);
        assert_eq!(agreed, format!("{of} Some(\"http/1.1\") false"));
        assert_eq!(scene.ended(), "both sides ended");
    }
}

#[test]
fn gnutls_cli() {
    if !has("gnutls-cli", "--version") {
        return;
    }
    for (of, version) in [(BOTH[0], "TLS1.2"), (BOTH[1], "TLS1.3")] {
        let mut scene = Scene::new();
        let line = format!(
            "--x509cafile ca.pem --sni-hostname tide.example --verify-hostname tide.example \
             --alpn http/1.1 --priority NORMAL:-VERS-ALL:+VERS-{version} -p {} 127.0.0.1",
            scene.at.port()
        );
        let agreed = scene.ask("gnutls-cli", line);
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
        let mut scene = Scene::new();
        std::fs::write(scene.files.path("client.py"), program).unwrap();
        let line = format!("client.py {} {version}", scene.at.port());
        let agreed = scene.ask("python3", line);
        assert_eq!(agreed, format!("{of} Some(\"http/1.1\") true"));
        assert_eq!(scene.tls.stats().resumed, 1);
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
        let mut scene = Scene::new();
        std::fs::write(scene.files.path("client.js"), program).unwrap();
        let line = format!("client.js {} {version}", scene.at.port());
        let agreed = scene.ask("node", line);
        assert_eq!(agreed, format!("{of} Some(\"http/1.1\") false"));
        assert_eq!(scene.ended(), "both sides ended");
    }
}

/// The old versions and the weak suites are not there: the alert says so.
#[test]
fn openssl_with_old_versions_is_refused() {
    if !has("openssl", "version") {
        return;
    }
    let Scene { mut lp, files, tls, at, .. } = Scene::new();
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
