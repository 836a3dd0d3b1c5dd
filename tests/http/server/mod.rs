//! Servers over real sockets: what is answered, in which order, how bodies flow, how long a client
//! may take, how a connection ends. Here stands the client of these tests.

mod answers;
mod bodies;
mod closing;
mod exchanges;
mod pipelining;
mod pipes;
mod refused;
mod timeouts;
mod told;
mod upgrade;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use tidegate::http::codec::*;
use tidegate::http::{Exchange, Head, Http, HttpOptions};
use tidegate::prelude::*;

use crate::support::*;

/// A response, whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: usize,
}

impl Answer {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let is_it = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.fields.iter().find(is_it).map(|(_, value)| value.as_str())
    }
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A client whose reads turn the loop.
pub(crate) struct Peer {
    pub(crate) s: TcpStream,
    rest: Vec<u8>,
    decoder: ResponseDecoder,
    ended: Option<Result<(), ErrorKind>>,
}

impl Peer {
    pub(crate) fn new(at: SocketAddr) -> Peer {
        let s = client(at);
        s.set_nonblocking(true).unwrap();
        Peer { s, rest: Vec::new(), decoder: ResponseDecoder::new(Limits::default()), ended: None }
    }

    /// Sends all of it, at the server's pace.
    pub(crate) fn send(&mut self, lp: &mut Loop, bytes: impl AsRef<[u8]>) {
        let (mut bytes, end) = (bytes.as_ref(), Instant::now() + DEADLINE);
        while !bytes.is_empty() {
            match self.s.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    lp.run_nowait().unwrap();
                }
                Err(e) => panic!("{e}"),
            }
            assert!(Instant::now() < end);
        }
    }

    /// Reads what is there; turns the loop.
    pub(crate) fn turn(&mut self, lp: &mut Loop) {
        lp.run_nowait().unwrap();
        let mut buffer = [0; 64 * 1024];
        match self.s.read(&mut buffer) {
            Ok(0) => self.ended = Some(Ok(())),
            Ok(n) => self.rest.extend(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => self.ended = Some(Err(e.kind())),
        }
    }

    /// The next response to a request with this method, if the connection does not end before.
    pub(crate) fn next(&mut self, lp: &mut Loop, method: &str) -> Option<Answer> {
        let (mut answer, mut has_head, end) = (Answer::default(), false, Instant::now() + DEADLINE);
        self.decoder.expect(method);
        loop {
            let mut fields = Fields::new();
            let (n, event) = self.decoder.next(&self.rest, &mut fields);
            let over = match event {
                Event::More => {
                    self.rest.drain(..n);
                    if self.ended == Some(Ok(())) && has_head && self.decoder.eof() == Ok(true) {
                        return Some(answer);
                    }
                    if self.ended.is_some() {
                        return None;
                    }
                    assert!(Instant::now() < end, "no answer; so far {answer:?}");
                    self.turn(lp);
                    continue;
                }
                Event::Head(head) => {
                    has_head = true;
                    answer.status = head.status;
                    let text = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
                    answer.fields =
                        head.fields.iter().map(|(n, v)| (n.to_owned(), text(v))).collect();
                    false
                }
                Event::Body(part) => {
                    answer.body.extend(part);
                    false
                }
                Event::Trailers(fields) => {
                    answer.trailers = fields.len();
                    false
                }
                Event::End => true,
                Event::Refused(why) => panic!("{why}: {:?}", String::from_utf8_lossy(&self.rest)),
            };
            self.rest.drain(..n);
            if over {
                return Some(answer);
            }
        }
    }

    pub(crate) fn answer(&mut self, lp: &mut Loop) -> Answer {
        self.next(lp, "GET").expect("the connection ended")
    }

    pub(crate) fn get(&mut self, lp: &mut Loop, target: &str) -> Answer {
        self.send(lp, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer(lp)
    }

    /// Reads until the connection ends: what came, and how it ended.
    pub(crate) fn rest(&mut self, lp: &mut Loop) -> (Vec<u8>, Result<(), ErrorKind>) {
        let end = Instant::now() + DEADLINE;
        while self.ended.is_none() {
            assert!(Instant::now() < end, "it did not end");
            self.turn(lp);
        }
        (std::mem::take(&mut self.rest), self.ended.unwrap())
    }

    /// Whether the connection ended in good order, and nothing came before that.
    pub(crate) fn is_over(&mut self, lp: &mut Loop) -> bool {
        self.rest(lp) == (Vec::new(), Ok(()))
    }

    /// Turns until everything that was sent was read, and a few turns more.
    pub(crate) fn settle(&mut self, lp: &mut Loop) {
        for _ in 0..50 {
            self.turn(lp);
        }
    }
}

/// A server of this handler.
pub(crate) fn listen(
    lp: &mut Loop,
    f: impl FnMut(&Head<'_>, Exchange<'_>) + 'static,
) -> SocketAddr {
    let server = lp.http_listen("127.0.0.1:0", f).unwrap();
    lp.server(server).local_addr().unwrap()
}

/// The same, with options.
pub(crate) fn serve(
    lp: &mut Loop,
    options: HttpOptions,
    handler: impl tidegate::http::HttpHandler,
) -> (ServerKey, SocketAddr) {
    let server = lp.http_serve("127.0.0.1:0", options, handler).unwrap();
    (server, lp.server(server).local_addr().unwrap())
}

/// A handler of requests alone.
pub(crate) struct Plain<F>(pub(crate) F);

impl<F: FnMut(&Head<'_>, Exchange<'_>) + 'static> tidegate::http::HttpHandler for Plain<F> {
    fn on_request(&mut self, head: &Head<'_>, x: Exchange<'_>) {
        (self.0)(head, x);
    }
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

pub(crate) fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
    [head.as_bytes(), body].concat()
}
