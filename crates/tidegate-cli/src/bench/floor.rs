//! The floor under the figures: a server by hand over mio, which does nothing but the work. No
//! timers, no limits, no back-pressure, no events.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::sys::SHORT_READS_DRAIN;

/// What it does.
#[derive(Clone)]
pub(super) enum Work {
    /// Sends back what it receives.
    Echo,
    /// Answers each head of a request with these bytes.
    Answer(Vec<u8>),
}

/// A server in a thread, until it is dropped.
pub(super) struct Floor {
    pub(super) at: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<io::Result<()>>>,
}

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

impl Floor {
    pub(super) fn start(work: Work) -> io::Result<Floor> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let at = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("floor".into())
            .spawn(move || serve(poll, &listener, &work, &stopped))?;
        Ok(Floor { at, stop, waker, thread: Some(thread) })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let woken = self.waker.wake();
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// How much of the end of a head was seen.
    seen: usize,
    /// What the kernel did not take.
    pending: Vec<u8>,
}

fn serve(mut poll: Poll, listener: &TcpListener, work: &Work, stop: &AtomicBool) -> io::Result<()> {
    let mut events = Events::with_capacity(1024);
    let mut open: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while !stop.load(Ordering::SeqCst) {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                WAKER => {}
                LISTENER => {
                    while let Ok((mut stream, _)) = listener.accept() {
                        let n = free.pop().unwrap_or(open.len());
                        let both = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut stream, Token(n), both)?;
                        let _ = stream.set_nodelay(true);
                        let new = Some(Connection { stream, seen: 0, pending: Vec::new() });
                        if n == open.len() {
                            open.push(new);
                        } else {
                            open[n] = new;
                        }
                    }
                }
                Token(n) => {
                    let Some(c) = open.get_mut(n).and_then(Option::as_mut) else { continue };
                    if !c.serve(work, &mut buffer) {
                        open[n] = None;
                        free.push(n);
                    }
                }
            }
        }
    }
    Ok(())
}

impl Connection {
    /// Reads and answers what is there; `false` when the connection is over.
    fn serve(&mut self, work: &Work, buffer: &mut [u8]) -> bool {
        if !self.flush() {
            return false;
        }
        while self.pending.is_empty() {
            let n = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(n) => n,
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            };
            match work {
                Work::Echo => self.pending.extend_from_slice(&buffer[..n]),
                Work::Answer(answer) => {
                    for _ in 0..heads(&buffer[..n], &mut self.seen) {
                        self.pending.extend_from_slice(answer);
                    }
                }
            }
            if !self.flush() {
                return false;
            }
            if SHORT_READS_DRAIN && n < buffer.len() {
                return true;
            }
        }
        true
    }

    fn flush(&mut self) -> bool {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// How many heads end in these bytes.
fn heads(bytes: &[u8], seen: &mut usize) -> usize {
    let end = b"\r\n\r\n";
    let mut heads = 0;
    for byte in bytes {
        *seen = match *byte {
            b if b == end[*seen] => *seen + 1,
            b'\r' => 1,
            _ => 0,
        };
        if *seen == end.len() {
            (heads, *seen) = (heads + 1, 0);
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_they_are_cut() {
        let two = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\r\n\r\n";
        let mut seen = 0;
        assert_eq!(two.iter().map(|b| heads(&[*b], &mut seen)).sum::<usize>(), 2);
        assert_eq!(heads(two, &mut 0), 2);
    }
}
