//! What observing costs the studied loop: the processor time of its thread for an echo at 1,000
//! messages a second, without an observer, with the recorder, and with the doctor, too, in turn.
//!
//! ```text
//! cargo test --release -p tidegate-cli cost_of_observing -- --ignored --nocapture
//! ```
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use tidegate::observe::Doctor;
use tidegate::prelude::*;

use super::recorder::Recorder;
use super::shared::Shared;

const MESSAGES: u32 = 2_000;
/// Before these, memory is taken for the first time.
const WARM: u32 = 600;
const EVERY: Duration = Duration::from_millis(1);
const ROUNDS: usize = 15;

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

/// One echo connection at the rate; the processor time of the loop's thread for a message.
fn round(by: Observed) -> Option<u64> {
    let (send, at) = channel::<SocketAddr>();
    let server = thread::spawn(move || {
        let mut lp = Loop::new().unwrap();
        let recorder = Recorder::new(Rc::default(), Arc::new(Shared::default()));
        match by {
            Observed::Not => {}
            Observed::Recorded => lp.observe(recorder),
            // As in the demonstration.
            Observed::Judged => lp.observe((recorder, Doctor::new())),
        }
        let began = Rc::new(Cell::new(None));
        let (first, mut came) = (began.clone(), 0);
        let server = lp.listen("127.0.0.1:0", move |mut c| {
            let key = c.server_key();
            c.server(key).close().unwrap();
            let first = first.clone();
            c.accept(On::new().data(move |s, chunk| {
                came += 1;
                if came == WARM {
                    first.set(spent());
                }
                let _ = s.write(chunk);
            }));
        });
        let server = server.unwrap();
        send.send(lp.server(server).local_addr().unwrap()).unwrap();
        lp.run().unwrap();
        Some(spent()? - began.get()?)
    });
    let mut client = TcpStream::connect(at.recv().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let (mut next, mut echo) = (Instant::now(), [0; 64]);
    for _ in 0..WARM + MESSAGES {
        client.write_all(&[b'm'; 64]).unwrap();
        client.read_exact(&mut echo).unwrap();
        next += EVERY;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    drop(client);
    Some(server.join().unwrap()? / u64::from(MESSAGES))
}

fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all[all.len() / 2]
}

#[test]
#[ignore = "a measurement of a minute, for a release build on a quiet machine"]
fn cost_of_observing() {
    let mut costs =
        [Observed::Not, Observed::Recorded, Observed::Judged].map(|by| (by, Vec::new()));
    for _ in 0..ROUNDS {
        for (by, all) in &mut costs {
            let Some(cost) = round(*by) else {
                eprintln!("skipped: this system does not tell the processor time of a thread");
                return;
            };
            all.push(cost);
        }
    }
    let [plain, recorded, judged] = costs.map(|(_, all)| all);
    let ratio = |with: &[u64]| {
        let ratios = with.iter().zip(&plain).map(|(a, b)| a * 1_000 / b).collect();
        median(ratios)
    };
    println!("{} ns a message without an observer", median(plain.clone()));
    for (name, all) in [("recorder", recorded), ("recorder and doctor", judged)] {
        let ratio = ratio(&all);
        let times = format!("{}.{:03}", ratio / 1_000, ratio % 1_000);
        println!("{} ns with {name}: {times} in the median of {ROUNDS} rounds", median(all));
        // The manual says what was measured; this is for mistakes that cost much more.
        assert!(ratio <= 1_250, "more than 25 %");
    }
}
