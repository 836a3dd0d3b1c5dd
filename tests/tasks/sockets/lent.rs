//! What a poll sees and does while it has the connection that it reads from: the connection is back
//! in the loop before anything else sees it.

use std::io::{IoSlice, Read};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tidegate::net::Net;
use tidegate::prelude::*;
use tidegate::task::{Async, AsyncSocket, with, yield_now};

use crate::server;
use crate::support::*;

/// So many polls of a connection that read it whole and wait again: from then on it is lent.
const WARM: u64 = 3;

async fn warm(socket: &AsyncSocket) {
    let mut bytes = [0; 16];
    for _ in 0..WARM {
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 4);
    }
}

/// The client's part of it, and one message more.
fn warm_up(lp: &mut Loop, c: &std::net::TcpStream) {
    for sent in 1..=WARM {
        write_all(c, b"tide");
        turn_until(lp, |lp| lp.net_metrics().bytes_read == 4 * sent);
    }
    write_all(c, b"gate");
}

fn end(mut lp: Guarded) {
    lp.close_all();
    lp.run().unwrap();
}

/// A poll asks the loop in the middle of reads and writes.
#[test]
fn b18_a_poll_sees_what_it_moved() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, |socket| async move {
        warm(&socket).await;
        let mut bytes = [0; 16];
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 4);
        let moved = || {
            let m = socket.with(|s| s.metrics()).unwrap().unwrap();
            (m.bytes_read, m.bytes_written)
        };
        assert_eq!(moved(), (4 * WARM + 4, 0));
        assert_eq!(socket.write(b"ok").await.unwrap(), 2);
        assert_eq!(moved(), (4 * WARM + 4, 2));
        assert_eq!(socket.read(&mut []).await.unwrap(), 0);
        yield_now().await;
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 4, "it waits as before");
        with(|cx| cx.net_metrics()).unwrap();
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 0);
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 0);
    });
    let c = client(at);
    warm_up(&mut lp, &c);
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_written == 2);
    write_all(&c, b"tide");
    c.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |lp| lp.task_metrics().finished == 1);
    assert_eq!(read_to_end(&c), b"ok");
    end(lp);
}

/// A write that the kernel does not take whole, of one piece and of many.
#[test]
fn b18_more_than_the_kernel_takes() {
    const ALL: usize = 16 << 20;
    for pieces in [1, 7, 1000] {
        let mut lp = guarded();
        let (_, at) = server(&mut lp, move |socket| async move {
            warm(&socket).await;
            assert_eq!(socket.read(&mut [0; 16]).await.unwrap(), 4);
            let bytes: Vec<u8> = (0..ALL).map(|n| (n % 251) as u8).collect();
            let mut sent = 0;
            while sent < ALL {
                let rest = bytes[sent..].chunks(ALL / pieces);
                let rest: Vec<IoSlice<'_>> = rest.map(IoSlice::new).collect();
                sent += match pieces {
                    1 => socket.write(&bytes[sent..]).await.unwrap(),
                    _ => socket.write_vectored(&rest).await.unwrap(),
                };
            }
        });
        let mut c = client(at);
        warm_up(&mut lp, &c);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            c.read_to_end(&mut all).unwrap();
            all
        });
        turn_until(&mut lp, |lp| lp.task_metrics().finished == 1);
        end(lp);
        let all = reader.join().unwrap();
        assert_eq!(all.len(), ALL);
        assert!(all.iter().enumerate().all(|(n, byte)| *byte == (n % 251) as u8));
    }
}

/// One call of the kernel takes 64 pieces, which are not all empty; lent or not.
#[test]
fn b18_many_small_pieces() {
    async fn write(socket: &AsyncSocket) {
        let mut pieces = vec![IoSlice::new(b"x"); 1000];
        assert_eq!(socket.write_vectored(&pieces).await.unwrap(), 64);
        pieces.splice(..0, [IoSlice::new(b""); 64]);
        assert_eq!(socket.write_vectored(&pieces).await.unwrap(), 64);
    }
    let mut lp = guarded();
    let (_, at) = server(&mut lp, |socket| async move {
        write(&socket).await;
        warm(&socket).await;
        assert_eq!(socket.read(&mut [0; 16]).await.unwrap(), 4);
        write(&socket).await;
    });
    let c = client(at);
    warm_up(&mut lp, &c);
    turn_until(&mut lp, |lp| lp.task_metrics().finished == 1);
    assert_eq!(read_to_end(&c), [b'x'; 256]);
    end(lp);
}

/// A poll panics after it read: its connection ends, and is counted once.
#[test]
fn b03_a_panic_of_a_poll_that_has_its_connection() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, |socket| async move {
        warm(&socket).await;
        assert_eq!(socket.read(&mut [0; 16]).await.unwrap(), 4);
        resume_unwind(Box::new("on purpose"))
    });
    let c = client(at);
    warm_up(&mut lp, &c);
    let ran = catch_unwind(AssertUnwindSafe(|| lp.run()));
    assert_eq!(ran.unwrap_err().downcast_ref(), Some(&"on purpose"));
    turn_until(&mut lp, |lp| lp.net_metrics().closed == 1);
    assert_eq!(lp.net_metrics().bytes_read, 4 * WARM + 4);
    assert_eq!(read_to_end(&c), b"");
    end(lp);
}
