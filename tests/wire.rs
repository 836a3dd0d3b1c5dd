//! A filter on the wire: what the handler sees is not what the kernel carries.

mod support;

use support::*;
use tidegate::net::{Filter, FilterError, Passed, Stage};
use tidegate::prelude::*;

/// Flips every bit, says hello when it first hears from the peer, goodbye at
/// the end, and refuses a zero byte.
struct Flip {
    greeted: bool,
}

impl Filter for Flip {
    fn inbound(&mut self, wire: &[u8], out: &mut Passed) -> Result<(), FilterError> {
        if !std::mem::replace(&mut self.greeted, true) {
            out.down.extend(b"hello:");
        }
        for byte in wire {
            if *byte == 0 {
                return Err("a zero byte".into());
            }
            out.up.push(!byte);
        }
        Ok(())
    }

    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<(), FilterError> {
        out.down.extend(user.iter().map(|b| !b));
        Ok(())
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
            let server = conn.server();
            conn.close_server(server).unwrap();
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
    lp.local_addr(server).unwrap()
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
