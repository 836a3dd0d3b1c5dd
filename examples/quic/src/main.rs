//! QUIC on tidegate: each stream of each connection is echoed. `quinn-proto` knows the protocol and
//! no sockets; tidegate has the socket, the timer and the loop.
//!
//! ```text
//! cargo run --release -p tidegate-quic-echo                      # a demonstration, which ends
//! cargo run --release -p tidegate-quic-echo -- 127.0.0.1:7000    # a server; its protocol is `echo`
//! ```
//! Read `endpoint.rs` first: datagrams in, datagrams out, one timer. `echo.rs` and `ask.rs` are what
//! the two sides do with streams, and `config.rs` is TLS. Ctrl-C ends the server: its peers are
//! told, and what is queued is sent first.
#![forbid(unsafe_code)]

mod ask;
mod config;
mod echo;
mod endpoint;

use std::error::Error;

use tidegate::prelude::*;
use tidegate::signals::{SIGINT, SIGTERM};

use crate::ask::Ask;
use crate::echo::Echo;
use crate::endpoint::{Connecting, Quic};

const USAGE: &str = "usage: quic_echo [ADDRESS]";

/// What the demonstration sends there and back.
const BYTES: usize = 16 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut lp = Loop::new()?;
    match std::env::args().nth(1).as_deref() {
        Some("--help") => println!("{USAGE}"),
        None => demonstrate(&mut lp)?,
        Some(at) => {
            let (server, _) = config::sides()?;
            let quic = Quic::new(Some(server), Echo::default());
            let key = quic.open(&mut lp, at, None)?;
            println!("listening on {}", lp.datagrams(key).local_addr()?);
            for signal in [SIGINT, SIGTERM] {
                let quic = quic.clone();
                lp.cx().signal_once(signal, move |cx, _, _| quic.close(&mut cx.datagrams(key)))?;
            }
            lp.run()?;
        }
    }
    Ok(())
}

fn demonstrate(lp: &mut Loop) -> Result<(), Box<dyn Error>> {
    let (server, client) = config::sides()?;
    let echo = Quic::new(Some(server), Echo::once());
    let there = echo.open(lp, "127.0.0.1:0", None)?;
    let to = lp.datagrams(there).local_addr()?;
    let ask = Quic::new(None, Ask::new(BYTES));
    let connecting = Connecting { to, name: "localhost", config: client };
    ask.open(lp, "127.0.0.1:0", Some(connecting))?;
    lp.run()?;
    Ok(())
}
