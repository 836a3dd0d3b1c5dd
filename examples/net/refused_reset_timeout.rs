//! Every way in which a connection fails, produced on purpose: what the program sees, and what
//! it means.
//!
//! ```text
//! cargo run --release --example refused_reset_timeout
//! ```
//! It ends by itself. With `RUST_LOG=tidegate=debug` each step of each connection is logged.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{LookupAnswer, LookupFault};
use tidegate::observe::LogRecords;
use tidegate::prelude::*;

const SHORT: Duration = Duration::from_millis(50);

/// Makes a connection, and prints how it ended and what that means.
fn attempt(
    what: &str,
    meaning: &str,
    to: impl Into<ConnectOptions>,
    handler: impl FnOnce(On) -> On,
) -> io::Result<()> {
    let mut lp = Loop::new()?;
    lp.observe(LogRecords::new());
    let end = Rc::new(Cell::new(None));
    let e = end.clone();
    let on = handler(On::new()).close(move |_, close| e.set(Some(close.to_string())));
    lp.connect(to, on);
    lp.run()?;
    println!("{what}\n    seen:  {}", end.take().unwrap_or_default());
    println!("    means: {meaning}\n");
    Ok(())
}

/// A listener of the standard library; the closure gets its first connection.
fn peer(treat: impl FnOnce(std::net::TcpStream) + Send + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            treat(stream);
        }
    });
    Ok(at)
}

/// A port on which nobody listens.
fn nobody() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A listener whose queue is full: it answers no further client.
fn silent() -> io::Result<(TcpListener, Vec<std::net::TcpStream>)> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(0)?;
    let listener: TcpListener = socket.into();
    let at = listener.local_addr()?;
    let fill = (0..8).map_while(|_| std::net::TcpStream::connect_timeout(&at, SHORT).ok());
    let fill = fill.collect();
    Ok((listener, fill))
}

/// Resets the connection after a byte has come: it is then open on both sides.
fn reset(mut stream: std::net::TcpStream) {
    let _ = std::io::Read::read(&mut stream, &mut [0]);
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

fn main() -> io::Result<()> {
    env_logger::init();
    attempt(
        "Refused",
        "the host answered that nobody listens on this port. Wrong port, or not started.",
        nobody()?,
        |on| on,
    )?;
    let (listener, _fill) = silent()?;
    attempt(
        "Timed out while connecting",
        "nobody answered at all: a filter that drops, a host that is down, a queue that is full.",
        ConnectOptions::new(listener.local_addr()?).connect_timeout(SHORT),
        |on| on,
    )?;
    attempt(
        "Reset while reading",
        "the peer threw the connection away: it crashed, or closed with bytes unread.",
        peer(reset)?,
        |on| {
            on.connect(|s| {
                let _ = s.write(b"x");
            })
        },
    )?;
    attempt(
        "Reset, caused by a write",
        "the first write after the peer is gone succeeds; its answer is the reset. Who meets it \
         first says so: the next write, or the read side, where Linux calls it EPIPE.",
        ConnectOptions::new(peer(drop)?).allow_half_open(true),
        |on| {
            on.end(|s| {
                let key = s.key();
                s.interval(Duration::from_millis(5), move |cx, timer| {
                    if cx.socket(key).write(b"still there?") == Flow::Closed {
                        let _ = cx.close(timer);
                    }
                });
            })
        },
    )?;
    attempt(
        "An ordinary end",
        "both sides said that they had no more. Not an error.",
        peer(drop)?,
        |on| on,
    )?;
    attempt(
        "Silence",
        "the connection stands, and no byte comes. TCP alone would wait for ever.",
        ConnectOptions::new(peer(|s| std::thread::sleep(SHORT * 4 + keep(s)))?).idle_timeout(SHORT),
        |on| on,
    )?;
    attempt(
        "The peer never ends its side",
        "ours is ended, the peer's is not: half-open. A linger timeout closes it.",
        ConnectOptions::new(peer(|s| std::thread::sleep(SHORT * 4 + keep(s)))?)
            .linger_timeout(SHORT),
        |on| on.connect(|s| s.end()),
    )?;
    let not_found = |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| {
        answer.give(cx, Err(LookupFault::NotFound.into()));
    };
    attempt(
        "A name that nobody has",
        "the resolver knows no such name. Look at the spelling.",
        ConnectOptions::new("no-such-host.example:80").lookup(not_found),
        |on| on,
    )?;
    let again = |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| {
        answer.give(cx, Err(LookupFault::TryAgain.into()));
    };
    attempt(
        "A resolver that does not answer",
        "the name may well exist: the resolver was not reached. Try again later.",
        ConnectOptions::new("host.example:80").lookup(again),
        |on| on,
    )?;
    attempt(
        "An address of ours that is not ours",
        "no interface of this host has the local address that was asked for.",
        ConnectOptions::new(nobody()?).local_address([192, 0, 2, 1].into()),
        |on| on,
    )?;
    let mut lp = Loop::new()?;
    let first = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
    let at = lp.server(first).local_addr()?;
    if let Err(e) = lp.listen(at, |conn| conn.reject()) {
        println!("A port that is taken\n    seen:  {e}");
        println!("    means: another listener has it. Stop that one, or take another port.\n");
    }
    if let Err(e) = lp.listen("127.0.0.1:99999", |conn| conn.reject()) {
        println!("A port that is none\n    seen:  {e}\n    means: look at the text.");
    }
    Ok(())
}

/// Keeps the peer's end open during a sleep.
fn keep(stream: std::net::TcpStream) -> Duration {
    std::mem::forget(stream);
    Duration::ZERO
}
