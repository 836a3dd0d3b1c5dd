//! A server of HTTP whose clients have limits: how many connections, how often they may connect, how
//! often they may ask.
//!
//! ```text
//! cargo run --release --example rate_limited                # measures, and ends
//! cargo run --release --example rate_limited HOST:PORT      # a server, until Ctrl-C
//! ```
//! The measurement: 100 clients ask four times in a second; first alone, then beside 1,000 that ask
//! as fast as they get answers, each from its own address. Look at the last column: how long
//! the slowest of 100 requests of those 100 clients took.

use std::cell::RefCell;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::exit;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidegate::Remote;
use tidegate::http::{Http, HttpHandler, HttpOptions};
use tidegate::net::{AtLimit, Rate};
use tidegate::prelude::*;

const USAGE: &str =
    "usage: rate_limited [HOST:PORT]    # without an address: measures; Ctrl-C stops it";
const GOOD: usize = 100;
const ABUSIVE: usize = 1000;
const EACH: Duration = Duration::from_millis(250);
const LENGTH: Duration = Duration::from_secs(4);
const GET: &str = "GET / HTTP/1.1\r\nHost: tide\r\n\r\n";

struct Level;

impl HttpHandler for Level {
    fn on_request(&mut self, _: &tidegate::http::Head<'_>, x: tidegate::http::Exchange<'_>) {
        x.reply(200, "high\n");
    }
}

/// What a server gives to each of its clients.
fn open(lp: &mut Loop, at: &str, limited: bool) -> Result<ServerKey, tidegate::net::ListenError> {
    let mut listen = ListenOptions::new(at).max_connections(10_000, AtLimit::Drop).backlog(4096);
    let mut http = HttpOptions::new();
    if limited {
        listen = listen.max_per_peer(50).accept_rate(Rate::per_second(20).burst(50));
        http = http.request_rate(Rate::per_second(5).burst(10));
    }
    lp.http_serve(listen, http, Level)
}

// ---- the measurement

/// Where it listens, how it is stopped, and what it says then: requests, and those refused.
type Server = (SocketAddr, Remote, JoinHandle<(u64, u64)>);

/// The server in its own thread.
fn server(limited: bool) -> io::Result<Server> {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut lp = Loop::new().expect("a loop");
        let server = open(&mut lp, "127.0.0.1:0", limited).expect("a port");
        let at = lp.server(server).local_addr().expect("its address");
        let _ = tell.send((at, lp.remote()));
        lp.run().expect("the loop");
        let m = lp.http_metrics();
        (m.requests, m.limited)
    });
    let (at, remote) = told.recv().map_err(io::Error::other)?;
    Ok((at, remote, thread))
}

/// From an address of the loopback that no other client has (Linux has 16 million of them).
fn from(n: usize, at: SocketAddr) -> ConnectOptions {
    let ip = Ipv4Addr::from(0x7f01_0000 + n as u32);
    ConnectOptions::new(at).local_address(IpAddr::from(ip)).no_delay(true)
}

/// Asks again as soon as an answer comes; connects again when the connection is over.
fn abuse(cx: &mut Cx<'_>, n: usize, at: SocketAddr) {
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

type Times = Rc<RefCell<Vec<Duration>>>;

/// Asks four times in a second, on one connection.
fn ask(cx: &mut Cx<'_>, n: usize, at: SocketAddr, times: &Times) {
    let sent = Rc::new(RefCell::new(None));
    let (asked, times) = (sent.clone(), times.clone());
    let on = On::new().data(move |_, answer| {
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "a good client is refused");
        if let Some(at) = asked.borrow_mut().take() {
            times.borrow_mut().push(Instant::elapsed(&at));
        }
    });
    let key = cx.connect(from(n, at), on);
    cx.interval(EACH, move |cx, _| {
        if sent.borrow().is_none() {
            *sent.borrow_mut() = Some(Instant::now());
            let _ = cx.socket(key).write(GET);
        }
    });
}

/// The median and the 99th of 100, of the good clients' requests; what the server counted.
fn measure(abusive: usize, limited: bool) -> io::Result<[Duration; 2]> {
    let (at, remote, server) = server(limited)?;
    // Abusers have a loop and a thread of their own, so that they do not slow the clock of others.
    let abusers = thread::spawn(move || {
        let mut lp = Loop::new().expect("a loop");
        let mut cx = lp.cx();
        (0..abusive).for_each(|n| abuse(&mut cx, 1000 + n, at));
        lp.after(LENGTH + Duration::from_millis(500), |cx| cx.stop());
        lp.run().expect("the loop");
    });
    let mut lp = Loop::new()?;
    let times = Times::default();
    let mut cx = lp.cx();
    (0..GOOD).for_each(|n| ask(&mut cx, 10 + n, at, &times));
    let begun = times.clone();
    // What happens while all connect does not count.
    lp.after(Duration::from_millis(500), move |_| begun.borrow_mut().clear());
    lp.after(LENGTH, |cx| cx.stop());
    lp.run()?;
    drop(lp);
    let _ = remote.post(|cx| cx.stop());
    let (requests, refused) = server.join().map_err(|_| io::Error::other("the server"))?;
    let _ = abusers.join();
    let mut times = times.borrow_mut();
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let (median, worst) = (at(50), at(99));
    let limits = if limited { "with limits" } else { "no limits" };
    println!(
        "{abusive:>8} {limits:>12} {requests:>10} {refused:>8} {:>8} {median:>10.0?} {worst:>10.0?}",
        times.len()
    );
    Ok([median, worst])
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [help] if help == "--help" => println!("{USAGE}"),
        [at] => {
            let mut lp = Loop::new()?;
            let server = open(&mut lp, at, true).unwrap_or_else(|e| refuse(e));
            lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
            println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
            lp.run()?;
        }
        [] => {
            println!(" abusive                requests  refused     good     median   99 of 100");
            let [_, alone] = measure(0, true)?;
            measure(ABUSIVE, false)?;
            let [_, beside] = measure(ABUSIVE, true)?;
            let ratio = beside.as_secs_f64() / alone.as_secs_f64();
            println!("beside 1,000 abusive clients with limits: {ratio:.1} times as long");
        }
        _ => refuse("one address, please"),
    }
    Ok(())
}

fn refuse(why: impl Display) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
