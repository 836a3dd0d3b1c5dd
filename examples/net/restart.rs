//! A server stops and starts again on its port at once, although an old connection is still in
//! TIME_WAIT. Another server may not, because somebody else listens on the port.
//!
//! ```text
//! cargo run --release --example restart
//! ```
//! It ends by itself.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidegate::prelude::*;

/// A server that answers one client and shuts down. It ends its side first, and so its
/// connection is the one that remains in TIME_WAIT.
fn serve_once(lp: &mut Loop, at: SocketAddr) -> io::Result<SocketAddr> {
    let server = lp.listen(at, |conn| {
        let server = conn.server_key();
        let mut s = conn.accept(On::new());
        let _ = s.end_with("answer");
        let _ = s.server(server).shutdown(Duration::from_secs(1));
    })?;
    let at = lp.server(server).local_addr()?;
    let hear = |_: &mut SocketCx<'_>, chunk: &[u8]| {
        println!("  a client got {:?}", String::from_utf8_lossy(chunk));
    };
    lp.connect(at, On::new().data(hear));
    lp.run()?;
    Ok(at)
}

/// How many connections of this port are in TIME_WAIT (Linux).
fn time_wait(port: u16) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let own = format!("0100007F:{port:04X}");
    let waits = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next() == Some(&own) && columns.nth(1) == Some("06")
    };
    Some(table.lines().filter(waits).count())
}

fn main() -> io::Result<()> {
    env_logger::init();
    let mut lp = Loop::new()?;
    println!("the first server");
    let at = serve_once(&mut lp, SocketAddr::from(([127, 0, 0, 1], 0)))?;
    match time_wait(at.port()) {
        Some(n) => println!("it is gone; {n} of its connections are in TIME_WAIT"),
        None => println!("it is gone"),
    }
    println!("the second server, on the same port, at once");
    let start = Instant::now();
    serve_once(&mut lp, at)?;
    println!("it served after {:?}: SO_REUSEADDR is set by default\n", start.elapsed());

    println!("while a server listens, another cannot take its port:");
    let first = lp.listen(at, |conn| conn.reject())?;
    match lp.listen(at, |conn| conn.reject()) {
        Err(e) => println!("  {e}"),
        Ok(_) => println!("  it could, which is wrong"),
    }
    println!("unless both say reuse_port:");
    lp.server(first).close()?;
    lp.run()?;
    let shared = || ListenOptions::new(at).reuse_port(true);
    for which in ["first", "second"] {
        match lp.listen(shared(), |conn| conn.reject()) {
            Ok(_) => println!("  the {which} listens on {at}"),
            Err(e) => println!("  the {which}: {e}"),
        }
    }
    lp.close_all();
    lp.run()
}
