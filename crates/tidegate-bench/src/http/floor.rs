//! The floor: epoll and `httparse` by hand. One read and one write for what came in one piece, the
//! answer made once a second; no time-outs, no bodies, few checks.
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::SystemTime;

use super::BODY;
use crate::sys::epoll::{self, Epoll, Events};

const BUFFER: usize = 64 * 1024;
const MOST_HEADERS: usize = 64;

struct Connection {
    fd: OwnedFd,
    /// The beginning of a request.
    rest: Vec<u8>,
    /// What the kernel did not take yet.
    pending: Vec<u8>,
}

/// The answer, with the time of this second.
struct Hello {
    text: Vec<u8>,
    second: u64,
}

impl Hello {
    fn refresh(&mut self) {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if second != self.second {
            self.second = second;
            self.text = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
                 Date: {}\r\n\r\n{BODY}",
                BODY.len(),
                httpdate::fmt_http_date(now)
            )
            .into_bytes();
        }
    }
}

/// Answers the requests in these bytes; how many bytes they are. None: it is no request.
fn answer(bytes: &[u8], hello: &Hello, out: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes[at..]) {
            Ok(httparse::Status::Complete(n)) => at += n,
            Ok(httparse::Status::Partial) => break,
            Err(_) => return None,
        }
        match (request.method, request.path) {
            (Some("GET"), Some("/hello")) => out.extend_from_slice(&hello.text),
            _ => out.extend_from_slice(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        }
    }
    Some(at)
}

impl Connection {
    /// Writes; whether the connection goes on.
    fn write(&mut self, epoll: &Epoll, bytes: &[u8]) -> bool {
        let taken = match epoll::write(&self.fd, bytes) {
            Ok(taken) => taken,
            Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        let waited = !self.pending.is_empty();
        let rest = bytes[taken..].to_vec();
        let waits = !rest.is_empty();
        if waited != waits {
            let interest = if waits { epoll::OUT } else { epoll::IN };
            let token = self.fd.as_raw_fd() as u64;
            epoll.modify(&self.fd, interest, token).expect("a connection can be watched");
        }
        self.pending = rest;
        true
    }

    /// Whether the connection goes on.
    fn ready(
        &mut self,
        epoll: &Epoll,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
        hello: &Hello,
    ) -> bool {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.pending = vec![0];
            return self.write(epoll, &pending);
        }
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let n = match epoll::read(&self.fd, &mut buffer[kept..]) {
            Ok(0) => return false,
            Ok(n) => kept + n,
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        };
        out.clear();
        let Some(used) = answer(&buffer[..n], hello, out) else { return false };
        if used < n || kept > 0 {
            self.rest = buffer[used..n].to_vec();
        }
        self.rest.len() < BUFFER && (out.is_empty() || self.write(epoll, out))
    }
}

/// Serves until it is killed.
pub(super) fn serve(listener: &TcpListener) {
    let epoll = Epoll::new().expect("an epoll instance");
    let listens = listener.as_raw_fd() as u64;
    epoll.add(listener, epoll::IN, listens).expect("a listener can be watched");
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let (mut buffer, mut out) = (vec![0; 2 * BUFFER], Vec::with_capacity(BUFFER));
    let mut hello = Hello { text: Vec::new(), second: 0 };
    loop {
        let ready = epoll.wait(&mut events, -1);
        hello.refresh();
        for i in 0..ready {
            let (token, _) = events.get(i);
            if token == listens {
                while let Ok(fd) = epoll::accept(listener) {
                    let n = fd.as_raw_fd() as usize;
                    if n >= connections.len() {
                        connections.resize_with(n + 1, || None);
                    }
                    epoll.add(&fd, epoll::IN, n as u64).expect("a connection can be watched");
                    let (rest, pending) = (Vec::new(), Vec::new());
                    connections[n] = Some(Connection { fd, rest, pending });
                }
                continue;
            }
            let place = &mut connections[token as usize];
            let Some(connection) = place else { continue };
            if !connection.ready(&epoll, &mut buffer, &mut out, &hello) {
                *place = None;
            }
        }
    }
}
