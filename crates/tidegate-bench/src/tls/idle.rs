//! Memory of idle connections with TLS: of tidegate and of the server by hand what their threads have
//! allocated; beside node and nginx, as programs, what the kernel counts.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Sides;
use super::client::Client;
use crate::contest::thousands;
use crate::peer::contract::{Mode, Options};
use crate::program::{self, Program};
use crate::server::Server;
use crate::sys::allocator;

/// Connections before the first look, and after it.
const WARM: usize = 100;

const NODE: &str = "const tls = require('tls'), fs = require('fs');
tls.createServer({ cert: fs.readFileSync(__dirname + '/cert.pem'), key: fs.readFileSync(__dirname + '/key.pem') },
  s => { s.on('error', () => {}); s.pipe(s); }).listen(Number(process.argv[2]), '127.0.0.1');
";

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: tide.example\r\n\r\n";

/// Opens so many connections, each of which has got an answer.
fn open(
    sides: &Sides,
    at: SocketAddr,
    count: usize,
    message: &[u8],
    answer: usize,
) -> io::Result<Vec<Client>> {
    let one = || {
        let mut client = Client::connect(at, &sides.full)?;
        client.ask(message, &mut vec![0; answer])?;
        Ok(client)
    };
    (0..count).map(|_| one()).collect()
}

/// Bytes that a thread has allocated for each connection.
fn allocated(sides: &Sides, count: usize) -> io::Result<Vec<(&'static str, f64)>> {
    let mut all = Vec::new();
    for (name, peer) in sides.peers() {
        let server = Server::start(peer, Options { counted: true, ..Mode::Echo.into() });
        let first = open(sides, server.at(), WARM, b"x", 1)?;
        server.settle();
        let before = allocator::held();
        let more = open(sides, server.at(), count, b"x", 1)?;
        server.settle();
        all.push((name, (allocator::held() - before) as f64 / count as f64));
        drop((first, more));
        server.settle();
    }
    Ok(all)
}

/// Bytes of a program for each connection. `message` is answered by so many bytes.
fn of_program(
    sides: &Sides,
    program: &Program,
    count: usize,
    message: &[u8],
    answer: usize,
) -> io::Result<f64> {
    let at = program.at();
    let first = open(sides, at, WARM, message, answer)?;
    let before = program.memory();
    let more = open(sides, at, count, message, answer)?;
    let each = (program.memory() - before) / count as f64;
    drop((first, more));
    Ok(each)
}

/// A folder with what programs read.
struct Files(PathBuf);

impl Files {
    fn new(sides: &Sides) -> io::Result<Files> {
        let files =
            Files(std::env::temp_dir().join(format!("tidegate-tls-{}", std::process::id())));
        std::fs::create_dir_all(&files.0)?;
        files.add("cert.pem", &sides.pem.0)?;
        files.add("key.pem", &sides.pem.1)?;
        files.add("server.js", NODE)?;
        Ok(files)
    }

    fn add(&self, name: &str, text: &str) -> io::Result<()> {
        std::fs::write(self.0.join(name), text)
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One process with one worker in it, so that it ends with this one.
fn nginx(folder: &Path, port: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 20000; }}
http {{ access_log off; keepalive_timeout 600; keepalive_requests 1000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem; location / {{ return 200 \"ok\"; }} }} }}
"
    )
}

fn installed(program: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    let run = command.arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// Each program that is here, and bytes for each connection; or why it has none.
fn programs(sides: &Sides, count: usize) -> io::Result<Vec<(&'static str, Result<f64, String>)>> {
    let files = Files::new(sides)?;
    let mut all = Vec::new();
    let echoes = |program: Result<Program, String>| {
        let program = program?;
        of_program(sides, &program, count, b"x", 1).map_err(|e| e.to_string())
    };
    let own = program::build("tls_echo", &["tls"]).and_then(|path| {
        Program::start(&path.to_string_lossy(), |port| {
            vec![format!("127.0.0.1:{port}"), files.at("cert.pem"), files.at("key.pem")]
        })
    });
    all.push(("tidegate, the example tls_echo", echoes(own)));
    if installed("node", "--version") {
        let node = Program::start("node", |port| vec![files.at("server.js"), port.into()]);
        all.push(("node", echoes(node)));
    } else {
        all.push(("node", Err("not installed".into())));
    }
    if installed("nginx", "-v") {
        let program = Program::start("nginx", |port| {
            let _ = files.add("nginx.conf", &nginx(&files.0, port));
            vec!["-p".into(), files.at(""), "-c".into(), files.at("nginx.conf")]
        });
        let each = program.and_then(|program| {
            of_program(sides, &program, count, REQUEST, 100).map_err(|e| e.to_string())
        });
        all.push(("nginx", each));
    } else {
        all.push(("nginx", Err("not installed".into())));
    }
    Ok(all)
}

/// The tables.
pub fn text(quick: bool) -> io::Result<String> {
    let count = if quick { 200 } else { 1000 };
    let sides = Sides::new();
    let mut text = format!(
        "Memory for each of {count} more connections that are idle after one answer. What the server's thread has allocated, most of it by rustls:\n\n| server | bytes |\n|---|---:|\n"
    );
    for (name, each) in allocated(&sides, count)? {
        let _ = writeln!(text, "| {name} | {} |", thousands(each));
    }
    text.push_str(
        "\nWhat the kernel counts as a program's (PSS), which has unused parts of pages, too. \
         nginx answers a request, the others echo:\n\n| program | bytes |\n|---|---:|\n",
    );
    for (name, each) in programs(&sides, count)? {
        let cell = each.map_or_else(|why| format!("not measured: {why}"), thousands);
        let _ = writeln!(text, "| {name} | {cell} |");
    }
    Ok(text)
}
