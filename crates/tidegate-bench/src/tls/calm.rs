//! How long established connections without TLS wait beside handshakes, in one loop. The server, the
//! clients that make handshakes, and the client whose echoes are measured are a process each; the last
//! two share a core, where the echoes come first.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Sides;
use super::beside::{Beside, By};
use crate::contest::time;
use crate::stats::{median, quantile};
use crate::sys::cores::{self, Core};

/// What happens beside the echoes.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    by: By,
    /// Handshakes in a second.
    rate: u32,
    resumed: bool,
    /// By another server, which runs on the clients' core.
    elsewhere: bool,
}

const NONE: Load = Load { name: "none", by: By::Loop, rate: 0, resumed: false, elsewhere: false };

/// The first is what the others are compared with.
const LOADS: [Load; 6] = [
    NONE,
    Load { name: "full", rate: 300, ..NONE },
    Load { name: "full", rate: 1000, ..NONE },
    Load { name: "resumed", rate: 1000, resumed: true, ..NONE },
    Load { name: "full, with `offload`", rate: 1000, by: By::Threads, ..NONE },
    Load {
        name: "full, by another server on the clients' core",
        rate: 1000,
        elsewhere: true,
        ..NONE
    },
];

/// Beside one load, in all cycles.
#[derive(Default)]
struct Row {
    rates: Vec<f64>,
    echoes: Vec<f64>,
    /// The 99th percentile of each cycle, beside that of the first row.
    beside: Vec<f64>,
}

/// Echoes of 64 bytes every half millisecond, for so long: how long each took, in ns.
fn echoes(at: SocketAddr, during: Duration) -> io::Result<Vec<f64>> {
    let mut s = TcpStream::connect(at)?;
    s.set_nodelay(true)?;
    let (began, mut took, mut buffer) = (Instant::now(), Vec::new(), [0; 64]);
    while began.elapsed() < during {
        let sent = Instant::now();
        s.write_all(&buffer)?;
        s.read_exact(&mut buffer)?;
        took.push(sent.elapsed().as_nanos() as f64);
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(took)
}

/// Handshakes in a second, how long the echoes took, and whether they came first on their core.
fn measure(sides: &Sides, load: Load, during: Duration) -> io::Result<(f64, Vec<f64>, bool)> {
    let (_server, [tls, plain]) = Beside::server(Core::Server, load.by, sides)?;
    let other = match load.elsewhere {
        true => Some(Beside::server(Core::Client, load.by, sides)?),
        false => None,
    };
    let tls = other.as_ref().map_or(tls, |(_, [tls, _])| *tls);
    let clients = match load.rate {
        0 => None,
        rate => Some(Beside::clients(tls, rate, load.resumed, sides)?),
    };
    let measured = std::thread::spawn(move || {
        cores::pin(Core::Client);
        let first = cores::go_first();
        Ok::<_, io::Error>((echoes(plain, during)?, first))
    });
    let (took, first) = measured.join().map_err(|_| io::Error::other("a client panicked"))??;
    Ok((clients.map_or(Ok(0.0), Beside::rate)?, took, first))
}

/// The table.
pub fn text(quick: bool) -> io::Result<String> {
    let (cycles, during) = if quick { (1, 300) } else { (7, 1000) };
    let sides = Sides::new();
    let mut rows: [Row; LOADS.len()] = Default::default();
    let mut went_first = true;
    for _ in 0..cycles {
        let mut idle = None;
        for (load, row) in LOADS.iter().zip(&mut rows) {
            let (rate, took, first) = measure(&sides, *load, Duration::from_millis(during))?;
            went_first &= first;
            let p99 = quantile(&took, 0.99);
            row.beside.push(p99 / *idle.get_or_insert(p99));
            row.rates.push(rate);
            row.echoes.extend(took);
        }
    }
    let priority = match went_first {
        true => {
            "The thread that measures has a real-time priority, so that the clients which make \
                 handshakes on its core cannot delay it."
        }
        false => {
            "A real-time priority for the thread that measures was NOT permitted: the figures \
                  have its waiting for the clients on its core in them."
        }
    };
    let mut text = format!(
        "Echoes of 64 bytes on a connection without TLS, in the same loop as a server with TLS. A \
         step of a handshake cannot be interrupted, so an echo may wait for one, but not for two: \
         the steps come after all other callbacks of a turn, one in each. With `offload` the \
         threads of `work` do them; here they share the core with the loop. The server, the \
         clients that make handshakes and the client that measures are processes. {priority} In the \
         last row the handshakes are made on the clients' core, by both sides: what it adds is not \
         the loop's.\n\n\
         | handshakes | in a second | echo, median | 99th percentile | beside none |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for (load, row) in LOADS.iter().zip(&rows) {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {} | {:.2} |",
            load.name,
            median(&row.rates),
            time(median(&row.echoes)),
            time(quantile(&row.echoes, 0.99)),
            median(&row.beside),
        );
    }
    Ok(text)
}
