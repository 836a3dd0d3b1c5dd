//! An echo server written with futures: a task for each connection, and back-pressure by `await`.
//!
//! ```text
//! cargo run --release --features async --example async_echo [HOST:PORT]     # 127.0.0.1:7000
//! ```
//! Talk to it with `nc 127.0.0.1 7000`; stop it with Ctrl-C.

use std::cell::Cell;
use std::io;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use futures_util::AsyncWriteExt;
use futures_util::future::{Either, select};
use futures_util::io::copy;
use tidegate::prelude::*;
use tidegate::signals::SIGINT;
use tidegate::task::{AsyncListener, AsyncSocket, BlockOn, signals, sleep, spawn};

/// While a write waits, nothing is read: the peer's window does the rest.
async fn echo(io: AsyncSocket) -> io::Result<u64> {
    let (reader, mut writer) = io.into_split();
    let bytes = copy(reader, &mut writer).await?;
    writer.close().await?;
    Ok(bytes)
}

async fn accept(mut listener: AsyncListener, open: Rc<Cell<u64>>) -> io::Result<()> {
    loop {
        let (io, peer) = listener.accept().await?;
        let (open, peer) = (open.clone(), peer.map_or(String::new(), |p| p.to_string()));
        open.set(open.get() + 1);
        let task = spawn(async move {
            match echo(io).await {
                Ok(bytes) => println!("{peer}: {bytes} B there and back"),
                Err(e) => println!("{peer}: {e}"),
            }
            open.set(open.get() - 1);
        });
        task?.detach();
    }
}

async fn serve(at: &str) -> io::Result<()> {
    let listener = AsyncListener::bind(at)?;
    println!("listening on {}; Ctrl-C stops", listener.local_addr()?);
    let open = Rc::new(Cell::new(0));
    let accepting = std::pin::pin!(accept(listener, open.clone()));
    let mut signals = signals(SIGINT)?;
    let stop = std::pin::pin!(signals.next());
    match select(accepting, stop).await {
        Either::Left((failed, _)) => failed?,
        Either::Right((stopped, _)) => stopped?,
    }
    // The listener is dropped. Clients have 10 s to end, looked at ten times a second.
    for _ in 0..100 {
        if open.get() == 0 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

const USAGE: &str = "usage: async_echo [HOST:PORT]; port 0 takes a free one";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let mut lp = Loop::new()?;
    lp.block_on(serve(&at))?.unwrap_or_else(|e| {
        eprintln!("{e}\n{USAGE}");
        exit(1)
    });
    println!("stopped after {} connections", lp.net_metrics().closed);
    Ok(())
}
