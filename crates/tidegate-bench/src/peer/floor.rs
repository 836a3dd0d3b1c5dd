//! The floor: servers by hand over epoll, with no runtime at all.
//!
//! It is level-triggered. While connections come one at a time, it accepts once for each
//! wake-up, because an accept that fails costs more than one that succeeds. While they queue, the
//! batch doubles, up to 64; and it is 64 when many other events are ready.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::peer::contract::{ANSWER, Mode, Options, PIECE, RUN, asked, obey, spin};
use crate::sys::epoll::{self, Epoll, Events};

const MOST: u32 = 64;
/// More events than this, and a queue had time to form.
const CROWD: usize = 4;
/// Reads of one connection in a row.
const READS: u32 = 16;
/// The first message of a batch.
const MESSAGE: &[u8] = b"Hello, world.";

struct Connection {
    fd: OwnedFd,
    /// What the kernel did not take yet, and how much of that it has by now.
    pending: Vec<u8>,
    sent: usize,
}

/// How many accepts a wake-up is worth.
struct Pace {
    batch: u32,
    full: u32,
    need: u32,
}

impl Pace {
    fn learn(&mut self, got: u32) {
        if got < self.batch {
            // Came up empty: back to one, and slower to try again.
            if self.need < 64 && got < 2 {
                self.need *= 2;
            }
            (self.batch, self.full) = (1, 0);
            return;
        }
        self.full += 1;
        if self.batch > 1 || self.full >= self.need {
            if self.batch >= 4 {
                self.need = 4;
            }
            self.batch = (self.batch * 2).min(MOST);
            self.full = 0;
        }
    }
}

struct Floor<'a> {
    epoll: Epoll,
    /// By descriptor.
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    options: &'a Options,
}

impl Floor<'_> {
    /// Takes one connection; whether there was one.
    fn accept(&mut self, listener: &TcpListener) -> bool {
        let Ok(fd) = epoll::accept(listener) else { return false };
        if let Some(stamps) = &self.options.stamps {
            stamps.mark();
        }
        match self.options.mode {
            Mode::Accept => return true,
            Mode::Answer => drop(epoll::write(&fd, b"x")),
            _ => {}
        }
        let n = fd.as_raw_fd() as usize;
        if n >= self.connections.len() {
            self.connections.resize_with((n + 1).next_power_of_two().max(1024), || None);
        }
        let watched = self.epoll.add(&fd, epoll::IN, n as u64);
        watched.expect("a connection can be watched");
        self.connections[n] = Some(Connection { fd, pending: Vec::new(), sent: 0 });
        if let Mode::Batch(messages) = self.options.mode {
            self.batch(n, messages);
        }
        true
    }

    /// Writes message by message while the kernel takes them, and keeps the others.
    fn batch(&mut self, n: usize, messages: u32) {
        let Some(c) = self.connections[n].as_mut() else { return };
        for _ in 0..messages {
            let taken =
                if c.pending.is_empty() { epoll::write(&c.fd, MESSAGE).unwrap_or(0) } else { 0 };
            c.pending.extend_from_slice(&MESSAGE[taken..]);
        }
        if c.pending.is_empty() {
            end(c);
        } else {
            let watched = self.epoll.modify(&c.fd, epoll::IN | epoll::OUT, n as u64);
            watched.expect("a connection can be watched");
        }
    }

    /// Serves one connection; `false` when it is over.
    fn serve(&mut self, n: usize, ready: u32) -> bool {
        let Some(c) = self.connections.get_mut(n).and_then(Option::as_mut) else { return true };
        if c.sent < c.pending.len() {
            if ready & (epoll::OUT | epoll::BROKEN) == 0 {
                return true;
            }
            match epoll::write(&c.fd, &c.pending[c.sent..]) {
                Ok(taken) => c.sent += taken,
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
            if c.sent < c.pending.len() {
                return true;
            }
            (c.pending, c.sent) = (Vec::new(), 0);
            let watched = self.epoll.modify(&c.fd, epoll::IN, n as u64);
            watched.expect("a connection can be watched");
            if let Mode::Batch(_) = self.options.mode {
                end(c);
            }
        }
        for _ in 0..READS {
            let got = match epoll::read(&c.fd, &mut self.buffer) {
                Ok(0) => return false,
                Ok(got) => got,
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            };
            if self.options.mode == Mode::Echo {
                let taken = match epoll::write(&c.fd, &self.buffer[..got]) {
                    Ok(taken) => taken,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
                    Err(_) => return false,
                };
                if taken < got {
                    c.pending = self.buffer[taken..got].to_vec();
                    let watched = self.epoll.modify(&c.fd, epoll::OUT, n as u64);
                    watched.expect("a connection can be watched");
                    return true;
                }
            }
            if got < self.buffer.len() {
                return true;
            }
        }
        true
    }
}

/// Answers datagrams until the other end of `control` is dropped. One for each wake-up while they
/// come singly; until there are no more, or a batch, after a wake-up that had more than one.
pub fn serve_datagrams(socket: &UdpSocket, control: &UnixStream, options: &Options) {
    let piece = [7; PIECE * RUN];
    let epoll = Epoll::new().expect("an epoll instance");
    epoll.add(socket, epoll::IN, 0).expect("a socket can be watched");
    epoll.add(control, epoll::IN, 1).expect("a socket can be watched");
    let mut events = Events::with_capacity(16);
    let mut buffer = vec![0; 64 * 1024];
    let mut from = epoll::Sender::default();
    let (mut many, mut calls) = (true, 0_u32);
    loop {
        for i in 0..epoll.wait(&mut events, -1) {
            if events.get(i).0 == 1 {
                if obey(control) {
                    return;
                }
                continue;
            }
            let most = if many { MOST } else { 1 };
            let mut got = 0;
            while got < most {
                let Ok(n) = epoll::receive_from(socket, &mut buffer, &mut from) else { break };
                // What the kernel has no room for is lost, as in all peers' kernels.
                let _ = match options.mode {
                    Mode::Bulk => send_bulk(socket, &buffer[..n], &piece, &from, options),
                    Mode::Answers => epoll::send_to(socket, &piece[..ANSWER], &from),
                    _ => epoll::send_to(socket, &buffer[..n], &from),
                };
                got += 1;
            }
            // While it takes one at a time it cannot see that there are more: it looks again now
            // and then.
            calls = calls.wrapping_add(1);
            many = got > 1 || !many && calls % 32 == 0;
        }
    }
}

/// Runs of datagrams that the kernel cuts, as large as it takes them.
fn send_bulk(
    socket: &UdpSocket,
    request: &[u8],
    run: &[u8],
    to: &epoll::Sender,
    options: &Options,
) -> io::Result<usize> {
    let mut left = asked(request).unwrap_or(0);
    while left > 0 {
        let n = left.min(RUN);
        match epoll::send_run(socket, &run[..n * PIECE], PIECE as u16, to) {
            Ok(_) => left -= n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => epoll::wait_writable(socket),
            Err(e) => return Err(e),
        }
    }
    options.mark();
    Ok(0)
}

fn end(c: &Connection) {
    let _ = socket2::SockRef::from(&c.fd).shutdown(std::net::Shutdown::Write);
}

/// Serves until the other end of `control` is dropped. With a budget each wake-up accepts
/// until the queue is empty or that many; without, as the head of this file says.
pub fn serve(listener: &TcpListener, control: &UnixStream, options: &Options, budget: Option<u32>) {
    let epoll = Epoll::new().expect("an epoll instance");
    let (listens, controls) = (listener.as_raw_fd() as u64, control.as_raw_fd() as u64);
    epoll.add(listener, epoll::IN, listens).expect("a listener can be watched");
    epoll.add(control, epoll::IN, controls).expect("a socket can be watched");
    let buffer = vec![0; 64 * 1024];
    let mut floor = Floor { epoll, connections: Vec::new(), buffer, options };
    let mut events = Events::with_capacity(1024);
    let mut pace = Pace { batch: 1, full: 0, need: 4 };
    loop {
        let ready = floor.epoll.wait(&mut events, -1);
        for i in 0..ready {
            let (token, what) = events.get(i);
            if token == listens {
                let crowd = ready > CROWD;
                let want = budget.unwrap_or(if crowd { MOST } else { pace.batch });
                let mut got = 0;
                while got < want && floor.accept(listener) {
                    got += 1;
                }
                if !crowd && budget.is_none() {
                    pace.learn(got);
                }
            } else if token == controls {
                if obey(control) {
                    return;
                }
            } else if !floor.serve(token as usize, what) {
                floor.connections[token as usize] = None;
            }
        }
        if !options.work.is_zero() {
            spin(options.work);
        }
    }
}
