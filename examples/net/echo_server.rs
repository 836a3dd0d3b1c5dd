//! An echo server that respects back-pressure.
//!
//! ```text
//! cargo run --release --example echo_server [ADDR]     # 127.0.0.1:7000
//! ```
//! Talk to it with `nc 127.0.0.1 7000`; stop it with Ctrl-C. With
//! `RUST_LOG=tidegate=debug` the log shows each step of each connection.

use std::io;
use std::process::exit;
use std::time::Duration;

use tidegate::net::AtLimit;
use tidegate::observe::{Id, LogRecords};
use tidegate::prelude::*;

#[derive(Default)]
struct Echo {
    pauses: u32,
}

impl Handler for Echo {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        // The peer reads more slowly than it writes: stop until it has caught up.
        if s.write(chunk) == Flow::Full {
            self.pauses += 1;
            s.pause();
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        s.resume();
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        let (read, written) = (close.bytes_read, close.bytes_written);
        let id = Id::connection(s.key());
        println!("{id}: {close}; {read} B in, {written} B out, {} pauses", self.pauses);
    }
}

const USAGE: &str = "usage: echo_server [HOST:PORT]; port 0 takes a free one";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    env_logger::init();
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let mut lp = Loop::new()?;
    if log::log_enabled!(target: "tidegate::net", log::Level::Debug) {
        lp.observe(LogRecords::new());
    }
    // Beyond the limit, clients wait in the kernel. A silent client is closed after 5 minutes.
    let options = ListenOptions::new(at.as_str())
        .max_connections(10_000, AtLimit::Hold)
        .idle_timeout(Duration::from_secs(300));
    let server = lp.listen(options, |conn| {
        let peer = conn.peer_addr();
        let s = conn.accept(Echo::default());
        if let Some(peer) = peer {
            println!("{}: from {peer}", Id::connection(s.key()));
        }
    });
    let server = server.unwrap_or_else(|e| {
        eprintln!("{e}\n{USAGE}");
        exit(1)
    });
    // Clients have 10 s to end; a second Ctrl-C does not wait for them.
    lp.server(server).shutdown_on_signals(Duration::from_secs(10))?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()?;
    let counted = lp.net_metrics();
    println!("stopped after {} connections, {} failed", counted.closed, counted.failed);
    Ok(())
}
