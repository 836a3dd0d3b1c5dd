//! What a route has that only layers use: protocols that echo, pushed and pulled, a handler that
//! gives bytes back, and filters on the way.

use std::io::IoSlice;

use tidegate::kind::{Dispatch, LayerId};
use tidegate::net::*;
use tidegate::prelude::*;

use super::program::*;
use super::streams::*;
use super::wires::closed;

struct Echoing {
    known: Shared,
    /// How much is read at a time.
    piece: usize,
}

/// Of all echoes that there were in a loop.
static ECHOES: LayerId<Vec<Echoing>> = LayerId::new(Vec::new);
static PUSHED: Protocol = Protocol::new("pushed echo").data(push).drain(go_on).close(over);
static PULLED: Protocol = Protocol::new("pulled echo").readable(pull).writable(go_on).close(over);

fn go_on(d: &mut Dispatch<'_>, key: SocketKey, _: u64) {
    saw("an echo of a protocol goes on");
    d.cx().socket(key).resume();
}

fn over(d: &mut Dispatch<'_>, _: SocketKey, at: u64, close: Close) {
    let known = d.layer(&ECHOES).0[at as usize].known.clone();
    closed(&known, close);
}

fn push(d: &mut Dispatch<'_>, key: SocketKey, _: u64, bytes: &mut [u8]) {
    let (a, b) = bytes.split_at(bytes.len() / 2);
    let mut cx = d.cx();
    let mut s = cx.socket(key);
    if s.write_gathered(&[Chunk::Lent(a), Chunk::Lent(b)]) == Flow::Full {
        s.pause();
    }
}

fn pull(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let piece = d.layer(&ECHOES).0[at as usize].piece;
    let mut cx = d.cx();
    let (mut s, mut buffer) = (cx.socket(key), vec![0; piece]);
    for _ in 0..3 {
        let n = match s.read_now(&mut buffer) {
            Ok(0) => return s.end(),
            Ok(n) => n,
            // If it is more than `WouldBlock`, the close is to come.
            Err(_) => return,
        };
        let (a, b) = buffer[..n].split_at(n / 3);
        let sent = s.write_now(&[IoSlice::new(a), IoSlice::new(b)]).unwrap_or(0);
        if sent < n {
            saw("a pulled echo waits");
            s.unread(&buffer[sent..n]);
            return s.pause();
        }
    }
}

/// Takes the first half of each other chunk, and gives the rest back.
struct GivesBack {
    known: Shared,
    whole: bool,
}

impl Handler for GivesBack {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.whole = !self.whole || chunk.len() < 2;
        let (now, later) = chunk.split_at(chunk.len() / if self.whole { 1 } else { 2 });
        let flow = s.write(now);
        s.unread(later);
        if flow == Flow::Full {
            saw("an echo that gives back is full");
            s.pause();
        }
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        s.resume();
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        closed(&self.known, close);
    }
}

/// Accepts it with an echo of these.
pub(crate) fn accept(mut conn: Incoming<'_>, echo: Echo, l: &Shared) {
    add(&l.sockets, 0);
    let protocol = match echo {
        Echo::Pushed => &PUSHED,
        Echo::Pulled(_) => &PULLED,
        _ => {
            conn.accept(GivesBack { known: l.clone(), whole: true });
            return;
        }
    };
    let piece = if let Echo::Pulled(piece) = echo { piece } else { 0 };
    let mut cx = conn.cx();
    let (echoes, _) = cx.layer(&ECHOES);
    let at = echoes.len() as u64;
    echoes.push(Echoing { known: l.clone(), piece });
    conn.accept_as(protocol, at).unwrap();
}

impl FilterFactory for Filtered {
    fn make(&self) -> Box<dyn Filter> {
        saw("a filter");
        match self {
            Filtered::Mixed => Box::new(Mixed),
            Filtered::Records => Box::new(Records::default()),
        }
    }
}

/// Changes each byte.
struct Mixed;

fn mix(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|b| b ^ 0x5a)
}

impl Filter for Mixed {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.up.extend(mix(wire));
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend(mix(user));
        Ok(user.len())
    }
}

/// Puts the length before up to 1000 bytes, of up to 5000 that it takes at a time. Keeps a record
/// that is not here as a whole.
#[derive(Default)]
struct Records {
    part: Vec<u8>,
}

impl Filter for Records {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        self.part.extend_from_slice(wire);
        let mut rest = &self.part[..];
        while let [a, b, more @ ..] = rest {
            let len = usize::from(u16::from_be_bytes([*a, *b]));
            if more.len() < len {
                break;
            }
            out.up.extend_from_slice(&more[..len]);
            rest = &more[len..];
        }
        self.part = rest.to_vec();
        Ok(())
    }
    fn inbound_end(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        if !self.part.is_empty() {
            return Err("the end, in a record".into());
        }
        out.end();
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        let taken = &user[..user.len().min(5_000)];
        for record in taken.chunks(1_000) {
            out.down.extend((record.len() as u16).to_be_bytes());
            out.down.extend_from_slice(record);
        }
        Ok(taken.len())
    }
    fn held(&self) -> Held {
        Held { user: 0, wire: self.part.len() }
    }
}
