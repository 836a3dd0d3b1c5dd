//! WebSockets by async-tungstenite over sockets of the loop: an echo that also sends the time of day
//! while it waits.
//!
//! ```text
//! cargo run --release --features async --example websocket                  # with its own client
//! cargo run --release --features async --example websocket 127.0.0.1:7002   # a server
//! ```
//! Without an address it ends by itself; with one it runs until Ctrl-C. In a browser's console: `s
//! = new WebSocket('ws://127.0.0.1:7002'); s.onmessage = m => console.log(m.data); s.onopen = () =>
//! s.send('tide')`.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::Message;
use async_tungstenite::{accept_async, client_async};
use futures_util::StreamExt;
use tidegate::prelude::*;
use tidegate::task::{AsyncListener, AsyncSocket, BlockOn, connect, spawn, timeout};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// How long nothing comes until the server says something itself.
const QUIET: Duration = Duration::from_millis(100);

async fn serve(io: AsyncSocket) -> Fallible<u32> {
    let (begin, mut echoed) = (Instant::now(), 0);
    let mut socket = accept_async(io).await?;
    loop {
        // `next` may be dropped while it waits: no message is lost.
        let Ok(message) = timeout(QUIET, socket.next()).await else {
            let so_far = begin.elapsed().as_millis();
            socket.send(Message::text(format!("quiet after {so_far} ms"))).await?;
            continue;
        };
        match message.transpose()? {
            Some(message) if message.is_text() || message.is_binary() => {
                echoed += 1;
                socket.send(message).await?;
            }
            Some(_) => {} // pings are answered, and the end, too
            None => return Ok(echoed),
        }
    }
}

async fn accept(mut listener: AsyncListener) -> Fallible<()> {
    loop {
        let (io, peer) = listener.accept().await?;
        let peer = peer.map_or(String::new(), |p| p.to_string());
        spawn(async move {
            match serve(io).await {
                Ok(echoed) => println!("server: {peer} has ended, after {echoed} messages"),
                Err(e) => println!("server: {peer}: {e}"),
            }
        })?
        .detach();
    }
}

/// Three messages, then silence until the server breaks it.
async fn visit(listener: AsyncListener) -> Fallible<()> {
    let at = listener.local_addr()?;
    let server = spawn(accept(listener))?;
    let (mut socket, response) = client_async("ws://tide.test/", connect(at).await?).await?;
    println!("client: {}", response.status());
    for text in ["low", "rising", "high"] {
        socket.send(text.into()).await?;
    }
    while let Some(message) = socket.next().await.transpose()? {
        if message.is_close() {
            continue;
        }
        println!("client: {message}");
        if message.to_text()?.starts_with("quiet") {
            socket.close(None).await?;
        }
    }
    println!("client: both sides have said that they are done");
    drop(server);
    Ok(())
}

const USAGE: &str = "usage: websocket [HOST:PORT]; port 0 takes a free one";

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let run = || -> Fallible<()> {
        let mut lp = Loop::new()?;
        lp.block_on(async {
            let at = argument.as_deref().unwrap_or("127.0.0.1:0");
            let listener = AsyncListener::bind(at).map_err(|e| format!("{e}\n{USAGE}"))?;
            if argument.is_none() {
                return visit(listener).await;
            }
            println!("listening on {}; Ctrl-C stops", listener.local_addr()?);
            accept(listener).await
        })?
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
