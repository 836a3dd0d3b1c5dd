//! A client that connects again after each failure. It waits a little longer each time, up to a
//! limit. The wait is partly random, so that a thousand clients do not all return at once.
//!
//! ```text
//! cargo run --release --example reconnect [HOST:PORT]    # without: a demonstration, which ends
//! ```
//! With an address it never gives up: Ctrl-C stops it.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use tidegate::prelude::*;

/// How long to wait after this many failures in a row.
fn back_off(failures: u32, chance: u64) -> Duration {
    let most = Duration::from_millis(20 << failures.min(7));
    most / 2 + most / 2 * u32::try_from(chance % 100).unwrap_or(0) / 100
}

#[derive(Clone)]
struct Client {
    to: String,
    failures: Rc<Cell<u32>>,
    /// Successful connections to make before it stops.
    left: Rc<Cell<u32>>,
}

impl Client {
    fn connect(&self, cx: &mut Cx<'_>) {
        let (up, again) = (self.clone(), self.clone());
        let options = ConnectOptions::new(self.to.as_str());
        let on = On::new()
            .connect(move |_| {
                up.failures.set(0);
                println!("connected");
            })
            .data(|_, chunk| println!("  got {:?}", String::from_utf8_lossy(chunk)))
            .close(move |s, close| again.over(&mut s.cx(), &close));
        cx.connect(options.connect_timeout(Duration::from_secs(5)), on);
    }

    /// The connection is over: makes another one, unless there were enough.
    fn over(&self, cx: &mut Cx<'_>, close: &Close) {
        if !close.reason.is_error() {
            self.left.set(self.left.get().saturating_sub(1));
            if self.left.get() == 0 {
                return println!("over: {close}; enough");
            }
        }
        if close.reason.error().is_some_and(|e| e.kind() == io::ErrorKind::InvalidInput) {
            eprintln!("{close}\n{USAGE}");
            exit(2)
        }
        let failures = self.failures.get();
        self.failures.set(failures + 1);
        let chance = u64::try_from(cx.now().as_nanos()).unwrap_or(0);
        let wait = back_off(failures, chance);
        println!("over: {close}; again in {wait:.0?}");
        let client = self.clone();
        cx.after(wait, move |cx| client.connect(cx));
    }
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

const USAGE: &str = "usage: reconnect [HOST:PORT]";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    env_logger::init();
    let mut lp = Loop::new()?;
    let (to, times) = match std::env::args().nth(1) {
        Some(to) => (to, u32::MAX),
        None => {
            let at = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            appear(&mut lp, at);
            (at.to_string(), 2)
        }
    };
    let client = Client { to, failures: Rc::default(), left: Rc::new(Cell::new(times)) };
    client.connect(&mut lp.cx());
    lp.run()
}
