//! A process that is asked to end: SIGTERM, a server that shuts down, and what the signal does
//! when nobody watches it any more. Each in a process of its own: this test again, with its part
//! in the environment.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tidegate::prelude::*;
use tidegate::signals::{SIGINT, SIGKILL, SIGTERM};

use crate::support::*;

const PART: &str = "TIDEGATE_TEST_PART";

/// The process that is ended.
#[test]
fn the_process_of_the_others() {
    let Ok(part) = std::env::var(PART) else { return };
    if part == "others" {
        #[allow(unsafe_code)]
        // SAFETY: the handler writes to a descriptor, which a signal handler may.
        let theirs = unsafe {
            signal_hook::low_level::register(SIGTERM, || {
                libc::write(1, b"THEIRS\n".as_ptr().cast(), 7);
            })
        };
        theirs.unwrap();
    }
    let mut lp = Loop::new().unwrap();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
            }));
        })
        .unwrap();
    let term = move |cx: &mut Cx<'_>| {
        println!("TERM");
        cx.server(server).shutdown(Duration::from_secs(15)).unwrap();
    };
    match &part[..] {
        "service" => {
            lp.server(server).shutdown_on(&[SIGTERM, SIGINT], DEADLINE).unwrap();
            lp.signal(SIGTERM, |_, _, _| println!("TERM")).unwrap();
        }
        "closed" => {
            lp.server(server).shutdown_on(&[SIGTERM, SIGINT], DEADLINE).unwrap();
            lp.server(server).close().unwrap();
            lp.interval(Duration::from_secs(60), |_, _| {});
        }
        "once" => {
            lp.signal_once(SIGTERM, move |cx, _, _| term(cx)).unwrap();
        }
        _ => {
            lp.signal(SIGTERM, move |cx, _, _| term(cx)).unwrap();
        }
    }
    println!("PORT {}", lp.server(server).local_addr().map_or(0, |at| at.port()));
    if part == "dropped" || part == "others" {
        drop(lp);
        println!("DROPPED");
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    lp.run().unwrap();
}

/// A process, and what it says.
struct Process {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    at: SocketAddr,
}

impl Process {
    fn start(part: &str) -> Process {
        Process::from(Command::new(std::env::current_exe().unwrap()), part)
    }

    /// With SIGTERM ignored, as nohup(1) does with SIGHUP.
    fn start_ignoring(part: &str) -> Process {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' TERM; exec \"$0\" \"$@\""]);
        shell.arg(std::env::current_exe().unwrap());
        Process::from(shell, part)
    }

    fn from(mut command: Command, part: &str) -> Process {
        let mut child = command
            .args(["--exact", "termination::the_process_of_the_others", "--nocapture"])
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut process = Process { child, lines, at: ([127, 0, 0, 1], 0).into() };
        let port = process.wait_for("PORT ").trim().parse().unwrap();
        process.at.set_port(port);
        process
    }

    /// What stands behind this word.
    fn wait_for(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "no line {word}");
            if let Some(at) = line.find(word) {
                return line[at + word.len()..].to_owned();
            }
        }
    }

    /// An echo has come back: the server serves.
    fn client(&self) -> TcpStream {
        let mut c = client(self.at);
        c.write_all(b"x").unwrap();
        c.read_exact(&mut [0]).unwrap();
        c
    }

    fn kill(&self) {
        self.send("-TERM");
    }

    fn send(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// How it ended.
    fn ended(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        // `wait` would close it.
        let _stdin = self.child.stdin.take();
        let (say, hear) = mpsc::channel();
        std::thread::spawn(move || say.send(self.child.wait().unwrap()));
        hear.recv_timeout(DEADLINE / 2).unwrap_or_else(|_| {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
            panic!("it goes on")
        })
    }
}

/// The watcher is no reason to stay: the program ends when its connections have.
#[test]
fn a_server_that_shuts_down_at_sigterm_ends_the_program() {
    for part in ["watch", "once"] {
        let process = Process::start(part);
        let idle = process.client();
        process.kill();
        assert_eq!(read_to_end(&idle), b"", "an end after what was queued");
        drop(idle);
        let status = process.ended();
        assert_eq!(status.code(), Some(0), "{part}: {status}");
    }
}

/// A client that stays would hold it for the whole grace; a second signal does not wait for it.
#[test]
fn shutdown_on_ends_a_service_by_the_first_signal_and_the_second() {
    let process = Process::start("service");
    drop(process.client());
    process.kill();
    assert_eq!(process.ended().code(), Some(0), "nobody is left");

    let mut process = Process::start("service");
    let stays = process.client();
    process.kill();
    process.wait_for("TERM");
    assert_eq!(read_to_end(&stays), b"", "it is asked to end");
    process.send("-INT");
    let status = process.ended();
    assert_eq!(status.code(), Some(0), "{status}");
    drop(stays);

    let process = Process::start("closed");
    process.kill();
    assert_eq!(process.ended().code(), Some(0), "the server is closed, an interval is not");
}

#[test]
fn shutdown_on_watches_all_or_none() {
    let mut lp = guarded();
    let server = lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    let before = lp.handles();
    let watched = lp.server(server).shutdown_on(&[SIGTERM, SIGKILL], DEADLINE);
    assert_eq!(watched.unwrap_err().to_string(), "SIGKILL cannot be watched");
    assert_eq!(lp.handles(), before);
}

/// After `signal_once` the second SIGTERM is nobody's: it ends the process, though a client that
/// stays would hold it for the whole grace.
#[test]
fn a_second_sigterm_does_what_it_does_by_default() {
    let mut process = Process::start("once");
    let stays = process.client();
    process.kill();
    process.wait_for("TERM");
    assert_eq!(read_to_end(&stays), b"");
    process.kill();
    let status = process.ended();
    assert_eq!(status.signal(), Some(SIGTERM), "{status}");
    drop(stays);
}

/// The same when the loop that watched is gone.
#[test]
fn without_its_loop_sigterm_does_what_it_does_by_default() {
    let mut process = Process::start("dropped");
    process.wait_for("DROPPED");
    process.kill();
    let status = process.ended();
    assert_eq!(status.signal(), Some(SIGTERM), "{status}");
}

/// A signal that was ignored before is watched while it is watched, and then ignored again.
#[test]
fn a_signal_that_was_ignored_is_ignored_again() {
    let mut process = Process::start_ignoring("dropped");
    process.wait_for("DROPPED");
    process.kill();
    drop(process.child.stdin.take());
    let status = process.ended();
    assert_eq!(status.code(), Some(0), "{status}");

    let process = Process::start_ignoring("watch");
    drop(process.client());
    process.kill();
    assert_eq!(process.ended().code(), Some(0));
}

/// A handler that was there before gets the signal as well, and alone afterwards.
#[test]
fn a_handler_of_others_is_not_taken_its_signal() {
    let mut process = Process::start("others");
    process.wait_for("DROPPED");
    process.kill();
    process.wait_for("THEIRS");
    drop(process.child.stdin.take());
    let status = process.ended();
    assert_eq!(status.code(), Some(0), "{status}");
}
