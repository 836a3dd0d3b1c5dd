//! Echoes datagrams, and says what it counted.
//!
//! ```text
//! cargo run --release --example udp_echo -- 127.0.0.1:7000
//! ```
//! In a second terminal: `nc -u 127.0.0.1 7000`. Ctrl-C ends it, after what is queued was sent.

use std::error::Error;

use tidegate::prelude::*;
use tidegate::signals::SIGINT;

fn main() -> Result<(), Box<dyn Error>> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut lp = Loop::new()?;
    let echo = OnDatagram::new(|u, data, meta| {
        // The queue is full: what comes meanwhile waits in the kernel, which drops the rest.
        if u.send_to(data, meta.from) == SendFlow::Full {
            u.pause();
        }
    })
    .drain(|u| u.resume())
    .close(|_, close| {
        let stats = close.stats;
        println!("{close}: {} received, {} sent", stats.received, stats.sent);
    });
    let key = lp.udp(at.as_str(), echo)?;
    println!("listening on {}", lp.datagrams(key).local_addr()?);
    lp.cx().signal(SIGINT, move |cx, _, _| cx.datagrams(key).end())?;
    lp.run()?;
    Ok(())
}
