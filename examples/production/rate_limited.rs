//! A server of HTTP whose clients have limits: how many connections, how often they may connect,
//! how often they may ask.
//!
//! ```text
//! cargo run --release --example rate_limited                # measures, and ends
//! cargo run --release --example rate_limited HOST:PORT      # a server, until Ctrl-C
//! ```
//! The measurement: 100 clients ask four times in a second; alone, and beside 1,000 that ask as
//! fast as they get answers, each from its own address; in turns, several times. Look at the last
//! column: how long the slowest of 100 requests of those 100 clients took.
//!
//! The server, the 100 and the 1,000 are a process each. The 1,000 have the lowest priority: in the
//! world they have their own machines, and here they would take the processor from the others.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio, exit};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::http::{Exchange, Head, Http, HttpHandler, HttpOptions};
use tidegate::net::{AtLimit, Rate};
use tidegate::prelude::*;

const USAGE: &str =
    "usage: rate_limited [HOST:PORT [--no-limits]]    # without an address: measures
       rate_limited --abuse HOST:PORT     # the clients that do not stop; Ctrl-C stops it";
const GOOD: u32 = 100;
const ABUSIVE: u32 = 1000;
const EACH: Duration = Duration::from_millis(250);
const LENGTH: Duration = Duration::from_secs(4);
const ROUNDS: usize = 5;
const GET: &str = "GET / HTTP/1.1\r\nHost: tide\r\n\r\n";

struct Level;

impl HttpHandler for Level {
    fn on_request(&mut self, _: &Head<'_>, x: Exchange<'_>) {
        x.reply(200, "high\n");
    }
}

fn serve(at: &str, limited: bool) -> io::Result<()> {
    let mut listen = ListenOptions::new(at).max_connections(10_000, AtLimit::Drop).backlog(4096);
    let mut http = HttpOptions::new();
    // What a server gives to each of its clients.
    if limited {
        listen = listen.max_per_peer(50).accept_rate(Rate::per_second(20).burst(50));
        http = http.request_rate(Rate::per_second(5).burst(10));
    }
    let mut lp = Loop::new()?;
    let server = lp.http_serve(listen, http, Level).unwrap_or_else(|e| refuse(e));
    lp.server(server).shutdown_on_signals(Duration::from_secs(1))?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()?;
    let m = lp.http_metrics();
    println!("{} requests, {} refused", m.requests, m.limited);
    Ok(())
}

/// From an address of the loopback that no other client has (Linux has 16 million of them).
fn from(n: u32, at: SocketAddr) -> ConnectOptions {
    let ip = Ipv4Addr::from(0x7f01_0000 + n);
    ConnectOptions::new(at).local_address(IpAddr::from(ip)).no_delay(true)
}

/// Asks again as soon as an answer comes; connects again when the connection is over.
fn abuse(cx: &mut Cx<'_>, n: u32, at: SocketAddr) {
    let on = On::new()
        .connect(|s| {
            let _ = s.write(GET);
        })
        .data(|s, _| {
            let _ = s.write(GET);
        })
        .close(move |s, _| {
            s.after(Duration::from_millis(50), move |cx| abuse(cx, n, at));
        });
    cx.connect(from(n, at), on);
}

fn abuse_all(at: SocketAddr) -> io::Result<()> {
    let mut lp = Loop::new()?;
    let mut cx = lp.cx();
    (0..ABUSIVE).for_each(|n| abuse(&mut cx, 1000 + n, at));
    lp.run()
}

// ---- the measurement

type Times = Rc<RefCell<Vec<Duration>>>;

/// Asks four times in a second, on one connection, at times that no other has.
fn ask(cx: &mut Cx<'_>, n: u32, at: SocketAddr, times: &Times) {
    let sent = Rc::new(RefCell::new(None));
    let (asked, times) = (sent.clone(), times.clone());
    let on = On::new().data(move |_, answer| {
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "a good client is refused");
        if let Some(at) = asked.borrow_mut().take() {
            times.borrow_mut().push(Instant::elapsed(&at));
        }
    });
    let key = cx.connect(from(n, at), on);
    cx.after(EACH * n / GOOD, move |cx| {
        cx.interval(EACH, move |cx, _| {
            if sent.borrow().is_none() {
                *sent.borrow_mut() = Some(Instant::now());
                let _ = cx.socket(key).write(GET);
            }
        });
    });
}

/// A process of this program, killed if the measurement ends before.
struct Process(Child);

impl Process {
    fn start(mut command: Command, arguments: &[&str]) -> io::Result<Process> {
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().map(Process)
    }

    /// What it says after it was asked to end.
    fn stop(mut self, mut said: impl Read) -> io::Result<String> {
        Command::new("kill").arg(self.0.id().to_string()).status()?;
        let mut text = String::new();
        said.read_to_string(&mut text)?;
        self.0.wait()?;
        Ok(text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The median and the 99th of 100, of the good clients' requests.
fn measure(abusive: bool, limited: bool) -> io::Result<[Duration; 2]> {
    let program = std::env::current_exe()?;
    let options: &[&str] = if limited { &["127.0.0.1:0"] } else { &["127.0.0.1:0", "--no-limits"] };
    let mut server = Process::start(Command::new(&program), options)?;
    let mut said = BufReader::new(server.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    let at = line.strip_prefix("listening on ").and_then(|l| l.split(';').next());
    let at = at.unwrap_or_else(|| refuse(format_args!("the server says {line:?}")));
    let abusers = match abusive {
        true => {
            let mut nice = Command::new("nice");
            nice.args(["-n", "19"]).arg(&program);
            Some(Process::start(nice, &["--abuse", at])?)
        }
        false => None,
    };
    let at: SocketAddr = at.parse().map_err(io::Error::other)?;
    let mut lp = Loop::new()?;
    let times = Times::default();
    let mut cx = lp.cx();
    (0..GOOD).for_each(|n| ask(&mut cx, n, at, &times));
    let begun = times.clone();
    // What happens while all connect does not count.
    lp.after(Duration::from_secs(1), move |_| begun.borrow_mut().clear());
    lp.after(LENGTH + Duration::from_secs(1), |cx| cx.stop());
    lp.run()?;
    drop(lp);
    drop(abusers);
    let counts = server.stop(said)?;
    let mut times = times.borrow_mut();
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let (median, worst) = (at(50), at(99));
    let beside = if abusive { ABUSIVE } else { 0 };
    let limits = if limited { "with limits" } else { "no limits" };
    let (count, counts) = (times.len(), counts.trim_end());
    println!("{beside:>8} {limits:>12} {count:>6} {median:>9.0?} {worst:>10.0?}   {counts}");
    Ok([median, worst])
}

fn measure_all() -> io::Result<()> {
    println!(" abusive                good    median  99 of 100   the server");
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let [_, alone] = measure(false, true)?;
        let [_, beside] = measure(true, true)?;
        ratios.push(beside.as_secs_f64() / alone.as_secs_f64());
    }
    measure(true, false)?;
    ratios.sort_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
    println!("with limits: {median:.1} times as long beside them ({least:.1} to {most:.1})");
    Ok(())
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--help"] => println!("{USAGE}"),
        ["--abuse", at] => abuse_all(at.parse().unwrap_or_else(|e| refuse(e)))?,
        [at] => serve(at, true)?,
        [at, "--no-limits"] => serve(at, false)?,
        [] => measure_all()?,
        _ => refuse("one address, please"),
    }
    Ok(())
}

fn refuse(why: impl Display) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
