//! hyper as the server: HTTP/1.1 and HTTP/2 on one port, each connection and each stream a task of
//! the loop.
//!
//! ```text
//! cargo run --release --features hyper --example hyper_server [HOST:PORT]   # 127.0.0.1:3000
//! curl -i http://127.0.0.1:3000/hello
//! curl -i --http2-prior-knowledge -d tide http://127.0.0.1:3000/echo
//! curl http://127.0.0.1:3000/slow        # answers after a second; others do not wait for it
//! ```
//! Stop it with Ctrl-C.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::process::exit;
use std::time::Duration;

use futures_util::future::{Either, select};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::server::conn::auto;
use tidegate::prelude::*;
use tidegate::signals::SIGINT;
use tidegate::task::{
    AsyncListener, AsyncSocket, BlockOn, LoopExecutor, LoopTimer, signals, sleep, spawn,
};

type Body = BoxBody<Bytes, hyper::Error>;

fn text(text: &'static str) -> Body {
    Full::from(text).map_err(|never: Infallible| match never {}).boxed()
}

async fn answer(req: Request<Incoming>) -> hyper::http::Result<Response<Body>> {
    let response = Response::builder();
    match (req.method(), req.uri().path()) {
        (&Method::GET, "/hello") => response.body(text("Hello, World!\n")),
        // The body goes back while it comes.
        (&Method::POST, "/echo") => response.body(req.into_body().boxed()),
        (&Method::GET, "/slow") => {
            sleep(Duration::from_secs(1)).await;
            response.body(text("at last\n"))
        }
        _ => response.status(404).body(text("no such place\n")),
    }
}

async fn serve(io: AsyncSocket) {
    let mut builder = auto::Builder::new(LoopExecutor);
    // Who sends no head in time is closed; it is the loop's timers that hyper asks.
    builder.http1().timer(LoopTimer).header_read_timeout(Duration::from_secs(10));
    builder.http2().timer(LoopTimer).keep_alive_interval(Duration::from_secs(30));
    if let Err(e) = builder.serve_connection(io, service_fn(answer)).await {
        println!("a connection failed: {e}");
    }
}

async fn accept(mut listener: AsyncListener) -> io::Result<()> {
    loop {
        let (io, _) = listener.accept().await?;
        spawn(serve(io))?.detach();
    }
}

async fn run(at: &str) -> io::Result<()> {
    let listener = AsyncListener::bind(at)?;
    println!("listening on http://{}/", listener.local_addr()?);
    let mut signals = signals(SIGINT)?;
    let (accepting, stop) = (pin!(accept(listener)), pin!(signals.next()));
    match select(accepting, stop).await {
        Either::Left((failed, _)) => failed,
        Either::Right((stopped, _)) => stopped,
    }
}

const USAGE: &str = "usage: hyper_server [HOST:PORT]; port 0 takes a free one";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let mut lp = Loop::new()?;
    lp.block_on(run(&at))?.unwrap_or_else(|e| {
        eprintln!("{e}\n{USAGE}");
        exit(1)
    });
    Ok(())
}
