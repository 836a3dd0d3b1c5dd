//! Readiness bits: what sets a bit, what clears it, and why bytes that were left unread are not
//! forgotten.
//!
//! ```text
//! cargo run --release --example edges
//! ```
//! A connection of a server, whose peer is a socket of the standard library, turn by turn. An
//! observer prints what the kernel reported, and which bits a handle has before it is called. The
//! callbacks print which bits it has afterwards.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};

use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;

/// How many bytes a connection may read in one turn.
const BUDGET: usize = 8;

struct Print;

impl Observer for Print {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        match event {
            Event::Polled { events, .. } => println!("  poll  {events} events"),
            Event::Ready { kind, bits, .. } => println!("  ready {kind}: {bits:?}"),
            _ => {}
        }
    }
}

/// The bits of a connection now.
fn bits(s: &mut SocketCx<'_>) -> String {
    let key = s.key();
    format!("{:?}", s.cx().readiness(key))
}

struct EdgeReader {
    /// Reads one chunk, and pauses.
    pauses: bool,
}

impl Handler for EdgeReader {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        println!("        on_data of {} bytes; now {}", chunk.len(), bits(s));
        if self.pauses {
            self.pauses = false;
            s.pause();
        }
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        println!("        on_end; now {}", bits(s));
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        println!("        on_close: {close}");
    }
}

/// Runs one turn that does not wait, and says whether the next one may wait.
fn turn(lp: &mut Loop, what: &str) -> io::Result<()> {
    println!("- {what}");
    lp.run_nowait()?;
    let waits = lp.backend_timeout().is_none();
    println!("  then  the next poll {}", if waits { "may wait" } else { "would not wait" });
    Ok(())
}

fn main() -> io::Result<()> {
    let mut lp = Loop::builder().limits(NetLimits::new().read_budget(BUDGET)).build()?;
    lp.observe(Print);
    let server = lp.listen("127.0.0.1:0", |conn| {
        conn.accept(EdgeReader { pauses: false });
    })?;
    let mut peer = TcpStream::connect(lp.server(server).local_addr()?)?;

    println!("A new connection");
    turn(&mut lp, "the bits are assumed, and a read is tried")?;
    let key = lp.server(server).connections()[0];
    println!("        now {}: the kernel had nothing (EWOULDBLOCK)", bits(&mut lp.socket(key)));

    println!("\nA short read");
    peer.write_all(b"tide")?;
    turn(&mut lp, "the peer has sent 4 bytes")?;
    turn(&mut lp, "and once more")?;

    println!("\nStopped by the budget of {BUDGET} bytes");
    peer.write_all(b"high water at noon")?;
    turn(&mut lp, "the peer has sent 18 bytes")?;
    turn(
        &mut lp,
        "nothing is new to the kernel; the bit stayed, and so did the place in the queue",
    )?;
    turn(&mut lp, "the rest")?;

    println!("\nStopped by choice: on_data pauses");
    lp.socket(key).set_handler(EdgeReader { pauses: true });
    peer.write_all(b"high water at noon")?;
    turn(&mut lp, "the peer has sent 18 bytes")?;
    turn(&mut lp, "the bit stays; nobody is queued")?;
    println!("        now {}", bits(&mut lp.socket(key)));
    peer.shutdown(Shutdown::Write)?;
    turn(&mut lp, "the peer ends its side: that is seen, not read")?;
    println!("        peer_state is {:?}", lp.socket(key).peer_state());
    lp.socket(key).resume();
    turn(&mut lp, "resume: no system call, a place in the queue")?;
    turn(&mut lp, "the rest, and the end")
}
