//! A peer that stops reading: where the bytes wait, and how few of them are in our memory.
//!
//! ```text
//! cargo run --release --example slow_reader
//! ```
//! A server sends 64 MiB to a client that stops reading for a while, several times. The first
//! producer obeys `Flow`: the kernel holds the bytes that wait, and our queue no more than its
//! high-water mark and one chunk. A second producer ignores `Flow` and reaches the hard limit.

use std::cell::Cell;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::prelude::*;

const TOTAL: u64 = 64 << 20;
const CHUNK: usize = 16 * 1024;
static DATA: [u8; CHUNK] = [b'~'; CHUNK];
/// The client reads this many bytes, and then nothing for a while.
const GULP: u64 = 20 << 20;
const STALL: Duration = Duration::from_millis(100);
/// The `write_limit` for the producer that ignores `Flow`.
const LIMIT: usize = 1 << 20;

#[derive(Default)]
struct Figures {
    /// Bytes that `write` accepted.
    produced: Cell<u64>,
    read: Cell<u64>,
    fulls: Cell<u64>,
    drains: Cell<u64>,
    most_held: Cell<usize>,
    stalled: Cell<bool>,
}

struct Producer(Rc<Figures>);

impl Producer {
    /// Writes until `Full`, or the end.
    fn pour(&self, s: &mut SocketCx<'_>) {
        let f = &self.0;
        while f.produced.get() < TOTAL {
            let flow = s.write(Bytes::from_static(&DATA));
            if flow == Flow::Closed {
                return;
            }
            f.produced.set(f.produced.get() + CHUNK as u64);
            f.most_held.set(f.most_held.get().max(s.memory_held()));
            if flow == Flow::Full {
                f.fulls.set(f.fulls.get() + 1);
                if f.stalled.get() {
                    show(f, "Full", s.buffered(), s.memory_held());
                }
                return;
            }
        }
        s.end();
    }
}

impl Handler for Producer {
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        let f = &self.0;
        f.drains.set(f.drains.get() + 1);
        if f.stalled.get() {
            show(f, "Drain", s.buffered(), s.memory_held());
        }
        self.pour(s);
    }
}

fn show(f: &Figures, what: &str, queued: usize, held: usize) {
    let (produced, read) = (f.produced.get(), f.read.get());
    let kernel = produced - read - queued as u64;
    let kib = |n: u64| n / 1024;
    println!(
        "{what:<7} {:>9} {:>9} {:>11} {:>11} {:>11}",
        kib(produced),
        kib(read),
        kib(queued as u64),
        kib(held as u64),
        kib(kernel)
    );
}

struct SlowReader {
    f: Rc<Figures>,
    until: u64,
}

impl SlowReader {
    fn stall(&mut self, s: &mut SocketCx<'_>) {
        self.until += GULP;
        s.pause();
        self.f.stalled.set(true);
        let (key, f) = (s.key(), self.f.clone());
        s.after(STALL, move |cx| {
            println!("        reads again after {STALL:?}");
            f.stalled.set(false);
            cx.socket(key).resume();
        });
    }
}

impl Handler for SlowReader {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.stall(s);
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.f.read.set(self.f.read.get() + chunk.len() as u64);
        if self.f.read.get() >= self.until {
            println!("        stops reading");
            self.stall(s);
        }
    }
}

fn obeying(lp: &mut Loop) -> std::io::Result<bool> {
    println!("A producer that obeys Flow sends {} MiB; all figures in KiB.\n", TOTAL >> 20);
    println!(
        "{:<7} {:>9} {:>9} {:>11} {:>11} {:>11}",
        "", "produced", "read", "our queue", "our memory", "in kernel"
    );
    let f = Rc::new(Figures { stalled: Cell::new(true), ..Figures::default() });
    let source = f.clone();
    let server = lp.listen("127.0.0.1:0", move |conn| {
        let server = conn.server_key();
        let producer = Producer(source.clone());
        let mut s = conn.accept(On::new());
        producer.pour(&mut s);
        s.set_handler(producer);
        let _ = s.server(server).close();
    })?;
    let at = lp.server(server).local_addr()?;
    lp.connect(at, SlowReader { f: f.clone(), until: 0 });
    lp.run()?;
    println!("\nread {} of {TOTAL} bytes", f.read.get());
    println!("{} times Full, {} times Drain", f.fulls.get(), f.drains.get());
    println!("never more than {} KiB of our memory", f.most_held.get() / 1024);
    Ok(f.read.get() == TOTAL && f.fulls.get() == f.drains.get())
}

fn ignoring(lp: &mut Loop) -> std::io::Result<bool> {
    println!("\nA producer that ignores Flow, under a write_limit of {} KiB:\n", LIMIT / 1024);
    let limited = Rc::new(Cell::new(false));
    let outcome = limited.clone();
    let options = ListenOptions::new("127.0.0.1:0").write_limit(LIMIT);
    let server = lp.listen(options, move |conn| {
        let server = conn.server_key();
        let outcome = outcome.clone();
        let mut s = conn.accept(On::new().close(move |_, close| {
            println!("closed: {close}");
            outcome.set(matches!(close.reason, Reason::WriteLimit { .. }));
        }));
        while s.write(Bytes::from_static(&DATA)) != Flow::Closed {}
        let _ = s.server(server).close();
    })?;
    let at = lp.server(server).local_addr()?;
    let late = On::new()
        .connect(|s| {
            s.pause();
            let key = s.key();
            s.after(STALL, move |cx| cx.socket(key).resume());
        })
        .close(|_, close| println!("peer:   {close}; it read {} bytes", close.bytes_read));
    lp.connect(at, late);
    lp.run()?;
    Ok(limited.get())
}

fn main() -> std::io::Result<()> {
    let mut lp = Loop::new()?;
    let obeyed = obeying(&mut lp)?;
    let limited = ignoring(&mut lp)?;
    if !(obeyed && limited) {
        eprintln!("the figures are not what this example promises");
        exit(1);
    }
    Ok(())
}
