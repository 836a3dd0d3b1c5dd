//! A tidegate loop inside another event loop. The outer loop here is written by hand over mio; it
//! stands for a game, a user interface or another runtime.
//!
//! ```text
//! cargo run --release --example embed
//! ```
//! The outer loop watches one descriptor, `backend_fd`, and waits no longer than
//! `backend_timeout`. Whenever it wakes, it lets the inner loop do what is ready.

use std::io;
use std::time::Duration;

use tidegate::prelude::*;

/// The inner loop's work: a client asks a server ten times, and a timer ticks.
fn inner() -> io::Result<Loop> {
    let mut lp = Loop::new()?;
    let server = lp.listen("127.0.0.1:0", |mut conn| {
        let _ = conn.server(conn.server_key()).close();
        conn.accept(On::new().data(|s, chunk| {
            let _ = s.write(chunk);
        }));
    })?;
    let at = lp.server(server).local_addr()?;
    let mut asked = 0;
    lp.connect(
        at,
        On::new()
            .connect(|s| {
                let _ = s.write(b"0");
            })
            .data(move |s, chunk| {
                println!(
                    "inner: turn {:>2}, echoed {:?}",
                    s.cx().turn(),
                    String::from_utf8_lossy(chunk)
                );
                asked += 1;
                match asked {
                    10 => s.end(),
                    n => {
                        let _ = s.write(n.to_string());
                    }
                }
            }),
    );
    lp.after(Duration::from_millis(5), |_| println!("inner: a timer of 5 ms"));
    Ok(lp)
}

#[cfg(unix)]
fn main() -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};

    const INNER: Token = Token(0);
    let mut lp = inner()?;
    let mut outer = Poll::new()?;
    let Some(fd) = lp.backend_fd().map(|fd| fd.as_raw_fd()) else {
        println!("this system's poller has no descriptor to watch");
        return lp.run();
    };
    outer.registry().register(&mut SourceFd(&fd), INNER, Interest::READABLE)?;
    let mut events = Events::with_capacity(8);
    let (mut wakes, mut timeouts) = (0, 0);
    while lp.is_alive() {
        // Ask each time: the inner loop's calls change it.
        outer.poll(&mut events, lp.backend_timeout())?;
        if events.is_empty() {
            timeouts += 1;
        } else {
            wakes += 1;
        }
        // Sources of the outer loop's own would be handled here.
        lp.run_nowait()?;
    }
    println!("outer: woken {wakes} times by the descriptor, {timeouts} times by the time-out");
    Ok(())
}

#[cfg(not(unix))]
fn main() -> io::Result<()> {
    println!("this system's poller has no descriptor to watch");
    inner()?.run()
}
