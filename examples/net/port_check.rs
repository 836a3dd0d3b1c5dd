//! Is a port reachable, and does the right protocol answer there? These are two questions: a
//! connection that is made does not say which program listens. For each address it also says from
//! where and by which interface this host sends there, as `ip route get` does.
//!
//! ```text
//! cargo run --release --example port_check                    # a demonstration, which ends
//! cargo run --release --example port_check HOST:PORT [TEXT]   # sends TEXT, shows the answer
//! ```
//! The exit code is 1 if the port is not reachable, or if nothing answers to TEXT.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::source_for;
use tidegate::prelude::*;

#[derive(Default)]
struct Found {
    connected: bool,
    /// The addresses that were tried, if there are any.
    tried: Vec<SocketAddr>,
    answer: Vec<u8>,
}

/// Connects, sends `text`, and waits for an answer. Whether the port was reached, and answered if
/// it was asked.
fn check(lp: &mut Loop, to: &str, text: &str) -> io::Result<bool> {
    let state = Rc::new(RefCell::new(Found::default()));
    let (c, d) = (state.clone(), state.clone());
    let (asked, text) = (!text.is_empty(), text.to_owned());
    let (target, ended) = (to.to_owned(), state.clone());
    let on = On::new()
        .connect(move |s| {
            let mut found = c.borrow_mut();
            found.connected = true;
            found.tried.extend(s.peer_addr());
            let _ = s.write(&text);
        })
        .data(move |s, chunk| {
            d.borrow_mut().answer.extend_from_slice(&chunk[..chunk.len().min(200)]);
            s.destroy();
        })
        .close(move |_, close| {
            let mut found = ended.borrow_mut();
            if let (false, Some(e)) = (found.connected, close.reason.error()) {
                found.tried.extend(e.attempts().iter().map(|a| a.remote));
                if found.tried.is_empty() {
                    found.tried.extend(e.remote());
                }
            }
            let answer = &found.answer;
            match (found.connected, answer.is_empty()) {
                (false, _) => println!("{target}: not reachable: {close}"),
                (true, true) => println!("{target}: reachable, but no answer: {close}"),
                (true, false) => {
                    let text = String::from_utf8_lossy(answer);
                    println!("{target}: reachable, and answers {:?}", text.trim_end());
                }
            }
        });
    let options = ConnectOptions::new(to).connect_timeout(Duration::from_secs(3));
    lp.connect(options.idle_timeout(Duration::from_millis(300)), on);
    lp.run()?;
    let found = state.borrow();
    for to in &found.tried {
        match source_for(*to) {
            Ok(from) => println!("    to {to} this host sends from {from}"),
            Err(e) => println!("    to {to} this host has no way: {e}"),
        }
    }
    Ok(found.connected && (!asked || !found.answer.is_empty()))
}

fn demonstrate(lp: &mut Loop) -> io::Result<()> {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    check(lp, &nobody, "PING\n")?;
    // A server that accepts and never answers, and one that speaks the protocol.
    for answers in [false, true] {
        let server = lp.listen("127.0.0.1:0", move |mut conn| {
            let _ = conn.server(conn.server_key()).close();
            conn.accept(On::new().data(move |s, chunk| {
                if answers && chunk == b"PING\n" {
                    let _ = s.end_with("PONG\n");
                }
            }));
        })?;
        let at = lp.server(server).local_addr()?.to_string();
        check(lp, &at, "PING\n")?;
    }
    Ok(())
}

const USAGE: &str = "usage: port_check [HOST:PORT [TEXT]]";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    env_logger::init();
    let mut lp = Loop::new()?;
    let mut arguments = std::env::args().skip(1);
    match arguments.next() {
        None => demonstrate(&mut lp),
        Some(to) => match check(&mut lp, &to, &arguments.next().unwrap_or_default())? {
            true => Ok(()),
            false => exit(1),
        },
    }
}
