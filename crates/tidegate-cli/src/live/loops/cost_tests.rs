//! What observing costs the studied loop: the processor time of its thread for an echo at 1,000
//! messages a second, without an observer, with the recorder, and with the doctor, too.
//!
//! The three have a loop each, and take turns of 200 messages: so each sees the same machine.
//!
//! ```text
//! cargo test --release -p tidegate-cli cost_of_observing -- --ignored --nocapture
//! ```
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tidegate::observe::Doctor;
use tidegate::prelude::*;

use super::recorder::Recorder;
use super::shared::Shared;

/// Messages of a loop before the next one takes its turn.
const SLICE: u32 = 200;
const ROUNDS: usize = 100;
/// Before these, memory is taken for the first time.
const WARM: usize = 4;
const EVERY: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Observed {
    Not,
    Recorded,
    Judged,
}

/// Processor time of this thread in nanoseconds; `None` where the system does not tell.
fn spent() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// A loop that echoes, and what its thread had spent after each slice.
struct Contender {
    client: TcpStream,
    spent: Receiver<Option<u64>>,
    before: u64,
    /// Nanoseconds a message, by round.
    costs: Vec<u64>,
}

impl Contender {
    fn start(by: Observed) -> Contender {
        let (send, at) = channel::<SocketAddr>();
        let (tell, spent_by_it) = channel();
        thread::spawn(move || {
            let mut lp = Loop::new().unwrap();
            let recorder = Recorder::new(Rc::default(), Arc::new(Shared::default()));
            match by {
                Observed::Not => {}
                Observed::Recorded => lp.observe(recorder),
                // As in the demonstration.
                Observed::Judged => lp.observe((recorder, Doctor::new())),
            }
            let server = lp.listen("127.0.0.1:0", move |mut c| {
                let key = c.server_key();
                c.server(key).close().unwrap();
                let (tell, mut came) = (tell.clone(), 0);
                c.accept(On::new().data(move |s, chunk| {
                    came += 1;
                    if came % SLICE == 0 {
                        let _ = tell.send(spent());
                    }
                    let _ = s.write(chunk);
                }));
            });
            send.send(lp.server(server.unwrap()).local_addr().unwrap()).unwrap();
            lp.run().unwrap();
        });
        let client = TcpStream::connect(at.recv().unwrap()).unwrap();
        client.set_nodelay(true).unwrap();
        Contender { client, spent: spent_by_it, before: 0, costs: Vec::new() }
    }

    /// `None`: the system does not tell.
    fn slice(&mut self) -> Option<()> {
        let (mut next, mut echo) = (Instant::now(), [0; 64]);
        for _ in 0..SLICE {
            self.client.write_all(&[b'm'; 64]).unwrap();
            self.client.read_exact(&mut echo).unwrap();
            next += EVERY;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let now = self.spent.recv().unwrap()?;
        let before = std::mem::replace(&mut self.before, now);
        self.costs.push((now - before) / u64::from(SLICE));
        Some(())
    }
}

fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all[all.len() / 2]
}

#[test]
#[ignore = "a measurement of a minute, for a release build on a quiet machine"]
fn cost_of_observing() {
    let all = [Observed::Not, Observed::Recorded, Observed::Judged];
    let mut all = all.map(Contender::start);
    for _ in 0..WARM + ROUNDS {
        for contender in &mut all {
            if contender.slice().is_none() {
                eprintln!("skipped: this system does not tell the processor time of a thread");
                return;
            }
        }
    }
    let [plain, recorded, judged] = all.map(|c| c.costs[WARM..].to_vec());
    println!("{} ns a message without an observer", median(plain.clone()));
    for (name, costs) in [("recorder", recorded), ("recorder and doctor", judged)] {
        let ratios = costs.iter().zip(&plain).map(|(with, without)| with * 1_000 / without);
        let ratio = median(ratios.collect());
        let times = format!("{}.{:03}", ratio / 1_000, ratio % 1_000);
        println!("{} ns with {name}: {times} in the median of {ROUNDS} rounds", median(costs));
        // The manual says what was measured; this is for mistakes that cost much more.
        assert!(ratio <= 1_250, "more than 25 %");
    }
}
