//! A server for load generators.
//!
//! ```text
//! bench_server MODE [N] [--budget B] [--backlog N] [--reuse-port]
//! ```
//! Server modes (`accept`, `greet`, `echo`, `discard`, `idle`, `source`) listen on a free
//! loopback port, print `PORT n`, and run until SIGTERM or Ctrl-C. Then they print their counts as
//! one line of JSON. `timers` and `wakeup` use no network: they measure, print one line of JSON,
//! and exit.

use std::cell::Cell;
use std::io::{self, Write};
use std::process::exit;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate::prelude::*;
use tidegate::signals::{SIGINT, SIGTERM};

const CHUNK: usize = 64 * 1024;
static SHARED: [u8; CHUNK] = [0; CHUNK];

const USAGE: &str = "usage: bench_server MODE [N] [--budget B] [--backlog N] [--reuse-port]
  MODE: accept greet echo discard idle source | timers wakeup
  N: how many timers or wake-ups (default 1000000)";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Accept,
    Greet,
    Echo,
    Discard,
    Source,
}

struct Arguments {
    mode: String,
    n: u64,
    budget: Option<u32>,
    backlog: u32,
    reuse_port: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut args = std::env::args().skip(1);
    let mode = args.next().ok_or("MODE is missing")?;
    let mut a = Arguments { mode, n: 1_000_000, budget: None, backlog: 4096, reuse_port: false };
    while let Some(arg) = args.next() {
        let mut number = |what: &str| -> Result<u32, String> {
            let text = args.next().ok_or(format!("{what} needs a number"))?;
            text.parse().map_err(|_| format!("{what}: {text:?} is not a valid number"))
        };
        match arg.as_str() {
            "--budget" => a.budget = Some(number("--budget")?),
            "--backlog" => a.backlog = number("--backlog")?,
            "--reuse-port" => a.reuse_port = true,
            n => a.n = n.parse().map_err(|_| format!("{n:?} is neither a number nor an option"))?,
        }
    }
    Ok(a)
}

thread_local! {
    static COUNTS: Counts = const { Counts {
        accepted: Cell::new(0), closed: Cell::new(0), bytes_in: Cell::new(0), bytes_out: Cell::new(0),
    } };
}

struct Counts {
    accepted: Cell<u64>,
    closed: Cell<u64>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

fn count(f: impl Fn(&Counts) -> &Cell<u64>, n: u64) {
    COUNTS.with(|c| f(c).set(f(c).get() + n));
}

struct Server(Mode);

impl ServerHandler for Server {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        count(|c| &c.accepted, 1);
        match self.0 {
            Mode::Accept => {
                conn.reject();
                count(|c| &c.closed, 1);
            }
            Mode::Greet => {
                let _ = conn.accept(Drop_).write(b"x");
            }
            Mode::Echo => {
                conn.accept(Echo);
            }
            Mode::Discard => {
                conn.accept(Drop_);
            }
            Mode::Source => {
                let mut s = conn.accept(Source);
                s.pause();
                pour(&mut s);
            }
        }
    }
}

fn ended(close: &Close) {
    count(|c| &c.closed, 1);
    count(|c| &c.bytes_in, close.bytes_read);
    count(|c| &c.bytes_out, close.bytes_written);
}

struct Echo;

impl Handler for Echo {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        if s.write(chunk) == Flow::Full {
            s.pause();
        }
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        s.resume();
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        ended(&close);
    }
}

/// Reads and drops.
struct Drop_;

impl Handler for Drop_ {
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        ended(&close);
    }
}

/// Writes as fast as the peer takes it; never reads.
struct Source;

fn pour(s: &mut SocketCx<'_>) {
    while s.write(Bytes::from_static(&SHARED)) == Flow::Ready {}
}

impl Handler for Source {
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        pour(s);
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        ended(&close);
    }
}

fn serve(mode: Mode, a: &Arguments) -> io::Result<()> {
    socket_limit();
    let mut lp = Loop::new()?;
    let mut options = ListenOptions::new("127.0.0.1:0").backlog(a.backlog).reuse_port(a.reuse_port);
    if let Some(budget) = a.budget {
        options = options.accept_budget(budget);
    }
    if a.mode == "idle" {
        // What is measured is the memory of connections that have one.
        options = options.idle_timeout(Duration::from_secs(3600));
    }
    let server = lp.serve(options, Server(mode))?;
    for number in [SIGINT, SIGTERM] {
        lp.signal(number, |cx, _, _| cx.stop())?;
    }
    println!("PORT {}", lp.server(server).local_addr()?.port());
    io::stdout().flush()?;
    lp.run()?;
    let polls = lp.metrics().turns;
    COUNTS.with(|c| {
        println!(
            "{{\"accepted\":{},\"closed\":{},\"bytes_in\":{},\"bytes_out\":{},\"polls\":{polls}}}",
            c.accepted.get(),
            c.closed.get(),
            c.bytes_in.get(),
            c.bytes_out.get()
        );
    });
    Ok(())
}

/// As many descriptors as the system lets this process have.
#[cfg(unix)]
#[allow(unsafe_code)]
fn socket_limit() {
    // SAFETY: both calls get a valid pointer to a local rlimit.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

#[cfg(not(unix))]
fn socket_limit() {}

/// CPU time of this process.
#[cfg(unix)]
#[allow(unsafe_code)]
fn cpu() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid pointer to a local timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

#[cfg(not(unix))]
fn cpu() -> Duration {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn per(total: Duration, n: u64) -> f64 {
    total.as_nanos() as f64 / n.max(1) as f64
}

/// N one-shot timers, then 10,000 live ones restarted round-robin.
fn timers(n: u64) -> io::Result<()> {
    thread_local!(static FIRED: Cell<u64> = const { Cell::new(0) });
    let mut lp = Loop::new()?;
    let start = cpu();
    let mut cx = lp.cx();
    for i in 0..n {
        cx.timer(Duration::from_millis(i / 1000 + 1), |_, _| FIRED.set(FIRED.get() + 1));
    }
    let inserted = cpu();
    lp.run()?;
    let fired = cpu();
    let mut cx = lp.cx();
    let far = Duration::from_secs(30);
    let live: Vec<_> = (0..10_000).map(|_| cx.timer(far, |_, _| {})).collect();
    let before = cpu();
    for i in 0..n as usize {
        cx.timer_reset(live[i % live.len()], far)?;
    }
    let after = cpu();
    println!(
        "{{\"n\":{n},\"fired\":{},\"insert_ns\":{:.2},\"fire_ns\":{:.2},\"restart_ns\":{:.2}}}",
        FIRED.get(),
        per(inserted - start, n),
        per(fired - inserted, n),
        per(after - before, n)
    );
    Ok(())
}

/// Another thread wakes the loop N times, then N/10 round trips.
fn wakeup(n: u64) -> io::Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    let mut lp = Loop::new()?;
    // Keeps the loop alive: posts do not.
    lp.timer(Duration::from_secs(3600), |_, _| {});
    let done = Arc::new(AtomicBool::new(false));
    let (remote, sent) = (lp.remote(), done.clone());
    let (cpu0, wall0) = (cpu(), Instant::now());
    let sender = std::thread::spawn(move || {
        let start = Instant::now();
        for _ in 0..n {
            remote.wake();
        }
        let took = start.elapsed();
        sent.store(true, SeqCst);
        remote.wake();
        took
    });
    let mut delivered = 0u64;
    loop {
        lp.run_once()?;
        delivered += 1;
        if done.load(SeqCst) {
            break;
        }
    }
    let wall = wall0.elapsed();
    let send = sender.join().unwrap_or_default();
    let (cpu1, rounds) = (cpu(), n / 10);
    let (answer, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let remote = lp.remote();
    let wall1 = Instant::now();
    let sender = std::thread::spawn(move || {
        for _ in 0..rounds {
            let answer = answer.clone();
            let posted = remote.post(move |_| {
                let _ = answer.send(());
            });
            if posted.is_err() || wait.recv().is_err() {
                return;
            }
        }
        let _ = remote.post(|cx| cx.stop());
    });
    lp.run()?;
    let _ = sender.join();
    println!(
        "{{\"n\":{n},\"delivered\":{delivered},\"send_ns\":{:.2},\"pummel_wall_ns\":{:.2},\
         \"pummel_cpu_ns\":{:.2},\"pp_wall_ns\":{:.1},\"pp_cpu_ns\":{:.1}}}",
        per(send, n),
        per(wall, n),
        per(cpu1 - cpu0, n),
        per(wall1.elapsed(), rounds),
        per(cpu() - cpu1, rounds)
    );
    Ok(())
}

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let a = arguments().unwrap_or_else(|e| {
        eprintln!("{e}\n{USAGE}");
        exit(2)
    });
    match a.mode.as_str() {
        "accept" => serve(Mode::Accept, &a),
        "greet" => serve(Mode::Greet, &a),
        "echo" | "idle" => serve(Mode::Echo, &a),
        "discard" => serve(Mode::Discard, &a),
        "source" => serve(Mode::Source, &a),
        "timers" => timers(a.n),
        "wakeup" => wakeup(a.n),
        other => {
            eprintln!("{other:?} is not a valid mode\n{USAGE}");
            exit(2)
        }
    }
}
