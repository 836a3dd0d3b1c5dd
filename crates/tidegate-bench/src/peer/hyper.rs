//! hyper's `hello`, unmodified but for the types of the runtime: on tidegate, and on tokio with
//! one thread. Both take hyper's defaults. Also tidegate's echo written with futures.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tidegate::net::ListenOptions;
use tidegate::prelude::*;
use tidegate::task::{Async, AsyncListener, AsyncSocket};

use crate::peer::contract::{Mode, Options};
use crate::peer::{tidegate as own, tokio as other};

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, World!"))))
}

/// Clients that reset are how each run ends, so that errors of connections are none here.
async fn answer_on_tidegate(io: AsyncSocket) {
    let _ = http1::Builder::new().serve_connection(io, service_fn(hello)).await;
}

async fn answer_on_tokio(io: tokio::net::TcpStream) {
    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service_fn(hello)).await;
}

async fn echo(io: AsyncSocket, buffer: usize) {
    let mut buffer = vec![0; buffer];
    loop {
        match io.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                if io.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn accept_on_tidegate(listen: ListenOptions, options: Options) {
    let mut listener = AsyncListener::bind(listen).expect("a listener");
    loop {
        let Ok((io, _)) = listener.accept().await else { continue };
        let task = match options.mode {
            Mode::Hello => tidegate::task::spawn(answer_on_tidegate(io)),
            _ => tidegate::task::spawn(echo(io, options.buffer)),
        };
        task.expect("this is a task").detach();
    }
}

async fn accept_on_tokio(listener: tokio::net::TcpListener) {
    loop {
        let Ok((io, _)) = listener.accept().await else { continue };
        tokio::spawn(answer_on_tokio(io));
    }
}

/// Serves with tasks of tidegate until the other end of `control` is dropped.
pub fn on_tidegate(
    listener: std::net::TcpListener,
    control: UnixStream,
    turns: Arc<AtomicU64>,
    options: &Options,
) {
    let mut lp = Loop::new().expect("a loop");
    lp.spawn(accept_on_tidegate(ListenOptions::from(listener), options.clone())).detach();
    own::follow(&mut lp.cx(), control, turns);
    lp.run().expect("the poller works");
}

/// Serves hyper on tokio until the other end of `control` is dropped.
pub fn on_tokio(listener: std::net::TcpListener, control: UnixStream) {
    let rt = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    rt.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        tokio::spawn(accept_on_tokio(listener));
        other::follow(control).await;
    });
}
