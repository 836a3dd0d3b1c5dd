//! A callback that blocks. Clients connect all the same, because the kernel completes their
//! connections, and wait in its accept queue. Then the server accepts a few in each turn.
//!
//! ```text
//! cargo run --release --example accept_pressure
//! ```
//! The first client's callback sleeps for 200 ms. Meanwhile another thread connects 300 clients,
//! in groups, and a third one reads the length of the queue with an `AcceptGauge`. Three counters
//! that are read one after the other do not show one moment. So each line checks only what must
//! be true in any case:
//!
//! ```text
//! clients known to be connected <= accepted + queued <= clients that had begun to connect
//! ```
//!
//! The left side is read before, the right side after. All three are equal when no client is on
//! its way: between two groups. While the loop accepts, the thread may miss a connection that has
//! left the queue and is not counted yet; the loop, which looks at the end of each turn, never
//! does. The example ends by itself, and its exit code says whether the numbers were right.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use tidegate::net::{AcceptGauge, AcceptQueue};
use tidegate::prelude::*;

const BLOCK: Duration = Duration::from_millis(200);
const CLIENTS: u32 = 300;
const GROUP: u32 = 25;
const BETWEEN_GROUPS: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_millis(8);
/// So small that it takes several turns to empty the queue.
const ACCEPT_BUDGET: u32 = 32;
/// How long the last packet of a handshake may take after `connect` has returned.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the threads share.
#[derive(Default)]
struct Counters {
    /// Clients that called `connect`.
    begun: AtomicU32,
    /// Clients whose `connect` returned.
    connected: AtomicU32,
    /// Connections that `on_connection` got.
    accepted: AtomicU32,
    /// The first client's callback sleeps.
    blocked: AtomicBool,
    wrong: AtomicU32,
    /// The longest queue while the callback slept and no client was on its way.
    peak: AtomicU32,
}

/// What looks at the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Eye {
    /// The loop, at the end of a turn.
    Loop(u64),
    /// Another thread, at any time.
    Outside,
}

/// What one look found.
struct Look {
    connected: u32,
    depth: u32,
    limit: u32,
    accepted: u32,
    /// The sum of accepted and queued: at least, and at most.
    least: u32,
    most: u32,
    /// The callback sleeps, and no client is on its way.
    at_rest: bool,
}

impl Look {
    fn take(c: &Counters, eye: Eye, queue: impl Fn() -> Option<AcceptQueue>) -> Option<Look> {
        let asleep = c.blocked.load(SeqCst);
        let connected = c.connected.load(SeqCst);
        let before = c.accepted.load(SeqCst);
        let queue = queue()?;
        let accepted = c.accepted.load(SeqCst);
        let begun = c.begun.load(SeqCst);
        let asleep = asleep && c.blocked.load(SeqCst);
        // One may be between the kernel's queue and our counter: `accept` has returned, the
        // callback is about to be called.
        let between = u32::from(eye == Eye::Outside && !asleep);
        // And those that were accepted while we looked may be in both.
        let both = accepted - before;
        Some(Look {
            connected,
            depth: queue.depth?,
            limit: queue.limit?,
            accepted,
            least: connected.saturating_sub(between),
            most: begun + both,
            at_rest: asleep && connected == begun,
        })
    }

    /// As `take`, but repeated until no client is missing: the last packet of a handshake may come
    /// a moment after `connect` has returned.
    fn complete(c: &Counters, eye: Eye, queue: impl Fn() -> Option<AcceptQueue>) -> Option<Look> {
        let since = Instant::now();
        loop {
            let look = Look::take(c, eye, &queue)?;
            if look.sum() >= look.least || since.elapsed() > PATIENCE {
                return Some(look);
            }
        }
    }

    fn sum(&self) -> u32 {
        self.accepted + self.depth
    }

    fn enter(&self, c: &Counters, since: Instant, eye: Eye) {
        let who = match eye {
            Eye::Loop(turn) => format!("turn {turn}"),
            Eye::Outside => "thread".into(),
        };
        let right = (self.least..=self.most).contains(&self.sum());
        let sum = match right {
            true if self.least == self.most => format!("= {}", self.sum()),
            true => format!("{} to {}", self.least, self.most),
            false => format!("WRONG, not {} to {}", self.least, self.most),
        };
        println!(
            "{:>6.1} {who:<8} {:>9} | {:>4} of {:<4} {:<31} | {:>8}   {sum}",
            since.elapsed().as_secs_f64() * 1e3,
            self.connected,
            self.depth,
            self.limit,
            "#".repeat(self.depth.div_ceil(10) as usize),
            self.accepted,
        );
        if !right {
            c.wrong.fetch_add(1, SeqCst);
        }
        if self.at_rest {
            c.peak.fetch_max(self.depth, SeqCst);
        }
    }
}

/// The second thread: looks until the server is gone.
fn watch(gauge: &AcceptGauge, c: &Counters, since: Instant) {
    while let Some(look) = Look::complete(c, Eye::Outside, || gauge.read().ok()) {
        look.enter(c, since, Eye::Outside);
        thread::sleep(LOOK_EVERY);
    }
}

/// Connects one client, the others while its callback sleeps, and then reads all answers.
fn connect_all(at: SocketAddr, clients: u32, c: &Counters) -> io::Result<u32> {
    let one = || -> io::Result<TcpStream> {
        c.begun.fetch_add(1, SeqCst);
        let client = TcpStream::connect(at).map_err(|e| {
            io::Error::other(format!("{e}; if descriptors ran out: ulimit -n 1024, and again"))
        })?;
        c.connected.fetch_add(1, SeqCst);
        Ok(client)
    };
    let mut all: Vec<TcpStream> = vec![one()?];
    while c.accepted.load(SeqCst) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    for n in 0..clients {
        if n % GROUP == 0 {
            thread::sleep(BETWEEN_GROUPS);
        }
        all.push(one()?);
    }
    let mut answered = 0;
    for mut client in all {
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut said = String::new();
        client.read_to_string(&mut said)?;
        answered += u32::from(said == "high water");
    }
    Ok(answered)
}

fn main() -> io::Result<()> {
    let mut lp = Loop::new()?;
    let counters = Arc::new(Counters::default());

    let c = counters.clone();
    let options = ListenOptions::new("127.0.0.1:0").backlog(512).accept_budget(ACCEPT_BUDGET);
    let server = lp.listen(options, move |conn| {
        if c.accepted.fetch_add(1, SeqCst) == 0 {
            c.blocked.store(true, SeqCst);
            thread::sleep(BLOCK);
            c.blocked.store(false, SeqCst);
        }
        let _ = conn.accept(On::new()).end_with("high water");
    })?;
    let Some(limit) = lp.server(server).accept_queue()?.limit else {
        println!("this system does not tell what waits in its kernel; on Linux there is a table");
        return Ok(());
    };
    // net.core.somaxconn may allow a shorter queue.
    let clients = CLIENTS.min(limit);

    println!(
        "{:>6} {:<8} {:>9} | {:<43} | {:>8}   together",
        "ms", "seen by", "connected", "in the kernel's queue", "accepted"
    );
    let since = Instant::now();
    let (c, mut before) = (counters.clone(), 0);
    let hook = lp.check(move |cx, _| {
        let accepted = c.accepted.load(SeqCst);
        if accepted == std::mem::replace(&mut before, accepted) {
            return;
        }
        let eye = Eye::Loop(cx.turn());
        let cx = std::cell::RefCell::new(cx);
        let queue = || cx.borrow_mut().server(server).accept_queue().ok();
        if let Some(look) = Look::complete(&c, eye, queue) {
            look.enter(&c, since, eye);
        }
    });

    let (gauge, c) = (lp.server(server).accept_gauge()?, counters.clone());
    let watcher = thread::spawn(move || watch(&gauge, &c, since));
    let (at, remote, c) = (lp.server(server).local_addr()?, lp.remote(), counters.clone());
    let crowd = thread::spawn(move || {
        let answered = connect_all(at, clients, &c);
        let _ = remote.post(move |cx| {
            let _ = cx.close(hook);
            let _ = cx.server(server).close();
        });
        answered
    });
    lp.run()?;
    let panicked = |_| io::Error::other("a thread panicked");
    let answered = crowd.join().map_err(panicked)??;
    watcher.join().map_err(panicked)?;

    let (peak, wrong) = (counters.peak.load(SeqCst), counters.wrong.load(SeqCst));
    println!("\n{peak} clients were connected and waited in the kernel while a callback slept");
    println!("{answered} of {} clients were answered, {wrong} lines were wrong", clients + 1);
    if wrong > 0 || peak == 0 || answered != clients + 1 {
        eprintln!("this is not what the example promises; if the machine is very busy, try again");
        exit(1);
    }
    Ok(())
}
