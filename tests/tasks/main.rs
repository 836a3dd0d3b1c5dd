//! Futures on the loop. The numbers in the names (`b01_`) are those of the behaviours in
//! tests/README.md.

#[path = "../support/mod.rs"]
mod support;

mod block_on;
mod budgets;
mod endings;
mod life;
mod listeners;
mod observed;
mod panics;
mod sockets;
mod time;
mod wakes;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tidegate::Loop;
use tidegate::net::{Net, ServerKey};
use tidegate::task::{AcceptAsync, AsyncSocket, BlockOn};

/// The result of a future that must not fail.
#[track_caller]
pub(crate) fn run<T>(lp: &mut Loop, future: impl Future<Output = io::Result<T>>) -> T {
    lp.block_on(future).unwrap().unwrap()
}

/// Counts its drops.
pub(crate) struct Dropped(pub(crate) Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A counter, and a value that counts in it when it is dropped.
pub(crate) fn dropped() -> (Rc<Cell<u32>>, Dropped) {
    let count = Rc::new(Cell::new(0));
    (count.clone(), Dropped(count))
}

/// A server that spawns this for each connection.
pub(crate) fn server<F>(
    lp: &mut Loop,
    mut f: impl FnMut(AsyncSocket) -> F + 'static,
) -> (ServerKey, SocketAddr)
where
    F: Future + 'static,
    F::Output: 'static,
{
    let server = lp.listen("127.0.0.1:0", move |conn| {
        conn.accept_spawn(&mut f).unwrap();
    });
    let server = server.unwrap();
    (server, lp.server(server).local_addr().unwrap())
}

/// Sends back what comes, to the end.
pub(crate) async fn echo(socket: AsyncSocket) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return socket.shutdown().await,
            n => socket.write_all(&buffer[..n]).await?,
        }
    }
}
