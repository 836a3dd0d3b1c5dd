//! System calls per operation, counted by strace on the measured server. Counts
//! are not timings: they are the same on a slow machine.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use support::*;

/// The measured server, with strace at it.
struct Traced {
    server: Child,
    strace: Child,
    at: SocketAddr,
    counts: PathBuf,
}

fn interrupt(child: &Child, signal: &str) {
    let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status();
    assert!(sent.unwrap().success());
}

/// The example, as fresh as this test: `cargo test --test syscalls` alone builds
/// none.
fn bench_server() -> PathBuf {
    let mut profile = std::env::current_exe().unwrap();
    profile.pop();
    profile.pop();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", "bench_server", "--target-dir"]);
    build.arg(profile.parent().unwrap());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    profile.join("examples/bench_server")
}

impl Traced {
    /// `None`, with the reason printed, where strace is missing or not allowed.
    fn start(mode: &str) -> Option<Traced> {
        let mut server = Command::new(bench_server())
            .arg(mode)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().strip_prefix("PORT ").unwrap().parse().unwrap();
        let counts = std::env::temp_dir().join(format!("tidegate-strace-{}-{mode}", server.id()));
        let strace = Command::new("strace")
            .args(["-c", "-f", "-U", "name,calls", "-o"])
            .arg(&counts)
            .args(["-p", &server.id().to_string()])
            .stderr(Stdio::piped())
            .spawn();
        let mut strace = match strace {
            Ok(strace) => strace,
            Err(e) => {
                println!("skipped: strace cannot be started: {e}");
                server.kill().unwrap();
                server.wait().unwrap();
                return None;
            }
        };
        let mut said = String::new();
        BufReader::new(strace.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        if !said.contains("attached") {
            println!("skipped: strace may not attach: {}", said.trim());
            server.kill().unwrap();
            server.wait().unwrap();
            strace.wait().unwrap();
            return None;
        }
        Some(Traced { server, strace, at: SocketAddr::from(([127, 0, 0, 1], port)), counts })
    }

    /// Calls in all, and those of each name.
    fn finish(mut self) -> (f64, String) {
        interrupt(&self.strace, "-INT");
        self.strace.wait().unwrap();
        interrupt(&self.server, "-TERM");
        let mut json = String::new();
        self.server.stdout.as_mut().unwrap().read_to_string(&mut json).unwrap();
        assert!(self.server.wait().unwrap().success());
        assert!(json.starts_with("{\"accepted\":"), "{json:?}");
        let table = std::fs::read_to_string(&self.counts).unwrap();
        std::fs::remove_file(&self.counts).unwrap();
        let mut total = 0;
        for line in table.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [name, calls] = words[..] {
                // In debug builds std asks whether what it closes is open.
                let counts = name != "total" && !(cfg!(debug_assertions) && name == "fcntl");
                if let (Ok(calls), true) = (calls.parse::<u64>(), counts) {
                    total += calls;
                }
            }
        }
        assert!(total > 0, "{table}");
        (total as f64, table)
    }
}

const AT_ONCE: usize = 512;
const WAVES: usize = 8;

fn connect_all(at: SocketAddr) -> Vec<TcpStream> {
    (0..AT_ONCE).map(|_| client(at)).collect()
}

#[test]
fn accept_and_close_costs_at_most_2_2_calls_a_connection() {
    let Some(traced) = Traced::start("accept") else { return };
    for _ in 0..WAVES {
        let clients = connect_all(traced.at);
        for c in clients {
            assert_eq!(read_to_end(&c), b"");
            reset(c);
        }
    }
    let (total, table) = traced.finish();
    let each = total / (AT_ONCE * WAVES) as f64;
    println!("accept and close: {each:.2} calls a connection");
    assert!(each <= 2.2, "{each}\n{table}");
}

#[test]
fn connect_echo_close_costs_at_most_6_3_calls_a_connection() {
    for fin in [true, false] {
        let Some(traced) = Traced::start("echo") else { return };
        for _ in 0..WAVES {
            let clients = connect_all(traced.at);
            for c in &clients {
                write_all(c, &[7; 64]);
            }
            for mut c in clients {
                c.read_exact(&mut [0; 64]).unwrap();
                if !fin {
                    reset(c);
                }
            }
        }
        let (total, table) = traced.finish();
        let each = total / (AT_ONCE * WAVES) as f64;
        println!("connect, echo, close by the client (fin: {fin}): {each:.2} calls a connection");
        assert!(each <= 6.3, "{each}\n{table}");
    }
}

#[test]
fn an_echo_costs_at_most_3_05_calls() {
    let Some(traced) = Traced::start("echo") else { return };
    let mut c = client(traced.at);
    let (messages, mut buffer) = (3_000, [0; 64]);
    for _ in 0..messages {
        c.write_all(&[7; 64]).unwrap();
        c.read_exact(&mut buffer).unwrap();
    }
    let (total, table) = traced.finish();
    let each = total / f64::from(messages);
    println!("echo of 64 bytes: {each:.3} calls a message");
    assert!(each <= 3.05, "{each}\n{table}");
}
