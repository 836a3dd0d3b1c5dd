//! A download to a slow reader: where the bytes wait, and how few of them are in our memory.
//!
//! ```text
//! cargo run --release --example http_stream                    # 64 MiB, and it ends
//! cargo run --release --example http_stream -- 127.0.0.1:3000  # a server; Ctrl-C stops it
//! curl --limit-rate 20M -o /dev/null http://127.0.0.1:3000/200
//! ```
//! `GET /N` is answered with N MiB, written in parts. The producer stops at `Full` and goes on in
//! `on_drain`. The client of the demonstration stops reading several times.

mod arguments;

use std::cell::Cell;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::http::{
    Broken, ClientRequest, Exchange, ExchangeCx, ExchangeHandler, Head, Http, HttpClient,
    OnResponse, RequestCx, Response,
};
use tidegate::prelude::*;

use crate::arguments::{address, refuse};

const USAGE: &str = "usage: http_stream [HOST:PORT]    # with an address: until Ctrl-C";
const MIB: u64 = 1 << 20;
const TOTAL: u64 = 64;
const CHUNK: usize = 16 * 1024;
static DATA: [u8; CHUNK] = [b'~'; CHUNK];
/// The client reads this many bytes, and then nothing for a while.
const GULP: u64 = 20 << 20;
const STALL: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Figures {
    /// Bytes of bodies that `write` accepted.
    produced: Cell<u64>,
    read: Cell<u64>,
    fulls: Cell<u64>,
    drains: Cell<u64>,
    most_held: Cell<usize>,
    queued: Cell<usize>,
}

fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get() + n);
}

impl Figures {
    /// Where the bytes are while the client does not read.
    fn show(&self) {
        let (produced, read, queued) =
            (self.produced.get(), self.read.get(), self.queued.get() as u64);
        let kernel = produced.saturating_sub(read + queued);
        let [produced, read, queued, kernel] = [produced, read, queued, kernel].map(|n| n / 1024);
        println!("stopped {produced:>9} {read:>9} {queued:>10} {kernel:>10}");
    }

    fn sum(&self) {
        println!("{} times Full, {} times Drain", self.fulls.get(), self.drains.get());
        println!("never more than {} KiB of our memory", self.most_held.get() / 1024);
    }
}

/// One answer; so much of it is to be written.
struct Download {
    left: u64,
    f: Rc<Figures>,
}

impl Download {
    /// Writes until `Full`, or the end.
    fn pour(&mut self, x: &mut ExchangeCx<'_>) {
        while self.left > 0 {
            let n = self.left.min(CHUNK as u64);
            let flow = x.write(Bytes::from_static(&DATA[..n as usize]));
            if flow == Flow::Closed {
                return;
            }
            self.left -= n;
            add(&self.f.produced, n);
            let mut s = x.socket();
            let (queued, held) = (s.buffered(), s.memory_held());
            self.f.most_held.set(self.f.most_held.get().max(held));
            self.f.queued.set(queued);
            if flow == Flow::Full {
                return add(&self.f.fulls, 1);
            }
        }
        if let Err(e) = x.end() {
            eprintln!("{e}");
        }
    }
}

impl ExchangeHandler for Download {
    fn on_drain(&mut self, x: &mut ExchangeCx<'_>) {
        add(&self.f.drains, 1);
        self.f.queued.set(0);
        self.pour(x);
    }

    fn on_close(&mut self, _: &mut Cx<'_>, result: Result<(), Broken>) {
        if let Err(e) = result {
            println!("a download broke, {} bytes were not written: {e}", self.left);
        }
    }
}

fn answer(head: &Head<'_>, x: Exchange<'_>, f: &Rc<Figures>) {
    let size = head.path().trim_start_matches('/').parse::<u32>();
    match (head.method, size) {
        ("GET", Ok(size)) => {
            let left = u64::from(size) * MIB;
            if let Ok(mut x) = x.start(Response::new(200).length(left)) {
                let mut download = Download { left, f: f.clone() };
                download.pour(&mut x);
                x.handle(download);
            }
        }
        ("GET", Err(_)) => x.reply(404, "GET /N has N MiB\n"),
        _ => x.reply(405, ""),
    }
}

/// The client reads nothing for a while.
fn stall(r: &mut RequestCx<'_>, f: &Rc<Figures>) {
    r.pause();
    let (key, f) = (r.key(), f.clone());
    r.after(STALL, move |cx| {
        f.show();
        println!("        reads again after {STALL:?}");
        cx.http_request(key).resume();
    });
}

fn demonstrate(lp: &mut Loop, server: ServerKey, f: &Rc<Figures>) -> std::io::Result<bool> {
    println!("GET /{TOTAL}, and a client that stops reading; all figures in KiB.\n");
    println!("{:<7} {:>9} {:>9} {:>10} {:>10}", "", "produced", "read", "our queue", "in kernel");
    let (first, part) = (f.clone(), f.clone());
    let mut until = GULP;
    let client = OnResponse::new()
        .head(move |r, _| stall(r, &first))
        .data(move |r, chunk| {
            add(&part.read, chunk.len() as u64);
            if part.read.get() >= until {
                until += GULP;
                println!("        stops reading");
                stall(r, &part);
            }
        })
        .close(move |cx, result| {
            match result {
                Ok(answered) => println!("\n{}, {} bytes", answered.status, answered.body),
                Err(e) => println!("\n{e}"),
            }
            let _ = cx.server(server).shutdown(Duration::from_secs(1));
        });
    let url = format!("http://{}/{TOTAL}", lp.server(server).local_addr()?);
    lp.request(ClientRequest::get(&url), client)?;
    lp.run()?;
    f.sum();
    Ok(f.read.get() == TOTAL * MIB && f.fulls.get() > 0 && f.fulls.get() == f.drains.get())
}

fn main() -> std::io::Result<()> {
    let at = address(USAGE);
    let at = at.as_deref();
    env_logger::init();
    let mut lp = Loop::new()?;
    let f = Rc::new(Figures::default());
    let figures = f.clone();
    let server =
        lp.http_listen(at.unwrap_or("127.0.0.1:0"), move |head, x| answer(head, x, &figures));
    let server = server.unwrap_or_else(|e| refuse(USAGE, e));
    if at.is_some() {
        lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
        println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
        lp.run()?;
        f.sum();
    } else if !demonstrate(&mut lp, server, &f)? {
        eprintln!("the figures are not what this example promises");
        exit(1);
    }
    Ok(())
}
