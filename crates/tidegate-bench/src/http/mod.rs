//! Servers of HTTP that answer `GET /hello`, with `wrk` as their client: what each of them does, who
//! takes part, and the contests.
//!
//! | request | answer |
//! |---|---|
//! | `GET /hello` | 200, `Date`, `Content-Type: text/plain`, `Content-Length: 13`, `Hello, World!` |
//! | the same, sixteen in one write | the answers in order |
//!
//! Every server is a program with one thread, on the servers' core. `floor.rs`, `hyper.rs` and
//! `tidegate.rs` are servers in this program, which starts itself for each of them; `others.rs` has
//! the servers that may be installed, with their configurations; `wrk.rs` is the client.
#![forbid(unsafe_code)]

mod floor;
mod hyper;
mod others;
mod tidegate;
mod wrk;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::contest::{Contender, Contest, Unit};
use crate::program::Program;
use crate::suite::Scale;

/// The body of every answer.
pub(crate) const BODY: &str = "Hello, World!";
/// How many connections may wait in the kernel for each server.
const BACKLOG: i32 = 4096;

/// What is measured, in words for the report.
pub const HOW: &str = "`GET /hello`, answered with 13 bytes and a `Date`. Every server is a program \
with one thread on the servers' core, with its own time-outs; `wrk -t1 -d1s`, with `-c` \
connections, is the client of all, on its core. Where `wrk` is the limit the rates are those of \
`wrk`: compare the CPU time of the server. `floor` is epoll and `httparse` by hand: one read and one \
write for what came in one piece, no time-outs, few checks. `hyper` runs on tokio's \
`current_thread` runtime with `pipeline_flush`. `nginx` has one worker and `return 200`; `haproxy` \
one thread and `http-request return`; these two and `node` write each pipelined answer by itself.";

/// Connections, and requests in one write.
const LOADS: [(u32, u32); 4] = [(1, 1), (64, 1), (256, 1), (64, 16)];

/// Files of this contest, for as long as this lives.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, String> {
        let folder = std::env::temp_dir().join(format!("tidegate-http-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Folder(folder))
    }

    fn write(&self, name: &str, text: &str) -> Result<String, String> {
        let path = self.0.join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path.display().to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs one of the servers in this program, until it is killed.
pub fn serve(name: &str, port: u16) -> Result<(), String> {
    match name {
        "floor" => floor::serve(&listener(port)?),
        "hyper" => hyper::serve(listener(port)?),
        "tidegate" => tidegate::serve(port),
        other => return Err(format!("there is no server {other:?}")),
    }
    Ok(())
}

fn listener(port: u16) -> Result<TcpListener, String> {
    use socket2::{Domain, Protocol, Socket, Type};
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Accepted connections have it, too.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        socket.listen(BACKLOG)?;
        Ok::<TcpListener, std::io::Error>(socket.into())
    };
    open().map_err(|e| format!("port {port}: {e}"))
}

/// One answer, to see that it is one.
fn check(name: &str, server: &Program) -> Result<(), String> {
    let get = |mut s: TcpStream| {
        s.set_read_timeout(Some(Duration::from_secs(5)))?;
        s.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(BODY.as_bytes()) {
            match s.read(&mut part)? {
                0 => break,
                n => answer.extend_from_slice(&part[..n]),
            }
        }
        Ok::<String, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer =
        TcpStream::connect(server.at()).and_then(get).map_err(|e| format!("{name}: {e}"))?;
    let lower = answer.to_ascii_lowercase();
    let fields = ["http/1.1 200 ", "\r\ndate: ", "\r\ncontent-length: 13\r\n", "text/plain"];
    match fields.iter().find(|field| !lower.contains(**field)) {
        None => Ok(()),
        Some(field) => Err(format!("{name} answers without {field:?}: {answer:?}")),
    }
}

/// The servers that take part, by name, and a line for each that does not.
type Programs = (Vec<(&'static str, Rc<Program>)>, Vec<String>);

/// Starts all that can take part.
fn programs(folder: &Folder) -> Result<Programs, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let own = own.to_str().ok_or("the path of this program is not UTF-8")?;
    let (mut programs, mut missing) = (Vec::new(), Vec::new());
    for name in ["tidegate", "floor", "hyper"] {
        let arguments = |port: &str| ["serve-http", name, port].map(str::to_owned).to_vec();
        programs.push((name, Program::start(own, arguments)?));
    }
    for (name, start) in others::ALL {
        match start(folder) {
            Ok(program) => programs.push((name, program)),
            Err(why) => missing.push(why),
        }
    }
    for (name, program) in &programs {
        check(name, program)?;
    }
    Ok((programs.into_iter().map(|(name, program)| (name, Rc::new(program))).collect(), missing))
}

/// The contests, and a line for each server that is not installed; or why nothing can be measured.
pub fn contests(scale: Scale) -> Result<(Vec<Contest>, Vec<String>), String> {
    wrk::find()?;
    let folder = Rc::new(Folder::new()?);
    let (programs, missing) = programs(&folder)?;
    let mut contests = Vec::new();
    for (connections, depth) in LOADS {
        let name = match (connections, depth) {
            (1, _) => "1 connection".to_owned(),
            (n, 1) => format!("{n} connections"),
            (n, depth) => format!("{n} connections, {depth} in a pipeline"),
        };
        let script = folder.write(&format!("{depth}.lua"), &wrk::script(depth))?;
        let measures = [("", Unit::PerSecond), ("by CPU", Unit::Cpu)];
        let (programs, folder) = (programs.clone(), folder.clone());
        contests.push(Contest::new(name, &measures, scale.some_cycles(), move || {
            let contender = |(name, program): &(&'static str, Rc<Program>)| {
                let (program, script, folder) = (program.clone(), script.clone(), folder.clone());
                Contender::new(*name, move || {
                    let _ = &folder;
                    wrk::slice(&program, connections, Path::new(&script))
                })
            };
            programs.iter().map(contender).collect()
        }));
    }
    Ok((contests, missing))
}
