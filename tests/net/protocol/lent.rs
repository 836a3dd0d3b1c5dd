//! Connections that are lent to their protocol: what it reads, and what happens to a connection if
//! the protocol drops it, or panics.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidegate::kind::{Dispatch, Kind, LayerId};
use tidegate::net::{LentSocket, Net, Protocol, Pulls, Reason, pull_kind};
use tidegate::prelude::*;

use crate::support::*;

/// What it does with the next connection that it gets.
#[derive(Clone, Copy, Default)]
enum Then {
    #[default]
    Read,
    Drop,
    Panic,
}

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    lent: u32,
    then: Then,
    closed: Option<Reason>,
}

static SEEN: LayerId<Seen> = LayerId::new(Seen::default);
static LENT: Kind = pull_kind::<Reads>();
static READS: Protocol = Protocol::new("reads")
    .readable(readable)
    .close(|d, _, _, close| d.layer(&SEEN).0.closed = Some(close.reason.clone()))
    .lends(&LENT);

struct Reads;

impl Pulls for Reads {
    fn pull(d: &mut Dispatch<'_>, at: u64, socket: &mut Option<LentSocket>) -> bool {
        let seen = d.layer(&SEEN).0;
        seen.lent += 1;
        let Some(lent) = socket else { return false };
        let mut buffer = [0; 64];
        match (seen.then, lent.read(&mut buffer)) {
            (Then::Drop, _) => drop(socket.take()),
            (Then::Panic, _) => panic!("in the middle"),
            (_, Ok(n @ 1..)) => {
                seen.bytes.extend(&buffer[..n]);
                assert!(lent.wait());
            }
            (_, done) => {
                let (key, lent) = (lent.key(), socket.take().unwrap());
                if lent.end_read(&mut d.cx(), &mut buffer, done).is_ok_and(|n| n == 0) {
                    d.cx().socket(key).end();
                } else {
                    readable(d, key, at);
                }
            }
        }
        true
    }
}

fn readable(d: &mut Dispatch<'_>, key: SocketKey, _: u64) {
    let mut buffer = [0; 64];
    loop {
        match d.cx().socket(key).read_now(&mut buffer) {
            Ok(0) => return d.cx().socket(key).end(),
            Ok(n) => d.layer(&SEEN).0.bytes.extend(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            Err(e) => panic!("{e}"),
        }
    }
}

/// A connection that is lent by now, if the system's poller allows that.
fn lent() -> (Guarded, TcpStream) {
    let mut lp = guarded();
    let server = lp.listen("127.0.0.1:0", |mut c| {
        c.server(c.server_key()).close().unwrap();
        c.accept_as(&READS, 0).unwrap();
    });
    let at: SocketAddr = lp.server(server.unwrap()).local_addr().unwrap();
    let client = client(at);
    for sent in 1..=5 {
        write_all(&client, b"tide");
        turn_until(&mut lp, |lp| lp.cx().layer(&SEEN).0.bytes.len() == 4 * sent);
    }
    assert_eq!(lp.net_metrics().bytes_read, 20);
    (lp, client)
}

/// Over epoll alone it is known that a short read leaves nothing.
fn is_lent(lp: &mut Loop) -> bool {
    lp.cx().layer(&SEEN).0.lent > 0
}

fn closed(lp: &mut Loop) -> String {
    lp.cx().layer(&SEEN).0.closed.as_ref().map_or("open".to_owned(), |r| r.to_string())
}

#[test]
fn it_reads_the_bytes_and_the_end() {
    let (mut lp, client) = lent();
    #[cfg(all(target_os = "linux", not(any(tidegate_like_kqueue, tidegate_like_afd))))]
    assert!(is_lent(&mut lp) || cfg!(mio_unsupported_force_poll_poll));
    client.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(closed(&mut lp), "both sides ended");
    assert_eq!(read_to_end(&client), b"");
}

#[test]
fn a_connection_that_it_drops_is_over() {
    let (mut lp, client) = lent();
    if !is_lent(&mut lp) {
        return;
    }
    lp.cx().layer(&SEEN).0.then = Then::Drop;
    write_all(&client, b"tide");
    lp.run().unwrap();
    assert_eq!(closed(&mut lp), "destroyed");
}

#[test]
fn a_panic_resets_the_connection() {
    let (mut lp, mut client) = lent();
    if !is_lent(&mut lp) {
        return;
    }
    lp.cx().layer(&SEEN).0.then = Then::Panic;
    write_all(&client, b"tide");
    catch_unwind(AssertUnwindSafe(|| lp.run())).expect_err("it panics");
    lp.run().unwrap();
    assert!(matches!(lp.cx().layer(&SEEN).0.closed, Some(Reason::Panicked)));
    assert_eq!(lp.net_metrics().bytes_read, 24);
    let e = client.read(&mut [0]).expect_err("the answer is cut off");
    assert_eq!(e.kind(), ErrorKind::ConnectionReset);
}
