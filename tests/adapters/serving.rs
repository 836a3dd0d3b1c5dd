//! A server of the test's, and its client: both ways to be one.

use std::net::SocketAddr;
use std::ops::AsyncFn;

use tidegate::task::{AsyncListener, AsyncSocket, BlockOn, blocking, connect, spawn};

use crate::support::*;

/// Accepts until it is dropped, and gives each connection to a task of `serve`.
async fn accept(mut listener: AsyncListener, serve: impl AsyncFn(AsyncSocket) + Clone + 'static) {
    loop {
        let (io, _) = listener.accept().await.unwrap();
        let serve = serve.clone();
        spawn(async move { serve(io).await }).unwrap().detach();
    }
}

/// Serves each connection with `serve` while `client` runs in another thread, and blocks there.
pub(crate) fn served<T: Send + 'static>(
    serve: impl AsyncFn(AsyncSocket) + Clone + 'static,
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> T {
    on_one_loop(serve, async |at| blocking(move || client(at)).await.unwrap())
}

/// Serves each connection with `serve` while `client` runs on the same loop.
pub(crate) fn on_one_loop<T: 'static>(
    serve: impl AsyncFn(AsyncSocket) + Clone + 'static,
    client: impl AsyncFnOnce(SocketAddr) -> T + 'static,
) -> T {
    let mut lp = guarded();
    let done = lp.block_on(async move {
        let listener = AsyncListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let _server = spawn(accept(listener, serve)).unwrap();
        client(at).await
    });
    done.unwrap()
}

/// The same, for a client of one connection.
pub(crate) fn beside<T: 'static>(
    serve: impl AsyncFn(AsyncSocket) + Clone + 'static,
    client: impl AsyncFnOnce(AsyncSocket) -> T + 'static,
) -> T {
    on_one_loop(serve, async |at| client(connect(at).await.unwrap()).await)
}
