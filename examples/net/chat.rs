//! A chat: what one client says goes to all others. The handlers share one value, the room.
//!
//! ```text
//! cargo run --release --example chat            # a conversation of three, which ends
//! cargo run --release --example chat ADDR       # a server; talk to it with nc, Ctrl-C stops
//! ```
//! The chat does not wait for a client that reads too slowly. It drops what the others say until
//! that client has caught up, so its memory does not grow.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::process::exit;
use std::rc::Rc;

use bytes::Bytes;
use tidegate::net::{AtLimit, TcpKeepAlive};
use tidegate::observe::OneLine;
use tidegate::prelude::*;

#[derive(Default)]
struct Room {
    members: BTreeMap<SocketKey, Member>,
    guests: u32,
}

struct Member {
    name: String,
    /// It has not caught up with what was said.
    full: bool,
}

type Shared = Rc<RefCell<Room>>;

struct Seat {
    room: Shared,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
}

/// Longer lines are cut.
const LINE: usize = 1024;

impl Seat {
    /// Sends to all members but one. They share one `Bytes`: nothing is copied.
    fn say(&self, s: &mut SocketCx<'_>, from: SocketKey, text: String) {
        let text = Bytes::from(text);
        let others: Vec<SocketKey> = {
            let room = self.room.borrow();
            let ready = room.members.iter().filter(|(key, m)| **key != from && !m.full);
            ready.map(|(key, _)| *key).collect()
        };
        for key in others {
            let flow = s.socket(key).write(text.clone());
            if flow == Flow::Full {
                if let Some(m) = self.room.borrow_mut().members.get_mut(&key) {
                    m.full = true;
                }
            }
        }
    }

    fn name(&self, key: SocketKey) -> String {
        self.room.borrow().members.get(&key).map(|m| m.name.clone()).unwrap_or_default()
    }
}

impl Handler for Seat {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let key = s.key();
        for byte in chunk {
            if *byte != b'\n' {
                if self.line.len() < LINE {
                    self.line.push(*byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            // `OneLine` escapes control characters, which the terminals of the others would obey.
            self.say(s, key, format!("{}: {}\n", self.name(key), OneLine(line.trim_end())));
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        if let Some(m) = self.room.borrow_mut().members.get_mut(&s.key()) {
            m.full = false;
        }
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        let key = s.key();
        let name = self.name(key);
        self.room.borrow_mut().members.remove(&key);
        println!("{name} left: {close}");
        self.say(s, key, format!("{name} left\n"));
    }
}

fn serve(lp: &mut Loop, at: &str) -> io::Result<ServerKey> {
    let room = Shared::default();
    // No idle timeout, as guests may be silent; keep-alive finds those that are gone.
    let options = ListenOptions::new(at)
        .max_connections(1024, AtLimit::Drop)
        .keep_alive(TcpKeepAlive::default());
    let server = lp.listen(options, move |mut conn| {
        let key = conn.key();
        let name = {
            let mut room = room.borrow_mut();
            room.guests += 1;
            let name = format!("guest {}", room.guests);
            room.members.insert(key, Member { name: name.clone(), full: false });
            name
        };
        let seat = Seat { room: room.clone(), line: Vec::new() };
        let mut s = conn.accept(seat);
        let _ = s.write(format!("you are {name}\n"));
        let seat = Seat { room: room.clone(), line: Vec::new() };
        seat.say(&mut s, key, format!("{name} came\n"));
    });
    Ok(server?)
}

/// Three guests, who come one after the other, say a word and leave.
fn converse(lp: &mut Loop, server: ServerKey) -> io::Result<()> {
    let at = lp.server(server).local_addr()?;
    let done = Rc::new(RefCell::new(0));
    for (who, word) in [("ann", "high water!"), ("bob", "at noon?"), ("eve", "bye")] {
        let done = done.clone();
        let hear = move |s: &mut SocketCx<'_>, chunk: &[u8]| {
            for line in String::from_utf8_lossy(chunk).lines() {
                println!("  {who} hears: {line}");
                if line.starts_with("you are") {
                    let _ = s.write(format!("{word}\n"));
                }
                if line.ends_with("bye") || (who == "eve" && line.starts_with("you are")) {
                    s.end();
                }
            }
        };
        let close = move |s: &mut SocketCx<'_>, _: Close| {
            *done.borrow_mut() += 1;
            if *done.borrow() == 3 {
                let _ = s.server(server).close();
            }
        };
        lp.connect(at, On::new().data(hear).close(close));
    }
    lp.run()
}

fn main() -> io::Result<()> {
    env_logger::init();
    let mut lp = Loop::new()?;
    match std::env::args().nth(1) {
        None => {
            let server = serve(&mut lp, "127.0.0.1:0")?;
            converse(&mut lp, server)
        }
        Some(at) => {
            let server = serve(&mut lp, &at).unwrap_or_else(|e| {
                eprintln!("{e}\nusage: chat [HOST:PORT]");
                exit(1)
            });
            println!("talk with: nc {}; Ctrl-C stops", lp.server(server).local_addr()?);
            lp.run()
        }
    }
}
