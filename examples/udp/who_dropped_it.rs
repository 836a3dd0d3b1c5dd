//! Where datagrams are lost: a sender in bursts, and a receiver that takes a while for each.
//!
//! ```text
//! cargo run --release --example who_dropped_it
//! ```
//! No error reports that a datagram is lost. But each place where that can happen has a counter, so at
//! every moment this holds on one host:
//!
//! ```text
//! sent = received + in the receive buffer + dropped by the kernel
//! ```
//!
//! The example draws a line for each burst, checks the sum when nothing moves, and ends by itself
//! after about a second. Elsewhere than on Linux the kernel does not say what it drops.

use std::error::Error;
use std::process::exit;
use std::time::{Duration, Instant};

use tidegate::net::UdpOptions;
use tidegate::prelude::*;

const BURSTS: u64 = 12;
const EACH: u64 = 40;
const BURST_EVERY: Duration = Duration::from_millis(40);
/// What the receiver does for each datagram.
const WORK: Duration = Duration::from_millis(2);
/// Small, so that one can watch it fill. Linux reserves twice as much.
const RECEIVE_BUFFER: usize = 24 * 1024;
const SIZE: usize = 200;

fn bar(mark: char, n: u64) -> String {
    mark.to_string().repeat(n.div_ceil(10) as usize)
}

fn line(cx: &mut Cx<'_>, from: UdpKey, to: UdpKey) -> Option<bool> {
    let sent = cx.datagrams(from).stats().ok()?.sent;
    let received = cx.datagrams(to).stats().ok()?.received;
    let queues = cx.datagrams(to).queues().ok()?;
    let (dropped, waiting) = (queues.drops?, queues.receive?);
    let held = sent - received - dropped;
    println!(
        "sent {sent:4} = received {received:4} + waiting {held:3} + dropped {dropped:4}   {}{}{}",
        bar('#', received),
        bar('.', held),
        bar('x', dropped),
    );
    // The kernel counts memory, not datagrams: both are there, or neither.
    Some((held == 0) == (waiting == 0))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut lp = Loop::new()?;
    let slow = OnDatagram::new(|_, _, _| {
        let begin = Instant::now();
        while begin.elapsed() < WORK {}
    });
    let options = UdpOptions::new("127.0.0.1:0").receive_buffer(RECEIVE_BUFFER).datagram_budget(4);
    let receiver = lp.udp(options, slow)?;
    let at = lp.datagrams(receiver).local_addr()?;
    let sender = lp.udp("127.0.0.1:0", OnDatagram::new(|_, _, _| {}))?;

    println!(
        "# received   . in the receive buffer   x dropped by the kernel   (10 datagrams each)"
    );
    let mut burst = 0;
    lp.interval(BURST_EVERY, move |cx, timer| {
        let right = line(cx, sender, receiver);
        if right == Some(false) {
            exit(1);
        }
        burst += 1;
        if burst <= BURSTS {
            for _ in 0..EACH {
                let _ = cx.datagrams(sender).send_to(&[0; SIZE], at);
            }
        } else if right.is_none()
            || cx.datagrams(receiver).queues().is_ok_and(|q| q.receive == Some(0))
        {
            let _ = cx.timer_stop(timer);
            cx.datagrams(sender).destroy();
            cx.datagrams(receiver).destroy();
            println!("nobody was told; the counters knew");
        }
    });
    lp.run()?;
    Ok(())
}
