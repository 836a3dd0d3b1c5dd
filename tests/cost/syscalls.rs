//! System calls per operation, counted by strace on the measured server, and on loops of
//! this file in a child process. Counts are not timings: they are the same on a slow
//! machine.
#![cfg(all(target_os = "linux", not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))))]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tidegate::prelude::*;

use crate::example;
use crate::support::*;

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

impl Traced {
    /// `None`, with the reason printed, where strace is missing or not allowed.
    fn start(mode: &str) -> Option<Traced> {
        let mut server = Command::new(example::build(&["bench_server"]).join("bench_server"))
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

/// The calls of one of the ignored functions below, in a process of its own, by name;
/// `None`, with the reason printed, where strace is missing or not allowed.
pub(crate) fn traced_child(function: &str, argument: u64) -> Option<HashMap<String, u64>> {
    let id = std::process::id();
    let counts = std::env::temp_dir()
        .join(format!("tidegate-strace-{id}-{}-{argument}", function.replace(':', "-")));
    let run = Command::new("strace")
        .args(["-c", "-f", "-U", "name,calls", "-o"])
        .arg(&counts)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", function, "--ignored", "--test-threads=1"])
        .env("TIDEGATE_ARGUMENT", argument.to_string())
        .output();
    let run = match run {
        Ok(run) => run,
        Err(e) => {
            println!("skipped: strace cannot be started: {e}");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&run.stderr);
    if said.contains("Operation not permitted") {
        println!("skipped: strace may not trace: {}", said.trim());
        return None;
    }
    assert!(run.status.success(), "{function}: {said}\n{}", String::from_utf8_lossy(&run.stdout));
    let table = std::fs::read_to_string(&counts).unwrap();
    std::fs::remove_file(&counts).unwrap();
    let mut calls = HashMap::new();
    for line in table.lines() {
        if let [name, n] = line.split_whitespace().collect::<Vec<_>>()[..] {
            if let (Ok(n), true) = (n.parse(), name != "total") {
                calls.insert(name.to_owned(), n);
            }
        }
    }
    Some(calls)
}

pub(crate) fn argument() -> u64 {
    std::env::var("TIDEGATE_ARGUMENT").unwrap().parse().unwrap()
}

/// What `more` made beyond `less`; memory and thread calls are the test harness's.
pub(crate) fn difference(
    less: &HashMap<String, u64>,
    more: &HashMap<String, u64>,
) -> HashMap<String, i64> {
    let of =
        |calls: &HashMap<String, u64>, name: &str| calls.get(name).copied().unwrap_or(0) as i64;
    let names = less.keys().chain(more.keys());
    names
        .map(|name| (name.clone(), of(more, name) - of(less, name)))
        .filter(|(name, n)| *n != 0 && !["brk", "mmap", "munmap", "futex"].contains(&&**name))
        .collect()
}

/// Turns with nothing due.
#[test]
#[ignore = "a child of the test below"]
fn child_turns() {
    let mut lp = Loop::new().unwrap();
    let server = lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    lp.timer(DEADLINE * 100, |_, _| {});
    for _ in 0..argument() {
        assert!(lp.run_nowait().unwrap());
    }
    lp.server(server).close().unwrap();
}

#[test]
fn a_turn_with_nothing_due_makes_one_call() {
    let Some(few) = traced_child("syscalls::child_turns", 10) else { return };
    let Some(many) = traced_child("syscalls::child_turns", 1_010) else { return };
    let more = difference(&few, &many);
    assert_eq!(more, HashMap::from([("epoll_wait".to_owned(), 1_000)]), "{few:?}\n{many:?}");
}

/// 10,000 quiet sockets, the two ends of 5,000 connections; then one wait of 5 ms, as
/// many times as asked for.
#[test]
#[ignore = "a child of the test below"]
fn child_idle() {
    const QUIET: usize = 5_000;
    let enough = raise_limit(2 * QUIET as u64 + 100);
    let quiet = if enough { QUIET } else { 400 };
    let mut lp = guarded();
    let accepted = std::rc::Rc::new(std::cell::Cell::new(0));
    let connected = accepted.clone();
    let seen = accepted.clone();
    let options = ListenOptions::new("127.0.0.1:0").backlog(4096);
    let server = lp
        .listen(options, move |conn| {
            conn.accept(On::new());
            seen.set(seen.get() + 1);
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    for _ in 0..quiet {
        let connected = connected.clone();
        lp.connect(at, On::new().connect(move |_| connected.set(connected.get() + 1)));
        if lp.handles() % 512 == 0 {
            lp.run_nowait().unwrap();
        }
    }
    turn_until(&mut lp, |_| accepted.get() == 2 * quiet);
    // The last of them are registered.
    while lp.run_nowait().unwrap() && lp.backend_timeout() == Some(Duration::ZERO) {}
    println!("{quiet} connections");
    assert!(lp.handles() >= 2 * quiet);
    for _ in 0..argument() {
        lp.timer(Duration::from_millis(5), |cx, _| cx.stop());
        lp.run().unwrap();
    }
}

#[allow(unsafe_code)]
fn raise_limit(wanted: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid pointer to a local rlimit.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max >= wanted
        }
    }
}

#[test]
fn an_idle_loop_with_10_000_sockets_makes_one_blocking_call() {
    let Some(few) = traced_child("syscalls::child_idle", 10) else { return };
    let Some(many) = traced_child("syscalls::child_idle", 210) else { return };
    // 200 more waits. How the connections came about differs a little by itself.
    let more = difference(&few, &many);
    let waits = more.get("epoll_wait").copied().unwrap_or(0);
    assert!((120..=280).contains(&waits), "{more:?}");
    for (name, n) in &more {
        assert!(name == "epoll_wait" || n.abs() <= 80, "{name}: {more:?}");
    }
}

/// 1,000 posts while the loop is in a callback.
#[test]
#[ignore = "a child of the test below"]
fn child_burst() {
    let mut lp = Loop::new().unwrap();
    let remote = lp.remote();
    let posts = argument();
    lp.next_tick(move |_| {
        let sender = std::thread::spawn(move || {
            for _ in 0..posts {
                remote.post(|_| {}).unwrap();
            }
        });
        sender.join().unwrap();
    });
    lp.run().unwrap();
}

/// Calls that notify the handle again, in the loop's own thread.
#[test]
#[ignore = "a child of the test below"]
fn child_notify() {
    use tidegate::Remote;
    use tidegate::kind::{Kind, LayerId};
    static LEFT: LayerId<(u64, Option<Remote>)> = LayerId::new(|| (0, None));
    static BELL: Kind = Kind::new("bell", LEFT.owner()).notified(|d, key, _| {
        let ((left, remote), mut driver) = d.layer(&LEFT);
        match (left.checked_sub(1), remote) {
            (Some(next), Some(remote)) => {
                *left = next;
                remote.notify(key);
            }
            _ => driver.handle(LEFT.owner(), key).unwrap().free(),
        }
    });
    let mut lp = Loop::new().unwrap();
    let remote = lp.remote();
    *lp.cx().layer(&LEFT).0 = (argument(), Some(remote.clone()));
    remote.notify(lp.cx().driver().insert(&BELL, 0).unwrap().key());
    lp.run().unwrap();
}

/// A poll for each 256 calls, which is the budget, and not one write.
#[test]
fn a_handle_notified_by_its_own_thread_makes_no_call() {
    let Some(few) = traced_child("syscalls::child_notify", 256) else { return };
    let Some(many) = traced_child("syscalls::child_notify", 256 * 11) else { return };
    let more = difference(&few, &many);
    assert_eq!(more, HashMap::from([("epoll_wait".to_owned(), 10)]), "{few:?}\n{many:?}");
}

#[test]
fn a_burst_of_1_000_posts_makes_at_most_2_writes() {
    let Some(none) = traced_child("syscalls::child_burst", 0) else { return };
    let Some(burst) = traced_child("syscalls::child_burst", 1_000) else { return };
    let writes = difference(&none, &burst).get("write").copied().unwrap_or(0);
    assert!((1..=2).contains(&writes), "{none:?}\n{burst:?}");
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
