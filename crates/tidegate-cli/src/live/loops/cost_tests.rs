//! What observing costs the studied loop: the processor time of its thread for an echo at 1,000
//! messages a second, with the recorder and without it, in turn.
//!
//! ```text
//! cargo test --release -p tidegate-cli cost_of_observing -- --ignored --nocapture
//! ```
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use tidegate::prelude::*;

use super::recorder::Recorder;
use super::shared::Shared;
use crate::live::model::fold::Fold;

const MESSAGES: u32 = 2_000;
const EVERY: Duration = Duration::from_millis(1);
const ROUNDS: usize = 15;

/// Processor time of this thread in nanoseconds; `None` where the system does not tell.
fn spent() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// One echo connection at the rate; the processor time of the loop's thread for a message.
fn round(observed: bool) -> Option<u64> {
    let (send, at) = channel::<SocketAddr>();
    let server = thread::spawn(move || {
        let mut lp = Loop::new().unwrap();
        let shared = Arc::new(Shared::default());
        if observed {
            let fold = Rc::new(RefCell::new(Fold::default()));
            lp.observe(Recorder::new(fold, shared));
        }
        let began = Rc::new(std::cell::Cell::new(None));
        let first = began.clone();
        let server = lp.listen("127.0.0.1:0", move |mut c| {
            let key = c.server_key();
            c.server(key).close().unwrap();
            first.set(spent());
            c.accept(On::new().data(|s, chunk| {
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
    for _ in 0..MESSAGES {
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
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (Some(plain), Some(observed)) = (round(false), round(true)) else {
            eprintln!("skipped: this system does not tell the processor time of a thread");
            return;
        };
        without.push(plain);
        with.push(observed);
    }
    let ratios = with.iter().zip(&without).map(|(a, b)| a * 1_000 / b).collect();
    let ratio = median(ratios);
    println!("{} ns a message, observed {} ns", median(without), median(with));
    println!("ratio of the median pair: {}.{:03}", ratio / 1_000, ratio % 1_000);
    assert!(ratio <= 1_100, "more than 10 %");
}
