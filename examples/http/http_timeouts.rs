//! Clients that are slow on purpose, and what each of them gets.
//!
//! ```text
//! cargo run --release --example http_timeouts                    # a table, and it ends
//! cargo run --release --example http_timeouts -- 127.0.0.1:3000  # a server; Ctrl-C stops it
//! ```
//! The timeouts of the server are short, so that it takes about a second: 300 ms for a head, 600 ms
//! for a request, 100 ms between requests (and 1 s more, for a request that is on its way). Three
//! clients send something every 50 ms, but never enough: that does not help them.

mod arguments;

use std::cell::RefCell;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{Exchange, Head, Http, HttpHandler, HttpOptions, OnExchange, Refusal};
use tidegate::prelude::*;

use crate::arguments::{address, refuse};

const USAGE: &str = "usage: http_timeouts [HOST:PORT]    # with an address: until Ctrl-C";
const HEAD: Duration = Duration::from_millis(300);
const REQUEST: Duration = Duration::from_millis(600);
const KEEP_ALIVE: Duration = Duration::from_millis(100);
const DRIP: Duration = Duration::from_millis(50);

/// Sends back what is posted. A POST to `/begun` is answered before its body is there.
struct Echo;

impl HttpHandler for Echo {
    fn on_request(&mut self, head: &Head<'_>, x: Exchange<'_>) {
        match head.path() {
            "/begun" => {
                if let Ok(mut x) = x.start(200) {
                    let _ = x.write("the beginning\n");
                    x.handle(OnExchange::new().end(|x| {
                        let _ = x.end_with("the end\n");
                    }));
                }
            }
            _ => x.collect(1 << 20, |x, body| {
                let _ = x.reply(200, body);
            }),
        }
    }

    fn on_refused(&mut self, _: &mut SocketCx<'_>, why: &Refusal) {
        println!("server: {why}");
    }
}

/// What a client does, and what it gets.
struct Case {
    name: &'static str,
    first: &'static str,
    /// Sent again and again.
    drip: &'static str,
    clock: &'static str,
    expected: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        name: "connects, and is silent",
        first: "",
        drip: "",
        clock: "headers_timeout",
        expected: "408",
    },
    Case {
        name: "slow head",
        first: "GET / HTTP/1.1\r\nHost: a\r\n",
        drip: "Slow: yes\r\n",
        clock: "headers_timeout",
        expected: "408",
    },
    Case {
        name: "slow body",
        first: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
        drip: "~",
        clock: "request_timeout",
        expected: "408",
    },
    Case {
        name: "slow body, answer begun",
        first: "POST /begun HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
        drip: "~",
        clock: "request_timeout",
        expected: "200, reset",
    },
    Case {
        name: "idle after an answer",
        first: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        drip: "",
        clock: "keep_alive_timeout",
        expected: "200, closed",
    },
];

/// How each case ended, and after how long.
type Ends = Rc<RefCell<[Option<(String, Duration)>; CASES.len()]>>;

struct Client {
    case: usize,
    server: ServerKey,
    since: Duration,
    got: Vec<u8>,
    ends: Ends,
}

impl Client {
    fn send(&mut self, s: &mut SocketCx<'_>, text: &'static str) {
        let _ = s.write(text);
        if !CASES[self.case].drip.is_empty() {
            s.set_timer(0, DRIP);
        }
    }
}

impl Handler for Client {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.since = s.cx().now();
        self.send(s, CASES[self.case].first);
    }

    fn on_timer(&mut self, s: &mut SocketCx<'_>, _: u64) {
        self.send(s, CASES[self.case].drip);
    }

    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.got.extend_from_slice(chunk);
        if self.got.starts_with(b"HTTP/1.1 408 ") {
            s.end();
        }
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        let got = String::from_utf8_lossy(&self.got);
        let status = got.split(' ').nth(1).unwrap_or("no answer");
        let end = match (status, close.reason.is_error()) {
            ("408", false) => status.to_owned(),
            (_, false) => format!("{status}, closed"),
            (_, true) => format!("{status}, reset"),
        };
        let mut ends = self.ends.borrow_mut();
        ends[self.case] = Some((end, s.cx().now().saturating_sub(self.since)));
        if ends.iter().all(|end| end.is_some()) {
            let _ = s.server(self.server).close();
        }
    }
}

fn demonstrate(lp: &mut Loop, server: ServerKey) -> std::io::Result<bool> {
    let at = lp.server(server).local_addr()?;
    let ends = Ends::default();
    for case in 0..CASES.len() {
        let (since, got, ends) = (Duration::ZERO, Vec::new(), ends.clone());
        lp.connect(at, Client { case, server, since, got, ends });
    }
    lp.run()?;

    println!();
    println!("{:<25} {:<20} {:<13} after", "client", "clock", "gets");
    println!("{:-<25} {:-<20} {:-<13} -------", "", "", "");
    let mut kept = true;
    for (case, end) in CASES.iter().zip(ends.borrow().iter()) {
        let Some((end, after)) = end else { return Ok(false) };
        let after = after.as_millis();
        println!("{:<25} {:<20} {:<13} {after} ms", case.name, case.clock, end);
        kept &= *end == case.expected;
    }
    let m = lp.http_metrics();
    println!("\nthe server counted {} late and {} idle", m.timed_out, m.idle_closed);
    Ok(kept)
}

fn main() -> std::io::Result<()> {
    let at = address(USAGE);
    let at = at.as_deref();
    env_logger::init();
    let mut lp = Loop::new()?;
    let options = HttpOptions::new()
        .headers_timeout(HEAD)
        .request_timeout(REQUEST)
        .keep_alive_timeout(KEEP_ALIVE);
    let server = lp.http_serve(at.unwrap_or("127.0.0.1:0"), options, Echo);
    let server = server.unwrap_or_else(|e| refuse(USAGE, e));
    if at.is_some() {
        lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
        println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
        return lp.run();
    }
    if !demonstrate(&mut lp, server)? {
        eprintln!("the answers are not what this example promises");
        exit(1);
    }
    Ok(())
}
