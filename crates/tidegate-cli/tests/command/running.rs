//! The command as a child process that cannot hang: with a deadline, and killed at the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No test may wait longer for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The command with these arguments. Nothing of the test's environment changes what it prints.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// It ended in good order; its output.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// A child whose outputs threads read.
pub(crate) struct Running {
    child: Child,
    out: mpsc::Receiver<String>,
    err: mpsc::Receiver<String>,
    /// What was read of `out` already.
    said: String,
}

fn lines(of: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (give, take) = mpsc::channel();
    std::thread::spawn(move || {
        let mut of = BufReader::new(of);
        let mut line = Vec::new();
        while of.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if give.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    take
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out: ChildStdout = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        Running { out: lines(out), err: lines(err), child, said: String::new() }
    }

    /// The same, with its standard output for the test alone.
    pub(crate) fn start_apart(command: &mut Command) -> (Running, BufReader<ChildStdout>) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        (Running { out: mpsc::channel().1, err, child, said: String::new() }, out)
    }

    /// A server, and where it listens.
    pub(crate) fn serve(arguments: &[&str]) -> (Running, SocketAddr) {
        let mut server = Running::start(&mut command(arguments));
        let first = server.line();
        let at = first.strip_prefix("listening on ").and_then(|l| l.split(';').next());
        let at = at.unwrap_or_else(|| panic!("{arguments:?} says {first:?}")).parse().unwrap();
        (server, at)
    }

    /// The next line of its standard output.
    pub(crate) fn line(&mut self) -> String {
        let line = self.out.recv_timeout(DEADLINE);
        let Ok(line) = line else {
            let rest: String = self.err.try_iter().collect();
            panic!("no more lines after {:?}; it complains {rest:?}", self.said);
        };
        self.said.push_str(&line);
        line
    }

    /// Its standard output up to a line with this text in it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Lines of its standard error up to one with this text.
    pub(crate) fn complains(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.err.recv_timeout(DEADLINE) else { panic!("never says {text:?}") };
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Closes its standard input.
    pub(crate) fn end_input(&mut self) {
        self.child.stdin = None;
    }

    /// The most memory that it had so far, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = line.trim_end_matches("kB").trim().parse().unwrap();
        kib * 1024
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(name).arg(id).status().unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) fn finish(mut self) -> Done {
        let (mut out, mut err) = (std::mem::take(&mut self.said), String::new());
        // Both end when the process does.
        loop {
            match self.out.recv_timeout(DEADLINE) {
                Ok(line) => out.push_str(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {out}"),
            }
        }
        loop {
            match self.err.recv_timeout(DEADLINE) {
                Ok(line) => err.push_str(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {err}"),
            }
        }
        let code = self.child.wait().unwrap().code();
        Done { code, out, err }
    }

    /// Only what it prints from now on is returned at the end.
    pub(crate) fn forget(&mut self) {
        self.said.clear();
    }

    /// Ctrl-C.
    pub(crate) fn stop(self) -> Done {
        self.signal("-INT");
        self.finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Done {
    Running::start(&mut command(arguments)).finish()
}

/// The same with this standard input.
pub(crate) fn run_with(arguments: &[&str], input: &[u8]) -> Done {
    let mut running = Running::start(command(arguments).stdin(Stdio::piped()));
    running.write(input);
    running.end_input();
    running.finish()
}

/// A port on which nobody listens.
pub(crate) fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
