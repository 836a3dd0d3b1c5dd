//! Where the bytes of a slow reader are: in our queue, in the send queue of our kernel, in the
//! receive queue of the reader's kernel. And that none is lost or counted twice.
//!
//! ```text
//! cargo run --release --example where_are_my_bytes
//! ```
//! A server produces at a steady rate, for a client that reads nothing for a while, and then
//! slowly. Both are in one loop, so nobody writes or reads while the example looks. It prints a
//! line every 50 ms. TCP does not stop meanwhile: a byte that has arrived, but is not acknowledged
//! yet, is in both kernels. So this holds for every line:
//!
//! ```text
//! produced <= our queue + send queue + receive queue + read <= produced + unacknowledged
//! ```
//!
//! All three are equal when nothing has moved for as long as a kernel may delay an
//! acknowledgement. The example ends by itself, after about two seconds.

use std::cell::{Cell, RefCell};
use std::process::exit;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::TimerKey;
use tidegate::prelude::*;

const TOTAL: u64 = 1 << 20;
/// How many bytes are produced at a time.
const PIECE: usize = 8 * 1024;
const PRODUCE_EVERY: Duration = Duration::from_millis(10);
/// The reader takes one read at a time, in this interval, after a first pause.
const READ_EVERY: Duration = Duration::from_millis(40);
const NAP: Duration = Duration::from_millis(800);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Small, so that one can watch the buffers fill. Linux reserves twice as much.
const KERNEL_BUFFERS: usize = 48 * 1024;
const HIGH_WATER_MARK: usize = 96 * 1024;
/// This many lines take longer than the 200 ms for which Linux may delay an acknowledgement
/// (`TCP_DELACK_MAX`).
const AT_REST: u32 = 5;

/// Where the bytes are, at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sample {
    produced: u64,
    ours: u64,
    send: u64,
    /// The part of `send` that was sent and may have arrived.
    unacknowledged: u64,
    receive: u64,
    read: u64,
    window: u64,
}

impl Sample {
    /// The sender, the reader, and the sender again: see `Queues`. `None` if the system
    /// does not say.
    fn take(cx: &mut Cx<'_>, sender: SocketKey, reader: SocketKey, produced: u64) -> Option<Self> {
        let before = cx.socket(sender).queues().ok()?;
        let peer = cx.socket(reader).queues().ok()?;
        let after = cx.socket(sender).queues().ok()?;
        Some(Sample {
            produced,
            ours: before.ours,
            send: before.send?,
            unacknowledged: before.send?.saturating_sub(after.unsent?),
            receive: peer.receive?,
            read: cx.socket(reader).bytes_read(),
            window: after.peer_window.unwrap_or_default(),
        })
    }

    fn sum(&self) -> u64 {
        self.ours + self.send + self.receive + self.read
    }

    fn is_right(&self) -> bool {
        (self.produced..=self.produced + self.unacknowledged).contains(&self.sum())
    }

    fn print(&self, time: Duration) {
        let twice = match self.sum().checked_sub(self.produced) {
            Some(0) => String::new(),
            Some(n) => format!("  ({n} in both kernels)"),
            None => format!("  ({} are missing)", self.produced - self.sum()),
        };
        println!(
            "{:>5} {:>8} | {} | {} | {} | {:>7} {:>7}{twice}",
            time.as_millis(),
            kib(self.produced),
            bar(self.ours),
            bar(self.send),
            bar(self.receive),
            kib(self.read),
            kib(self.window),
        );
    }
}

fn kib(bytes: u64) -> String {
    format!("{}K", bytes.div_ceil(1024))
}

/// A cell for each 8 KiB.
fn bar(bytes: u64) -> String {
    format!("{:>5} {:<14}", kib(bytes), "#".repeat(bytes.div_ceil(8 * 1024).min(14) as usize))
}

#[derive(Default)]
struct Ledger {
    produced: Cell<u64>,
    samples: RefCell<Vec<Sample>>,
    wrong: Cell<bool>,
}

impl Ledger {
    fn enter(&self, sample: Sample) {
        let mut samples = self.samples.borrow_mut();
        samples.push(sample);
        let at_rest = samples.iter().rev().take_while(|s| **s == sample).count();
        let exact = sample.sum() == sample.produced;
        if !sample.is_right() || (at_rest as u32 > AT_REST && !exact) {
            println!("      these do not add up: {} are unacknowledged", sample.unacknowledged);
            self.wrong.set(true);
        }
    }
}

/// Writes a piece, unless the last write returned `Full`.
fn produce(cx: &mut Cx<'_>, timer: TimerKey, to: SocketKey, full: &Cell<bool>, ledger: &Ledger) {
    if full.get() {
        return;
    }
    let done = ledger.produced.get() == TOTAL;
    let flow = if done { Flow::Closed } else { cx.socket(to).write(&[b'~'; PIECE]) };
    match flow {
        Flow::Closed => {
            let _ = cx.timer_stop(timer);
        }
        flow => {
            full.set(flow == Flow::Full);
            ledger.produced.set(ledger.produced.get() + PIECE as u64);
        }
    }
}

/// Looks every 50 ms, until everything is read; then both sides end.
fn look(cx: &mut Cx<'_>, sender: SocketKey, reader: SocketKey, ledger: Rc<Ledger>) {
    let begun = Instant::now();
    cx.interval(LOOK_EVERY, move |cx, timer| {
        let sample = Sample::take(cx, sender, reader, ledger.produced.get());
        let Some(sample) = sample else { return cx.stop() };
        sample.print(begun.elapsed());
        ledger.enter(sample);
        if ledger.wrong.get() {
            cx.stop();
        } else if sample.read == TOTAL && sample.send == 0 {
            let _ = cx.timer_stop(timer);
            cx.socket(sender).end();
        }
    });
}

fn main() -> std::io::Result<()> {
    let mut lp = Loop::new()?;
    let ledger = Rc::new(Ledger::default());
    let reader: Rc<Cell<Option<SocketKey>>> = Rc::default();

    let (l, r) = (ledger.clone(), reader.clone());
    let options = ListenOptions::new("127.0.0.1:0")
        .send_buffer(KERNEL_BUFFERS)
        .high_water_mark(HIGH_WATER_MARK);
    let server = lp.listen(options, move |mut conn| {
        let _ = conn.server(conn.server_key()).close();
        let full = Rc::new(Cell::new(false));
        let drained = full.clone();
        let mut s = conn.accept(On::new().drain(move |_| drained.set(false)));
        let (sender, ledger) = (s.key(), l.clone());
        s.interval(PRODUCE_EVERY, move |cx, timer| produce(cx, timer, sender, &full, &ledger));
        if let Some(reader) = r.get() {
            look(&mut s.cx(), sender, reader, l.clone());
        }
    })?;

    let at = lp.server(server).local_addr()?;
    let slow = On::new()
        .connect(|s| {
            s.pause();
            let key = s.key();
            s.after(NAP, move |cx| cx.socket(key).resume());
        })
        .data(|s, _| {
            s.pause();
            let key = s.key();
            s.after(READ_EVERY, move |cx| cx.socket(key).resume());
        });
    reader.set(Some(lp.connect(ConnectOptions::new(at).recv_buffer(KERNEL_BUFFERS), slow)));

    println!(
        "{:>5} {:>8} | {:^20} | {:^20} | {:^20} | {:>7} {:>7}",
        "ms", "produced", "our queue", "our kernel: send", "its kernel: receive", "read", "window"
    );
    lp.run()?;

    let samples = ledger.samples.borrow();
    if samples.is_empty() {
        println!("this system does not tell what waits in its kernel; on Linux there are bars");
        return Ok(());
    }
    let is_exact = |s: &&Sample| s.sum() == s.produced;
    let exact = samples.iter().filter(is_exact).count();
    let repeated: Vec<_> = samples.windows(2).filter(|w| w[0] == w[1]).map(|w| &w[1]).collect();
    let repeated_exact = repeated.iter().copied().filter(is_exact).count();
    let (produced, read) = (ledger.produced.get(), samples.last().map_or(0, |s| s.read));
    println!(
        "\nproduced {produced} bytes, read {read}, left on the way {}",
        produced.saturating_sub(read)
    );
    println!("{} lines: {exact} equal, the others within what is unacknowledged", samples.len());
    println!("{} repeat the line before, {repeated_exact} of them equal", repeated.len());
    if ledger.wrong.get() || read != TOTAL || produced != TOTAL {
        eprintln!("the bytes do not add up: please report this, with the lines above");
        exit(1);
    }
    Ok(())
}
