//! A client that connects again when its connection is lost or cannot be made. It waits a little
//! longer each time, up to a limit. The wait is partly random, so that a thousand clients do not
//! all return at once.
//!
//! ```text
//! cargo run --release --example reconnect [HOST:PORT]    # without: a demonstration, which ends
//! ```
//! With an address it never gives up: Ctrl-C stops it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::exit;
use std::time::Duration;

use tidegate::net::BackOff;
use tidegate::prelude::*;

const USAGE: &str = "usage: reconnect [HOST:PORT]    # Ctrl-C stops it";

/// What one connection leaves to the next.
#[derive(Clone)]
struct Client {
    to: String,
    /// In a row.
    failures: u32,
    /// Connections to make until it stops.
    left: u32,
}

impl Client {
    fn connect(self, cx: &mut Cx<'_>) {
        let to = ConnectOptions::new(&self.to[..]).connect_timeout(Duration::from_secs(5));
        let on = On::with(self)
            .connect(|client, _| {
                client.failures = 0;
                client.left -= 1;
                println!("connected");
            })
            .data(|_, _, chunk| println!("  got {:?}", String::from_utf8_lossy(chunk)))
            .close(|client, s, close| client.clone().over(&mut s.cx(), &close));
        cx.connect(to, on);
    }

    fn over(mut self, cx: &mut Cx<'_>, close: &Close) {
        if self.left == 0 {
            return println!("over: {close}; enough");
        }
        if close.reason.error().is_some_and(|e| e.kind() == io::ErrorKind::InvalidInput) {
            refuse(close);
        }
        self.failures += 1;
        let Some(wait) = back_off().delay(self.failures) else { return };
        println!("over: {close}; again in {wait:.0?}");
        cx.after(wait, move |cx| self.connect(cx));
    }
}

/// It never gives up. Also after a connection that was made, and lost, it waits.
fn back_off() -> BackOff {
    let first = Duration::from_millis(20);
    BackOff::new(u32::MAX).first_delay(first).longest_delay(Duration::from_secs(3))
}

/// A server that starts late, greets one client, and ends; and all that once more.
fn appear(lp: &mut Loop, at: SocketAddr) {
    for after in [100, 400] {
        lp.after(Duration::from_millis(after), move |cx| {
            let listening = cx.listen(at, |mut conn| {
                let _ = conn.server(conn.server_key()).close();
                let _ = conn.accept(On::new()).end_with("hello");
            });
            if let Err(e) = listening {
                println!("the server: {e}");
            }
        });
    }
}

fn main() -> io::Result<()> {
    env_logger::init();
    let mut lp = Loop::new()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (to, left) = match &arguments[..] {
        [] => {
            let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            appear(&mut lp, at);
            (at.to_string(), 2)
        }
        [help] if help == "--help" => {
            println!("{USAGE}");
            return Ok(());
        }
        [to] => (to.clone(), u32::MAX),
        _ => refuse("too many arguments"),
    };
    Client { to, failures: 0, left }.connect(&mut lp.cx());
    lp.run()
}

fn refuse(why: impl std::fmt::Display) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
