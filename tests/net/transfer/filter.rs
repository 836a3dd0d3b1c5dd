//! A filter on the wire: what the handler sees is not what the kernel carries.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use tidegate::net::{Filter, FilterError, Passed, Stage};
use tidegate::prelude::*;

use crate::support::*;

/// Flips every bit, says hello when it first hears from the peer, goodbye at
/// the end, and refuses a zero byte.
struct Flip {
    greeted: bool,
}

impl Filter for Flip {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        if !std::mem::replace(&mut self.greeted, true) {
            out.down.extend(b"hello:");
        }
        for byte in wire.iter() {
            if *byte == 0 {
                return Err("a zero byte".into());
            }
            out.up.push(!byte);
        }
        Ok(())
    }

    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend(user.iter().map(|b| !b));
        Ok(user.len())
    }

    fn close(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.down.extend(b":bye");
        Ok(())
    }
}

fn flipped(text: &[u8]) -> Vec<u8> {
    text.iter().map(|b| !b).collect()
}

fn filtered_echo(lp: &mut Loop, log: &Log) -> std::net::SocketAddr {
    let log = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let (data, close) = (log.clone(), log.clone());
            let mut s = conn.accept(
                On::new()
                    .data(move |s, chunk| {
                        data.add(String::from_utf8_lossy(chunk));
                        let _ = s.write(chunk);
                    })
                    .close(move |_, c| match c.reason.error() {
                        Some(e) => close.add(format!("{}: {e}", e.stage())),
                        None => close.add(c.to_string()),
                    }),
            );
            s.set_filter(Flip { greeted: false });
        })
        .unwrap();
    lp.server(server).local_addr().unwrap()
}

#[test]
fn bytes_pass_through_the_filter_both_ways() {
    let mut lp = guarded();
    let log = Log::default();
    let at = filtered_echo(&mut lp, &log);
    let c = client(at);
    write_all(&c, &flipped(b"tide"));
    c.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["tide", "both sides ended"]);
    let expected = [b"hello:".to_vec(), flipped(b"tide"), b":bye".to_vec()].concat();
    assert_eq!(read_to_end(&c), expected);
}

#[test]
fn a_filter_that_refuses_ends_the_connection() {
    let mut lp = guarded();
    let log = Log::default();
    let at = filtered_echo(&mut lp, &log);
    let c = client(at);
    write_all(&c, &[0]);
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    assert!(log.lines()[0].starts_with(&format!("{}: ", Stage::Filter)));
    assert!(log.lines()[0].ends_with("a zero byte"), "{:?}", log.lines());
}

/// A filter of closures.
struct Of<I, O, C>(I, O, C);

type Done = Result<(), FilterError>;

impl<I, O, C> Filter for Of<I, O, C>
where
    I: FnMut(&[u8], &mut Passed) -> Done + 'static,
    O: FnMut(&[u8], &mut Passed) -> Done + 'static,
    C: FnMut(&mut Passed) -> Done + 'static,
{
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        (self.0)(wire, out)
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        (self.1)(user, out).map(|()| user.len())
    }
    fn close(&mut self, out: &mut Passed) -> Done {
        (self.2)(out)
    }
}

fn up(wire: &[u8], out: &mut Passed) -> Done {
    out.up.extend_from_slice(wire);
    Ok(())
}

fn down(user: &[u8], out: &mut Passed) -> Done {
    out.down.extend_from_slice(user);
    Ok(())
}

/// A server whose n-th connection gets the n-th setup; data and closes are logged.
fn serve(lp: &mut Loop, log: &Log, setups: Vec<fn(&mut SocketCx<'_>)>) -> std::net::SocketAddr {
    let (log, mut setups) = (log.clone(), setups.into_iter().enumerate());
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let server = conn.server_key();
            let (n, setup) = setups.next().unwrap();
            if setups.len() == 0 {
                conn.server(server).close().unwrap();
            }
            let (data, close) = (log.clone(), log.clone());
            let mut s = conn.accept(
                On::new()
                    .data(move |_, chunk| {
                        data.add(format!("{n} {}", String::from_utf8_lossy(chunk)))
                    })
                    .close(move |_, c| close.add(format!("{n} {c}"))),
            );
            setup(&mut s);
        })
        .unwrap();
    lp.server(server).local_addr().unwrap()
}

/// An answer that the filter makes after our end goes nowhere, and the end stays clean.
#[test]
fn an_answer_after_our_end_is_not_sent() {
    let mut lp = guarded();
    let log = Log::default();
    let at = serve(
        &mut lp,
        &log,
        vec![|s| {
            s.set_filter(Of(
                |wire: &[u8], out: &mut Passed| {
                    out.down.extend(b"pong");
                    up(wire, out)
                },
                down,
                |_: &mut Passed| Ok(()),
            ));
            s.end();
        }],
    );
    let c = client(at);
    write_all(&c, b"late");
    c.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["0 late", "0 both sides ended"]);
    assert_eq!(read_to_end(&c), b"");
}

/// Bytes that a filter leaves behind never reach another connection.
#[test]
fn what_one_filter_leaves_does_not_reach_another() {
    let mut lp = guarded();
    let log = Log::default();
    let at = serve(
        &mut lp,
        &log,
        vec![
            |s| {
                s.set_filter(Of(up, down, |out: &mut Passed| up(b"secret", out)));
                s.end();
            },
            |s| s.set_filter(Of(up, down, |_: &mut Passed| Ok(()))),
        ],
    );
    let (a, b) = (client(at), client(at));
    write_all(&b, b"mine");
    a.shutdown(std::net::Shutdown::Write).unwrap();
    b.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["0 both sides ended", "1 both sides ended", "1 mine"]);
}

/// Law 10: a filter that panics ends its own connection, once, and no other; bytes it
/// had made go nowhere.
#[test]
fn a_filter_that_panics_ends_its_connection() {
    fn panics(_: &[u8], out: &mut Passed) -> Done {
        out.up.extend(b"secret");
        out.down.extend(b"secret");
        resume_unwind(Box::new("on purpose"))
    }
    let setups: [fn(&mut SocketCx<'_>); 3] = [
        |s| s.set_filter(Of(panics, down, |_: &mut Passed| Ok(()))),
        |s| {
            s.set_filter(Of(up, panics, |_: &mut Passed| Ok(())));
            assert_eq!(s.write(b"x"), Flow::Closed);
        },
        |s| s.set_filter(Of(up, down, |out: &mut Passed| panics(b"", out))),
    ];
    for (n, setup) in setups.into_iter().enumerate() {
        let mut lp = guarded();
        let log = Log::default();
        let plain: fn(&mut SocketCx<'_>) = |s| s.set_filter(Of(up, down, |_: &mut Passed| Ok(())));
        let at = serve(&mut lp, &log, vec![setup, plain]);
        let a = client(at);
        let b = client(at);
        if n == 0 {
            write_all(&a, b"x");
        }
        a.shutdown(std::net::Shutdown::Write).unwrap();
        write_all(&b, b"mine");
        b.shutdown(std::net::Shutdown::Write).unwrap();
        let mut panics = 0;
        while lp.is_alive() {
            panics += u32::from(catch_unwind(AssertUnwindSafe(|| lp.run().unwrap())).is_err());
        }
        assert_eq!(panics, 1, "filter {n}");
        let mut lines = log.lines();
        lines.sort();
        let expected = ["0 a callback panicked", "1 both sides ended", "1 mine"];
        assert_eq!(lines, expected, "filter {n}");
        assert_eq!(read_to_end(&b), b"");
    }
}

/// Answers of a filter meet the same limits as writes: a peer that asks and does not
/// read cannot fill our memory.
#[test]
fn answers_of_a_filter_meet_the_write_limit() {
    let mut lp = guarded();
    let most = Rc::new(Cell::new(0));
    let (reason, held) = (Log::default(), most.clone());
    let r = reason.clone();
    let options = ListenOptions::new("127.0.0.1:0").write_limit(1 << 20);
    let server = lp
        .listen(options, move |conn| {
            let (r, held) = (r.clone(), held.clone());
            let mut s = conn.accept(
                On::new()
                    .data(move |s, _| held.set(held.get().max(s.memory_held())))
                    .close(move |_, c| r.add(c.to_string())),
            );
            s.set_filter(Of(
                |wire: &[u8], out: &mut Passed| {
                    out.down.resize(wire.len() * 4, 1);
                    up(wire, out)
                },
                down,
                |_: &mut Passed| Ok(()),
            ));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        // Ends with an error, when the server has had enough.
        (&c).write_all(&vec![1u8; 64 << 20]).is_err()
    });
    turn_until(&mut lp, |_| !reason.lines().is_empty());
    assert!(writer.join().unwrap());
    assert!(reason.lines()[0].contains("write_limit is 1048576"), "{:?}", reason.lines());
    assert!(most.get() < 2 << 20, "{} bytes were held", most.get());
}
