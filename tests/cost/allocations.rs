//! What the hot path allocates: nothing.

use std::io::Read;
use std::net::Shutdown;

use tidegate::prelude::*;

use crate::allocation;
use crate::support::*;

#[test]
fn an_echo_a_pause_and_a_resume_allocate_nothing() {
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new().data(|s, chunk| {
                s.pause();
                assert_eq!(s.write(chunk), Flow::Ready);
                s.resume();
            }));
        })
        .unwrap();
    let mut c = client(lp.server(server).local_addr().unwrap());
    let mut echo = |lp: &mut Loop| {
        write_all(&c, &[7; 64]);
        let before = allocation::calls();
        lp.run_once().unwrap();
        let during = allocation::calls() - before;
        c.read_exact(&mut [0; 64]).unwrap();
        during
    };
    // It is accepted, the read buffer is made, the queues find their size.
    let first: u64 = (0..10).map(|_| echo(&mut lp)).sum();
    assert!(first > 0);
    let later: u64 = (0..1000).map(|_| echo(&mut lp)).sum();
    assert_eq!(later, 0, "allocations in 1,000 echoes");
}

/// Its slot and its place in the slab are there from the connections before: what
/// is left is the user's own handler.
#[test]
fn an_accepted_connection_allocates_its_handler_alone() {
    let mut lp = guarded();
    struct Silent([u8; 8]);
    impl Handler for Silent {
        fn on_close(&mut self, _: &mut SocketCx<'_>, _: Close) {
            assert_eq!(self.0, [1; 8]);
        }
    }
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(Silent([1; 8]));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let connection = |lp: &mut Loop, n: u64| {
        let c = client(at);
        drop(c);
        let before = allocation::calls();
        turn_until(lp, |lp| {
            let stats = lp.server(server).stats().unwrap();
            stats.accepted == n && stats.connections == 0
        });
        allocation::calls() - before
    };
    for n in 1..=10 {
        connection(&mut lp, n);
    }
    let later: u64 = (11..=110).map(|n| connection(&mut lp, n)).sum();
    assert_eq!(later, 100, "one for each of 100 connections");
}

/// A layer keeps its state in a slab: its connections allocate nothing at all, from accept to
/// close, with an echo between.
#[test]
fn a_connection_of_a_protocol_allocates_nothing() {
    use tidegate::net::Protocol;
    static ECHO: Protocol = Protocol::new("echo").data(|d, key, _, bytes| {
        assert_eq!(d.cx().socket(key).write(&bytes[..]), Flow::Ready);
    });
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept_as(&ECHO, 0).unwrap();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let connection = |lp: &mut Loop, n: u64| {
        let c = client(at);
        write_all(&c, &[7; 64]);
        c.shutdown(Shutdown::Write).unwrap();
        let before = allocation::calls();
        turn_until(lp, |lp| {
            let stats = lp.server(server).stats().unwrap();
            stats.accepted == n && stats.connections == 0
        });
        let during = allocation::calls() - before;
        assert_eq!(read_to_end(&c), [7; 64]);
        during
    };
    let first: u64 = (1..=10).map(|n| connection(&mut lp, n)).sum();
    assert!(first > 0);
    let later: u64 = (11..=110).map(|n| connection(&mut lp, n)).sum();
    assert_eq!(later, 0, "allocations in 100 connections");
}

/// An idle connection with an idle timeout set: what it costs us, all together. And refreshing
/// the deadline by a read or a write costs nothing.
#[test]
fn an_idle_connection_is_small_and_its_deadline_is_free() {
    struct Silent;
    impl Handler for Silent {
        fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
            let _ = s.write(chunk);
        }
    }
    // Just below two powers of two: then all that is reserved is used.
    const FEW: usize = 120;
    const MANY: usize = 500;
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").idle_timeout(DEADLINE * 10);
    let server = lp
        .listen(options.backlog(1024), |conn| {
            conn.accept(Silent);
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let mut clients = Vec::with_capacity(MANY + 1);
    let mut grow = |lp: &mut Loop, n: usize| {
        while clients.len() < n {
            clients.push(client(at));
            let open = clients.len() as u64;
            turn_until(lp, |lp| lp.server(server).stats().unwrap().accepted == open);
        }
        (allocation::live(), clients[0].try_clone().unwrap())
    };
    let (before, _) = grow(&mut lp, FEW);
    let (after, mut first) = grow(&mut lp, MANY);
    let each = (after - before) as usize / (MANY - FEW);
    println!("{each} bytes for each idle connection");
    // There mio keeps a list of its own.
    let list = cfg!(mio_unsupported_force_poll_poll);
    assert!(each <= 272 || list, "{each} bytes");
    let mut echo = |lp: &mut Loop| {
        write_all(&first, &[7; 64]);
        let calls = allocation::calls();
        lp.run_once().unwrap();
        let during = allocation::calls() - calls;
        first.read_exact(&mut [0; 64]).unwrap();
        during
    };
    for _ in 0..10 {
        echo(&mut lp);
    }
    assert_eq!((0..200).map(|_| echo(&mut lp)).sum::<u64>(), 0);
}

/// Law 8: the limit bounds the memory of writes that stay single pieces, however small.
#[test]
fn a_write_limit_bounds_the_memory_of_small_writes() {
    use tidegate::stream::{BoxError, Progress, Sink, WritableCx, WritableOptions};
    struct Stuck;
    impl Sink for Stuck {
        fn write(
            &mut self,
            _: &mut WritableCx<'_>,
            _: &[bytes::Bytes],
        ) -> Result<Progress, BoxError> {
            Ok(Progress::Later)
        }
    }
    const LIMIT: usize = 64 << 10;
    for size in [1, 10, 100, 1000, 1023] {
        let mut lp = guarded();
        let options = WritableOptions::new().high_water_mark(LIMIT).gather(1).write_limit(LIMIT);
        let to = lp.open_writable(options, Stuck, ()).unwrap();
        let data = vec![1; size];
        let before = allocation::live();
        let (mut flow, mut writes) = (Flow::Ready, 0);
        while flow == Flow::Ready {
            flow = lp.writable(to).write(&data[..]);
            writes += 1;
        }
        assert_eq!(flow, Flow::Full, "the limit shows before it closes");
        let held = usize::try_from(allocation::live() - before).unwrap();
        assert!(held < LIMIT + LIMIT / 8, "{held} bytes held by {writes} writes of {size}");
        assert!(held > LIMIT / 4, "{held} bytes held by {writes} writes of {size}");
    }
}

/// Whole frames are lent from the read buffer. The beginning of one is kept until the rest comes,
/// and costs that buffer; a connection that waits for a new frame keeps nothing.
#[test]
fn whole_frames_allocate_nothing() {
    use tidegate::net::{Framed, Lines};
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(Framed::new(Lines::new(64), |s, line| s.write(line)));
        })
        .unwrap();
    let mut c = client(lp.server(server).local_addr().unwrap());
    let mut echo = |lp: &mut Loop, bytes: &[u8], echoed: &mut [u8]| {
        write_all(&c, bytes);
        let before = allocation::calls();
        lp.run_once().unwrap();
        let during = allocation::calls() - before;
        c.read_exact(echoed).unwrap();
        during
    };
    let hundred = b"tide\n".repeat(100);
    for _ in 0..10 {
        echo(&mut lp, &hundred, &mut [0; 400]);
    }
    let whole: u64 = (0..100).map(|_| echo(&mut lp, &hundred, &mut [0; 400])).sum();
    assert_eq!(whole, 0, "allocations for 10,000 frames");
    let live = allocation::live();
    assert_eq!(echo(&mut lp, b"ti", &mut []), 1, "what is kept");
    assert_eq!(allocation::live() - live, 2, "not more than came");
    assert!(echo(&mut lp, b"de\n", &mut [0; 4]) <= 1, "it grows once");
    assert_eq!(allocation::live(), live);
}
