//! One program with both: a harbour office that begins as callbacks, and goes on as tasks.
//!
//! ```text
//! cargo run --release --features async --example async_and_callbacks
//! ```
//! 1. A server reads the first line of each ship in a callback, and hands the connection to a task.
//! 2. The task asks a pilot, who is a callback with a timer, and waits for the answer.
//! 3. When it has served the ship, it hands the connection back to a callback.
//!
//! Each line says in which turn of the loop it was printed. A task that bytes or a callback of the
//! ready pass wake runs in the same one; a timer comes at the end of a turn, so that its task is in
//! the next. It ends by itself.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use tidegate::prelude::*;
use tidegate::task::{Async, AsyncSocket, BlockOn, IntoAsync, Sender, connect, oneshot, with};

/// In a callback.
fn say(cx: &mut Cx<'_>, what: &str) {
    println!("turn {:>2}  callback  {what}", cx.turn());
}

/// In a task, which finds the loop by `with`.
fn tell(what: &str) {
    if let Ok(turn) = with(|cx| cx.turn()) {
        println!("turn {turn:>2}  task      {what}");
    }
}

/// The pilot: callbacks. The answer comes 20 ms later.
fn ask_pilot(cx: &mut Cx<'_>, ship: String, answer: Sender<String>) {
    say(cx, &format!("the pilot is asked for the {ship}"));
    cx.after(Duration::from_millis(20), move |cx| {
        say(cx, "the pilot answers");
        let _ = answer.send(format!("berth 4 for the {ship}"));
    });
}

/// A ship's visit, from its name on.
async fn visit(mut io: AsyncSocket, ship: String) -> io::Result<()> {
    tell(&format!("has the connection of the {ship}"));
    let (sender, receiver) = oneshot();
    with(|cx| ask_pilot(cx, ship, sender))?;
    let berth = receiver.await.map_err(io::Error::other)?;
    tell(&format!("woken with {berth:?}"));
    io.write_all(format!("{berth}\n").as_bytes()).await?;
    let mut thanks = [0; 7];
    io.read_exact(&mut thanks).await?;
    tell(&format!("read {:?}", String::from_utf8_lossy(&thanks)));
    // From here on the connection calls back.
    let last = On::new()
        .end(|s| {
            say(&mut s.cx(), "the ship has left");
            s.end();
        })
        .close(|s, close| say(&mut s.cx(), &format!("closed: {close}")));
    with(|cx| io.into_callback(cx, last))??;
    Ok(())
}

/// The office: a callback until the name is there.
struct Office;

impl Handler for Office {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let ship = String::from_utf8_lossy(chunk).trim_end().to_owned();
        say(&mut s.cx(), &format!("the {ship} calls"));
        match s.into_async() {
            Ok(io) => drop(s.spawn(visit(io, ship)).detach()),
            Err(e) => println!("{e}"),
        }
    }
}

/// The ship: a future, polled by `block_on`.
async fn sail(at: std::net::SocketAddr) -> io::Result<()> {
    let mut io = connect(at).await?;
    io.write_all(b"Anna\n").await?;
    let mut berth = [0; 64];
    let n = io.read(&mut berth).await?;
    io.write_all(b"thanks!").await?;
    tell(&format!("the ship has {:?}", String::from_utf8_lossy(&berth[..n]).trim_end()));
    io.close().await?;
    // The office closes, too.
    io.read(&mut berth).await.map(drop)
}

fn run() -> io::Result<()> {
    let mut lp = Loop::new()?;
    let office = lp.listen("127.0.0.1:0", |conn| {
        conn.accept(Office);
    })?;
    let at = lp.server(office).local_addr()?;
    lp.block_on(sail(at))??;
    lp.server(office).close().map_err(io::Error::other)?;
    lp.run()?;
    println!("nothing is left in the loop");
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
