//! hyper as the client, through the pool of hyper-util: requests side by side, on connections that
//! are kept.
//!
//! ```text
//! cargo run --release --features hyper --example hyper_client                     # its own server
//! cargo run --release --features hyper --example hyper_client http://HOST:PORT/   # prints the answer
//! ```
//! It ends by itself.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write as HyperWrite};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tidegate::prelude::*;
use tidegate::task::{
    AsyncListener, AsyncSocket, BlockOn, LoopExecutor, LoopTimer, connect, sleep, spawn, timeout,
};

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Connects where a URI says. The pool asks for connections that are `Send`: sockets are, as they
/// hold only keys.
#[derive(Clone)]
struct Connector;

impl tower_service::Service<Uri> for Connector {
    type Response = Pooled;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pooled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let at = format!("{host}:{}", uri.port_u16().unwrap_or(80));
            Ok(Pooled(connect(at.as_str()).await?))
        })
    }
}

struct Pooled(AsyncSocket);

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Read::poll_read(Pin::new(&mut self.0), cx, buffer)
    }
}

impl HyperWrite for Pooled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        HyperWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        HyperWrite::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        HyperWrite::poll_shutdown(Pin::new(&mut self.0), cx)
    }
}

fn client() -> Client<Connector, Empty<Bytes>> {
    let mut builder = Client::builder(LoopExecutor);
    builder.pool_timer(LoopTimer).pool_idle_timeout(Duration::from_secs(10)).build(Connector)
}

async fn fetch(uri: Uri) -> Fallible<()> {
    let mut response = timeout(Duration::from_secs(20), client().get(uri)).await??;
    eprintln!("{:?} {}", response.version(), response.status());
    for (name, value) in response.headers() {
        eprintln!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    while let Some(frame) = response.frame().await {
        if let Ok(data) = frame?.into_data() {
            io::stdout().write_all(&data)?;
        }
    }
    Ok(())
}

/// Answers each request 50 ms later.
async fn serve(mut listener: AsyncListener, connections: Rc<Cell<u32>>) {
    while let Ok((io, _)) = listener.accept().await {
        connections.set(connections.get() + 1);
        let slow = service_fn(|req: Request<Incoming>| async move {
            sleep(Duration::from_millis(50)).await;
            let body = format!("{} has the tide", req.uri().path());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
        });
        let served = http1::Builder::new().serve_connection(io, slow);
        match spawn(async { drop(served.await) }) {
            Ok(task) => drop(task.detach()),
            Err(e) => println!("{e}"),
        }
    }
}

/// Two rounds of requests side by side: the second finds the connections of the first.
async fn demonstrate() -> Fallible<()> {
    let listener = AsyncListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let connections = Rc::new(Cell::new(0));
    let _server = spawn(serve(listener, connections.clone()))?;
    let client = client();
    for round in 1..=2 {
        let begin = Instant::now();
        let ask = |n: usize| {
            let uri = format!("http://{at}/harbour/{n}").parse::<Uri>();
            let client = client.clone();
            async move {
                let response = client.get(uri?).await?;
                Fallible::Ok(response.collect().await?.to_bytes())
            }
        };
        let answers = join_all((0..8).map(ask)).await;
        let bytes = answers.into_iter().map(|a| Ok(a?.len())).sum::<Fallible<usize>>()?;
        println!(
            "round {round}: 8 answers, {bytes} B, in {:.0?}; {} connections were made",
            begin.elapsed(),
            connections.get()
        );
    }
    Ok(())
}

const USAGE: &str = "usage: hyper_client [http://HOST[:PORT]/PATH]";

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let done = Loop::new().map_err(Into::into).and_then(|mut lp| match argument {
        None => lp.block_on(demonstrate())?,
        Some(uri) => match uri.parse::<Uri>() {
            Ok(uri) if uri.scheme_str() == Some("http") => lp.block_on(fetch(uri))?,
            _ => Err(format!("{uri} is no address that this client fetches\n{USAGE}").into()),
        },
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
