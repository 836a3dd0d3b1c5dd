//! tidegate's servers.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mio::Interest;
use tidegate::net::{Meta, SendOptions};
use tidegate::prelude::*;

use crate::peer::contract::{ANSWER, Mode, Options, PIECE, RUN, TICK, asked, obey, spin};
use crate::sys::cores;

struct Server {
    options: Options,
}

impl ServerHandler for Server {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        if self.options.mode != Mode::Flooded {
            self.options.mark();
        }
        match self.options.mode {
            Mode::Accept | Mode::Datagrams | Mode::Answers | Mode::Bulk | Mode::Hello => {
                conn.reject()
            }
            Mode::Answer => drop(conn.accept(Discard).write(b"x")),
            Mode::Echo | Mode::Flooded => drop(conn.accept(Echo)),
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

/// Sends each datagram back, or an answer.
pub(crate) struct Answers(pub(crate) Option<[u8; ANSWER]>);

impl UdpHandler for Answers {
    fn on_datagram(&mut self, u: &mut UdpCx<'_>, data: &[u8], meta: &Meta) {
        let data = self.0.as_ref().map_or(data, |answer| answer);
        if u.send_to(data, meta.from) == SendFlow::Full {
            u.pause();
        }
    }
    fn on_drain(&mut self, u: &mut UdpCx<'_>) {
        u.resume();
    }
}

/// Counts what comes.
struct Sink(Options);

impl UdpHandler for Sink {
    fn on_datagram(&mut self, _: &mut UdpCx<'_>, _: &[u8], _: &Meta) {
        self.0.count();
    }
}

/// Sends as many datagrams as it is asked for.
struct Bulk {
    options: Options,
    /// Where to, and how many are left.
    open: Option<(SocketAddr, usize)>,
    run: Vec<u8>,
}

impl UdpHandler for Bulk {
    fn on_datagram(&mut self, u: &mut UdpCx<'_>, data: &[u8], meta: &Meta) {
        self.open = asked(data).map(|n| (meta.from, n));
        self.on_drain(u);
    }
    fn on_drain(&mut self, u: &mut UdpCx<'_>) {
        let Some((to, left)) = &mut self.open else { return };
        let how = SendOptions::to(*to).segment(PIECE as u16);
        while *left > 0 {
            let n = RUN.min(*left);
            match u.send_with(&self.run[..n * PIECE], how) {
                SendFlow::Ready => *left -= n,
                SendFlow::Full => {
                    *left -= n;
                    return;
                }
                _ => return,
            }
        }
        self.options.mark();
        self.open = None;
    }
}

/// Notes how late a timer is, and starts it again.
fn tick(cx: &mut Cx<'_>, options: Options) {
    let armed = cores::now();
    cx.after(Duration::from_nanos(TICK), move |cx| {
        options.note_late(armed + TICK);
        tick(cx, options);
    });
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
    let at = if options.mode.is_datagrams() {
        let any = "127.0.0.1:0";
        let key = match options.mode {
            Mode::Bulk => {
                let run = vec![7; PIECE * RUN];
                let at = UdpOptions::new(any).send_offload(options.offload);
                lp.udp(at, Bulk { options: options.clone(), open: None, run })
            }
            Mode::Answers => lp.udp(any, Answers(Some([7; ANSWER]))),
            _ => lp.udp(any, Answers(None)),
        };
        lp.datagrams(key.expect("a socket")).local_addr().expect("an address")
    } else {
        let server = lp.serve(listen, Server { options: options.clone() }).expect("a server");
        let at = lp.server(server).local_addr().expect("an address");
        if options.mode == Mode::Flooded {
            lp.udp(at, Sink(options.clone())).expect("the port is free for datagrams, too");
            tick(&mut lp.cx(), options.clone());
        }
        at
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
