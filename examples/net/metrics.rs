//! All counters of a loop as Prometheus text, served by the loop itself on a separate port.
//!
//! ```text
//! cargo run --release --example metrics              # asks itself once, and ends
//! cargo run --release --example metrics -- 9100      # goes on: point Prometheus at it
//! ```
//! A few clients talk to an echo server first, and one finds nobody listening. The answer is a
//! minimal one of HTTP/1.0. Of the request only the end is looked for: each scraper gets one
//! answer, and has a limited time for a request of limited size.

use std::cell::Cell;
use std::io;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::AtLimit;
use tidegate::prelude::*;
use tidegate::prometheus::{CONTENT_TYPE, Snapshot};

/// Clients that get their echo.
const CLIENTS: u32 = 5;

/// How many scrapers at once (others wait in the kernel), for how long, and how much they send.
const SCRAPERS: usize = 16;
const LIFETIME: Duration = Duration::from_secs(5);
const HEAD: usize = 8192;

/// How far a scraper's request has come.
enum Scraper {
    /// So many bytes came, without an empty line.
    Asks(Vec<u8>),
    /// It was answered. What comes after that is dropped.
    Answered,
}

impl Handler for Scraper {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let Scraper::Asks(head) = self else { return };
        // The empty line may have begun in the chunk before.
        let looked_at = head.len().saturating_sub(3);
        head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
        if !head[looked_at..].windows(4).any(|w| w == b"\r\n\r\n") {
            if head.len() == HEAD {
                s.destroy();
            }
            return;
        }
        *self = Scraper::Answered;
        let body = Snapshot::take(s).text();
        let length = body.len();
        let head = format!(
            "HTTP/1.0 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\n\r\n"
        );
        let _ = s.write(head);
        let _ = s.end_with(body);
    }
}

const USAGE: &str = "usage: metrics [PORT]";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    env_logger::init();
    let port: Option<u16> = match std::env::args().nth(1).map(|a| a.parse()) {
        None => None,
        Some(Ok(port)) => Some(port),
        Some(Err(_)) => {
            eprintln!("{USAGE}");
            exit(2);
        }
    };
    let mut lp = Loop::new()?;
    let echo = lp.listen("127.0.0.1:0", |conn| {
        conn.accept(
            On::new()
                .data(|s, chunk| {
                    if s.write(chunk) == Flow::Full {
                        s.pause();
                    }
                })
                .drain(|s| s.resume()),
        );
    })?;
    let options = ListenOptions::new(("127.0.0.1", port.unwrap_or(0)))
        .max_connections(SCRAPERS, AtLimit::Hold)
        .lifetime(LIFETIME);
    let metrics = lp.listen(options, |conn| {
        conn.accept(Scraper::Asks(Vec::new()));
    });
    let metrics = metrics.unwrap_or_else(|e| {
        eprintln!("{e}\n{USAGE}");
        exit(1)
    });
    let at = lp.server(metrics).local_addr()?;
    let stops = if port.is_some() { "; Ctrl-C stops" } else { "" };
    println!("metrics on http://{at}/metrics{stops}");

    let echo_at = lp.server(echo).local_addr()?;
    let left = Rc::new(Cell::new(CLIENTS + 1));
    for n in 0..=CLIENTS {
        let left = left.clone();
        // Nobody listens for the last one.
        let to = if n < CLIENTS { echo_at } else { nobody()? };
        let on = On::new()
            .connect(|s| {
                let _ = s.write(b"is the gate open?");
            })
            .data(|s, _| s.end())
            .close(move |s, _| {
                left.set(left.get() - 1);
                if left.get() == 0 && port.is_none() {
                    scrape(&mut s.cx(), at, [echo, metrics]);
                }
            });
        lp.connect(to, on);
    }
    lp.run()
}

/// A port on which nobody listens.
fn nobody() -> io::Result<std::net::SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Asks for the metrics as Prometheus does, prints them, and closes the servers.
fn scrape(cx: &mut Cx<'_>, at: std::net::SocketAddr, servers: [ServerKey; 2]) {
    let answer = Rc::new(Cell::new(Vec::new()));
    let all = answer.clone();
    let on = On::new()
        .connect(|s| {
            let _ = s.write(b"GET /metrics HTTP/1.0\r\n\r\n");
        })
        .data(move |_, chunk| {
            let mut text = all.take();
            text.extend_from_slice(chunk);
            all.set(text);
        })
        .close(move |s, close| {
            println!("{}\nscraped once: {close}", String::from_utf8_lossy(&answer.take()));
            for server in servers {
                let _ = s.server(server).close();
            }
        });
    cx.connect(at, on);
}
