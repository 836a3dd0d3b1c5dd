//! A program that runs: where it listens, and how it ended.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use crate::example;
use crate::support::*;

pub(crate) struct Running {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    pub(crate) at: SocketAddr,
    /// The line that says so.
    pub(crate) first: String,
}

impl Running {
    /// Starts an example that says first where it listens.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Running {
        Running::start_in(&std::env::temp_dir(), name, arguments)
    }

    pub(crate) fn start_in(folder: &Path, name: &str, arguments: &[&str]) -> Running {
        let mut child = Command::new(example::build(&[name]).join(name))
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let first = line.trim_end().to_owned();
        let at = first.strip_prefix("listening on ").and_then(|l| l.split(';').next());
        let at = at.unwrap_or_else(|| panic!("{name} says {line:?}")).parse().unwrap();
        Running { child, stdout, at, first }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// The most memory that it had so far, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = line.trim_end_matches("kB").trim().parse().unwrap();
        kib * 1024
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").arg(signal).arg(id).status();
        assert!(sent.unwrap().success());
    }

    /// What it printed, after it has ended in good order.
    pub(crate) fn finish(mut self) -> String {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {said}");
                return said;
            }
            std::thread::yield_now();
        }
        panic!("it does not end");
    }

    pub(crate) fn stop(self) -> String {
        self.signal("-TERM");
        self.finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program of others prints; `None`, with the reason said, where it is not installed.
pub(crate) fn installed(name: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(name).args(arguments).stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(e) => {
            eprintln!("skipped: {name}: {e}");
            None
        }
    }
}
