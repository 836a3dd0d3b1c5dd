//! A chat: what one client says goes to all others. The handlers share one value, the room.
//!
//! ```text
//! cargo run --release --example chat            # a conversation of three, which ends
//! cargo run --release --example chat ADDR       # a server; talk to it with nc, Ctrl-C stops
//! ```
//! The chat does not wait for a client that reads too slowly. It drops what the others say until
//! that client has caught up, so its memory does not grow.

use std::collections::BTreeMap;
use std::io;
use std::process::exit;
use std::time::Duration;

use bytes::Bytes;
use tidegate::Shared;
use tidegate::net::{AtLimit, Lines, TcpKeepAlive};
use tidegate::observe::OneLine;
use tidegate::prelude::*;

const USAGE: &str = "usage: chat [HOST:PORT]    # Ctrl-C stops it";
/// Longer lines end the connection.
const LINE: usize = 1024;

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

impl Room {
    /// Sends to all members but this one. They share one `Bytes`: nothing is copied.
    fn say(&mut self, s: &mut SocketCx<'_>, text: String) {
        let (from, text) = (s.key(), Bytes::from(text));
        for (key, member) in &mut self.members {
            if *key != from && !member.full {
                member.full = s.socket(*key).write(text.clone()) == Flow::Full;
            }
        }
    }

    fn enter(&mut self, s: &mut SocketCx<'_>) {
        self.guests += 1;
        let name = format!("guest {}", self.guests);
        let _ = s.write(format!("you are {name}\n"));
        self.say(s, format!("{name} came\n"));
        self.members.insert(s.key(), Member { name, full: false });
    }

    fn hear(&mut self, s: &mut SocketCx<'_>, line: &[u8]) {
        let Some(member) = self.members.get(&s.key()) else { return };
        // `OneLine` escapes control characters, which the terminals of the others would obey.
        let line = OneLine(String::from_utf8_lossy(line)).to_string();
        self.say(s, format!("{}: {line}\n", member.name));
    }

    fn leave(&mut self, s: &mut SocketCx<'_>, close: &Close) {
        let Some(member) = self.members.remove(&s.key()) else { return };
        println!("{} left: {close}", member.name);
        self.say(s, format!("{} left\n", member.name));
    }
}

/// A member's connection. The loop lends the room to one callback at a time.
fn seat(room: Shared<Room>) -> impl Handler {
    On::new()
        .drain(move |s| {
            let _ = s.with(room, |room, s| {
                room.members.get_mut(&s.key()).into_iter().for_each(|member| member.full = false);
            });
        })
        .close(move |s, close| {
            let _ = s.with(room, |room, s| room.leave(s, &close));
        })
        .framed(Lines::new(LINE), move |s, line| {
            // Nobody is waited for: those who read too slowly miss what is said.
            s.with(room, |room, s| room.hear(s, line)).map_or(Flow::Closed, |()| Flow::Ready)
        })
}

fn serve(lp: &mut Loop, at: &str) -> io::Result<ServerKey> {
    let room = lp.share(Room::default())?;
    // No idle timeout, as guests may be silent; keep-alive finds those that are gone.
    let options = ListenOptions::new(at)
        .max_connections(1024, AtLimit::Drop)
        .keep_alive(TcpKeepAlive::default());
    let server = lp.listen(options, move |conn| {
        let mut s = conn.accept(seat(room));
        s.with(room, |room, s| room.enter(s)).expect("nobody has the room");
    });
    Ok(server?)
}

/// Three guests, who come one after the other, say a word and leave.
fn converse(lp: &mut Loop, server: ServerKey) -> io::Result<()> {
    let at = lp.server(server).local_addr()?;
    for (who, word) in [("ann", "high water!"), ("bob", "at noon?"), ("eve", "bye")] {
        let hear = move |s: &mut SocketCx<'_>, line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            println!("  {who} hears: {line}");
            if line.starts_with("you are") {
                let _ = s.write(format!("{word}\n"));
            }
            if line == "you are guest 3" {
                // All have come. The loop ends when they have left.
                let _ = s.server(server).close();
                s.end();
            }
            if line.ends_with("bye") {
                s.end();
            }
            Flow::Ready
        };
        lp.connect(at, On::new().framed(Lines::new(LINE), hear));
    }
    lp.run()
}

fn main() -> io::Result<()> {
    env_logger::init();
    let mut lp = Loop::new()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            let server = serve(&mut lp, "127.0.0.1:0")?;
            converse(&mut lp, server)
        }
        [help] if help == "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        [at] => {
            let server = serve(&mut lp, at).unwrap_or_else(|e| refuse(e));
            lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
            println!("talk with: nc {}; Ctrl-C stops", lp.server(server).local_addr()?);
            lp.run()
        }
        _ => refuse("too many arguments"),
    }
}

fn refuse(why: impl std::fmt::Display) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
