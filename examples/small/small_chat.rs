//! A chat server: the first line is the name, all others go to everybody else. `small_chat [ADDR]`

use std::collections::HashMap;

use tidegate::net::Lines;
use tidegate::prelude::*;

/// The names of those who have said theirs.
type Room = HashMap<SocketKey, String>;

fn on_line(room: &mut Room, s: &mut SocketCx<'_>, line: &[u8]) -> Flow {
    let line = String::from_utf8_lossy(line);
    let text: String = line.trim().chars().filter(|c| !c.is_control()).collect();
    if let Some(name) = room.get(&s.key()) {
        say(room, s, &format!("{name}: {text}\n"));
        return Flow::Ready;
    }
    if text.is_empty() || text.len() > 32 {
        return s.write("a name of 1 to 32 bytes?\n");
    }
    if room.values().any(|name| *name == text) {
        return s.write("somebody has that name; another?\n");
    }
    say(room, s, &format!("* {text} joined\n"));
    let here: Vec<&str> = room.values().map(String::as_str).collect();
    let here = format!("* here: {}\n", here.join(", "));
    room.insert(s.key(), text);
    s.write(here)
}

fn on_close(room: &mut Room, s: &mut SocketCx<'_>, close: Close) {
    if let Some(name) = room.remove(&s.key()) {
        say(room, s, &format!("* {name} left\n"));
    }
    if close.reason.is_error() {
        eprintln!("{close}");
    }
}

/// To all members but this one.
fn say(room: &Room, s: &mut SocketCx<'_>, text: &str) {
    let from = s.key();
    for member in room.keys().filter(|member| **member != from) {
        if s.socket(*member).write(text) == Flow::Full {
            s.socket(*member).destroy_with("too slow for this room");
        }
    }
}

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let mut lp = Loop::new()?;
    let room = lp.share(Room::new())?;
    let options = ListenOptions::new(at).linger_timeout(Duration::from_secs(5));
    let server = lp.listen(options, move |conn| {
        let member = On::shared(room)
            .shutdown(|_, s| {
                let _ = s.end_with("* the server stops\n");
            })
            .close(on_close)
            .framed(Lines::new(1024).last_may_be_open(true), on_line)
            .on_bad_frame(|_, s, error| {
                let _ = s.end_with(format!("* {error}\n"));
            });
        let _ = conn.accept(member).write("your name?\n");
    })?;
    lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
    println!("listening on {}", lp.server(server).local_addr()?);
    Ok(lp.run()?)
}
