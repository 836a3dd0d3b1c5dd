//! tidegate's servers.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mio::Interest;
use tidegate::net::Meta;
use tidegate::prelude::*;

use crate::peer::contract::{Mode, Options, obey, spin};

struct Server {
    options: Options,
}

impl ServerHandler for Server {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        if let Some(stamps) = &self.options.stamps {
            stamps.mark();
        }
        match self.options.mode {
            Mode::Accept | Mode::Datagrams | Mode::Hello => conn.reject(),
            Mode::Answer => drop(conn.accept(Discard).write(b"x")),
            Mode::Echo => drop(conn.accept(Echo)),
            Mode::Discard => drop(conn.accept(Discard)),
            Mode::Batch(messages) => {
                let mut s = conn.accept(Discard);
                for _ in 0..messages {
                    // The batch is bounded, and so nobody waits for the drain.
                    let _ = s.write(b"Hello, world.");
                }
                s.end();
            }
        }
    }
}

/// The ordinary echo.
pub(crate) struct Echo;

impl Handler for Echo {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        if s.write(chunk) == Flow::Full {
            s.pause();
        }
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        s.resume();
    }
    // A client that resets is how each run ends.
    fn on_close(&mut self, _: &mut SocketCx<'_>, _: Close) {}
}

struct EchoDatagrams;

impl UdpHandler for EchoDatagrams {
    fn on_datagram(&mut self, u: &mut UdpCx<'_>, data: &[u8], meta: &Meta) {
        if u.send_to(data, meta.from) == SendFlow::Full {
            u.pause();
        }
    }
    fn on_drain(&mut self, u: &mut UdpCx<'_>) {
        u.resume();
    }
}

struct Discard;

impl Handler for Discard {
    fn on_close(&mut self, _: &mut SocketCx<'_>, _: Close) {}
}

/// Serves until the other end of `control` is dropped; tells where it listens, and with
/// each order how many turns there were.
pub fn serve(
    listen: ListenOptions,
    options: &Options,
    control: UnixStream,
    turns: Arc<AtomicU64>,
    listening: impl FnOnce(SocketAddr),
) {
    let mut lp = Loop::new().expect("a loop");
    let at = if options.mode == Mode::Datagrams {
        let key = lp.udp("127.0.0.1:0", EchoDatagrams).expect("a socket");
        lp.datagrams(key).local_addr().expect("an address")
    } else {
        let server = lp.serve(listen, Server { options: options.clone() }).expect("a server");
        lp.server(server).local_addr().expect("an address")
    };
    let mut cx = lp.cx();
    let work = options.work;
    if !work.is_zero() {
        cx.check(move |_, _| spin(work));
    }
    follow(&mut cx, control, turns);
    listening(at);
    lp.run().expect("the poller works");
}

/// Follows orders until the last one, and tells with each how many turns there were.
pub(crate) fn follow(cx: &mut Cx<'_>, control: UnixStream, turns: Arc<AtomicU64>) {
    let control = mio::net::UnixStream::from_std(control);
    cx.watch(control, Interest::READABLE, move |cx, _, control, ready| {
        turns.store(cx.turn(), Ordering::Relaxed);
        let _ = ready.try_io(Interest::READABLE, || {
            if obey(control) {
                cx.stop();
            }
            // It was read until there was nothing more.
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
    })
    .expect("a socket can be watched");
}
