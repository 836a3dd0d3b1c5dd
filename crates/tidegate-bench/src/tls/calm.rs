//! How long established connections without TLS wait beside handshakes, in one loop. The thread
//! that measures is never kept waiting by the one that makes the handshakes.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::net::{Incoming, ListenOptions, Net};
use tidegate::tls::TlsServer;
use tidegate::tls::rustls::ClientConfig;
use tidegate::{AsCx, Loop, Remote};

use super::{Sides, visit};
use crate::contest::time;
use crate::peer::tidegate::Echo;
use crate::stats::quantile;
use crate::sys::cores::{self, Core};

/// Handshakes a second that clients ask for.
const OFFERED: [u32; 3] = [0, 300, 1000];

/// Who does the handshakes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Loop,
    Threads,
}

struct Row {
    by: By,
    /// Handshakes in a second that were done.
    rate: f64,
    median: f64,
    p99: f64,
}

/// Both servers in one loop: where they listen, TLS and plain, and how to stop it.
fn serve(sides: &Sides, by: By) -> io::Result<(SocketAddr, SocketAddr, Remote)> {
    let (tell, told) = std::sync::mpsc::channel();
    let config = sides.server.clone();
    std::thread::spawn(move || {
        cores::pin(Core::Server);
        let mut lp = Loop::new()?;
        let mut tls = TlsServer::with_config(config);
        if by == By::Threads {
            tls = tls.offload(lp.remote());
        }
        let options = ListenOptions::new("127.0.0.1:0").no_delay(true);
        let echo = |conn: Incoming<'_>| {
            conn.accept(Echo);
        };
        let (plain, tls) =
            (lp.listen(options.clone(), echo)?, lp.listen(options.filter(tls), echo)?);
        let at = (lp.server(tls).local_addr()?, lp.server(plain).local_addr()?, lp.remote());
        let _ = tell.send(at);
        lp.run()
    });
    told.recv().map_err(io::Error::other)
}

/// Handshakes at this rate, until it is told to stop; how many there were in a second.
fn flood(at: SocketAddr, config: &Arc<ClientConfig>, rate: u32, stop: &AtomicBool) -> f64 {
    cores::pin(Core::Client);
    let (began, mut made) = (Instant::now(), 0u32);
    while !stop.load(Ordering::Relaxed) {
        if visit(at, config).is_err() {
            break;
        }
        made += 1;
        let due = Duration::from_secs(1) * made / rate;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    f64::from(made) / began.elapsed().as_secs_f64()
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

fn measure(sides: &Sides, by: By, offered: u32, during: Duration) -> io::Result<Row> {
    let (tls, plain, remote) = serve(sides, by)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, config) = (stop.clone(), sides.full.clone());
    let flood =
        (offered > 0).then(|| std::thread::spawn(move || flood(tls, &config, offered, &stopped)));
    let measured = std::thread::spawn(move || {
        cores::pin(Core::Client);
        cores::go_first();
        echoes(plain, during)
    });
    let panicked = || io::Error::other("a client panicked");
    let took = measured.join().map_err(|_| panicked())??;
    stop.store(true, Ordering::Relaxed);
    let rate = flood.map_or(Ok(0.0), |flood| flood.join().map_err(|_| panicked()))?;
    let _ = remote.post(|cx| cx.stop());
    Ok(Row { by, rate, median: quantile(&took, 0.5), p99: quantile(&took, 0.99) })
}

/// The table.
pub fn text(quick: bool) -> io::Result<String> {
    let during = Duration::from_millis(if quick { 300 } else { 4000 });
    let sides = Sides::new();
    let mut text = String::from(
        "Echoes of 64 bytes on a connection without TLS, in the same loop as a server with TLS. A \
         step of a handshake cannot be interrupted, so an echo may wait for one, but not for two: \
         the steps come after all other callbacks of a turn, one in each. With `offload` the \
         threads of `work` do them; here they share the core with the loop.\n\n\
         | handshakes | in a second | echo, median | 99th percentile | beside none |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for by in [By::Loop, By::Threads] {
        let mut idle = None;
        for offered in OFFERED {
            let row = measure(&sides, by, offered, during)?;
            let beside = row.p99 / *idle.get_or_insert(row.p99);
            let by = if row.by == By::Loop { "by the loop" } else { "by threads" };
            let _ = writeln!(
                text,
                "| {by} | {:.0} | {} | {} | {beside:.2} |",
                row.rate,
                time(row.median),
                time(row.p99),
            );
        }
    }
    Ok(text)
}
