//! A gauge never keeps the port of a closed server, not even while it is read.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use tidegate::net::AcceptGauge;
use tidegate::prelude::*;

use crate::support::*;

/// How often a server is opened and closed. If gauges shared the descriptor, a few would do.
const ROUNDS: usize = 500;

/// Reads each gauge without a rest, until its server is closed; says when it has begun.
fn read_all(gauges: &mpsc::Receiver<AcceptGauge>, begun: &mpsc::Sender<()>) {
    for gauge in gauges {
        let mut first = true;
        while gauge.read().is_ok() {
            if std::mem::take(&mut first) {
                begun.send(()).unwrap();
            }
        }
    }
}

/// `ServerCx::close`: "Stops accepting, now". So its port is free for the next one.
///
/// Who waits here for the other thread blocks: spinning, it would cost a share of the
/// scheduler's time in each round where the cores are busy.
///
/// On Windows the port cannot be reserved beside the server.
#[test]
#[cfg(unix)]
fn the_port_is_free_though_another_thread_reads() {
    let mut lp = guarded();
    let (give, gauges) = mpsc::channel();
    let (begun, has_begun) = mpsc::channel();
    let reader = thread::spawn(move || read_all(&gauges, &begun));
    // Bound to the same port, but not listening: no other process gets it between two rounds.
    let reserved = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let reserved = reserved.unwrap();
    reserved.set_reuse_address(true).unwrap();
    reserved.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let at = reserved.local_addr().unwrap().as_socket().unwrap();
    for n in 0..ROUNDS {
        let server = lp.listen(at, |conn| conn.reject());
        let server = server.unwrap_or_else(|e| panic!("the {n}th time: {e}"));
        give.send(lp.server(server).accept_gauge().unwrap()).unwrap();
        has_begun.recv_timeout(DEADLINE).unwrap();
        lp.server(server).close().unwrap();
        lp.run_nowait().unwrap();
    }
    drop(give);
    reader.join().unwrap();
}
