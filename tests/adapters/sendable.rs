//! What is `Send`: types that hold only keys satisfy the bounds of code that is written for many
//! threads, although everything runs on one.

use std::future::Future;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use tidegate::task::{AsyncSocket, LoopExecutor, LoopTimer, connect, sleep};

use crate::hyper_server::hello;
use crate::support::*;

fn send<T: Send>(value: T) -> T {
    value
}

fn send_and_sync<T: Send + Sync + 'static>() {}

#[test]
fn b38_what_many_threads_ask_for() {
    send_and_sync::<AsyncSocket>();
    send_and_sync::<LoopTimer>();
    send_and_sync::<LoopExecutor>();
    send_and_sync::<tidegate::task::Sleep>();
    send_and_sync::<tidegate::task::ReadHalf>();
    send_and_sync::<tidegate::task::WriteHalf>();
    drop(send(connect("127.0.0.1:1")));
    drop(send(sleep(DEADLINE)));
}

/// hyper's connection with upgrades, which asks for `Send`, is a future that may be sent itself.
#[test]
fn b38_a_connection_of_hyper() {
    fn with_upgrades(io: AsyncSocket) -> impl Future<Output = hyper::Result<()>> + Send {
        let builder = hyper::server::conn::http1::Builder::new();
        builder.serve_connection(io, service_fn(hello)).with_upgrades()
    }
    async fn client(io: AsyncSocket) -> hyper::Result<()> {
        let shaken = hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(LoopExecutor, io);
        shaken.await?.1.await
    }
    fn sent(io: AsyncSocket) -> impl Future<Output = hyper::Result<()>> + Send {
        client(io)
    }
    let _ = (with_upgrades, sent);
}
