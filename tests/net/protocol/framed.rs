//! A protocol of frames, for tests: a kind, a length of four bytes, a body. Frames may be
//! pipelined; the body of one may be piped into another connection while the next waits.
//!
//! | kind | what comes back |
//! |---|---|
//! | `E` | the body, in a frame of kind `R` |
//! | `P` | the body goes through a pipe into a separate connection; a frame `K` when all was given |
//! | `U` | nothing: the rest of the connection is upper-cased by a handler |
//! | `X` | nothing: the protocol panics |

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

use tidegate::kind::{Dispatch, LayerId};
use tidegate::net::{Chunk, Close, Protocol};
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

pub(super) static FRAMES: LayerId<Frames> = LayerId::new(Frames::default);

pub(super) static FRAMED: Protocol = Protocol::new("frames")
    .data(data)
    .end(|d, key, at| {
        log(d, "end");
        // In the middle of a frame there is nothing to wait for.
        if conn(d, at).is_some_and(|c| !matches!(c.state, State::Head(_))) {
            d.cx().socket(key).destroy();
        }
    })
    .drain(|d, key, at| {
        log(d, "drain");
        if let Some(c) = conn(d, at) {
            c.full = false;
        }
        d.cx().socket(key).resume();
    })
    .finish(|d, _, _| log(d, "finish"))
    .close(closed)
    .replaced(|cx, _, at| {
        cx.layer(&FRAMES).0.conns.remove(&at);
    })
    .describe(|cx, _, at| match cx.layer(&FRAMES).0.conns.get(&at) {
        Some(c) => format!("frame {}", c.frames),
        None => String::new(),
    });

/// Opens a pipe from a body.
pub(super) type Open = fn(&mut Cx<'_>, Body);

/// What a loop keeps of this layer.
#[derive(Default)]
pub(super) struct Frames {
    pub(super) conns: BTreeMap<u64, Conn>,
    next: u64,
    /// Where piped bodies go: a connection to this address, or what the test opens.
    pub(super) target: Option<SocketAddr>,
    pub(super) open: Option<Open>,
    pub(super) log: Log,
    /// Where the bytes are that the loop lends.
    pub(super) lent: Range<usize>,
    /// Bytes of bodies that a sink of the test's saw.
    pub(super) seen: usize,
}

pub(super) struct Conn {
    state: State,
    frames: u32,
    /// The pipe that takes the body, and whether it waits.
    pipe: Option<PipeKey>,
    waits: bool,
    full: bool,
}

enum State {
    Head(Vec<u8>),
    Echo(usize, Vec<u8>),
    Piped(usize),
}

/// The place of a new connection.
pub(super) fn place(cx: &mut Cx<'_>) -> u64 {
    let frames = cx.layer(&FRAMES).0;
    frames.next += 1;
    let state = State::Head(Vec::new());
    let new = Conn { state, frames: 0, pipe: None, waits: false, full: false };
    frames.conns.insert(frames.next, new);
    frames.next
}

/// A server for one connection of this protocol.
pub(super) fn serve(lp: &mut Loop) -> SocketAddr {
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").high_water_mark(1000), |mut c| {
            c.server(c.server_key()).close().unwrap();
            let at = place(&mut c.cx());
            c.accept_as(&FRAMED, at).unwrap();
        })
        .unwrap();
    lp.server(server).local_addr().unwrap()
}

pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    frame.extend(body);
    frame
}

fn conn<'d>(d: &'d mut Dispatch<'_>, at: u64) -> Option<&'d mut Conn> {
    d.layer(&FRAMES).0.conns.get_mut(&at)
}

fn log(d: &mut Dispatch<'_>, line: &str) {
    d.layer(&FRAMES).0.log.add(line);
}

fn data(d: &mut Dispatch<'_>, key: SocketKey, at: u64, mut bytes: &mut [u8]) {
    let start = bytes.as_ptr() as usize;
    d.layer(&FRAMES).0.lent = start..start + bytes.len();
    while !bytes.is_empty() {
        let Some(c) = conn(d, at) else {
            // A handler took over.
            d.cx().socket(key).unread(bytes);
            return;
        };
        if c.waits || c.full {
            d.cx().socket(key).unread(bytes);
            return;
        }
        let taken = match &mut c.state {
            State::Head(head) => {
                let n = (5 - head.len()).min(bytes.len());
                head.extend(&bytes[..n]);
                if let [kind, a, b, c, d] = head[..] {
                    Some((n, kind, u32::from_be_bytes([a, b, c, d]) as usize))
                } else {
                    Some((n, 0, 0))
                }
            }
            _ => None,
        };
        let n = match taken {
            Some((n, 0, _)) => n,
            Some((n, kind, len)) => {
                begin(d, key, at, kind, len);
                n
            }
            None => body(d, key, at, bytes),
        };
        bytes = &mut bytes[n..];
    }
}

fn begin(d: &mut Dispatch<'_>, key: SocketKey, at: u64, kind: u8, len: usize) {
    let Some(c) = conn(d, at) else { return };
    c.frames += 1;
    match kind {
        b'E' => c.state = State::Echo(len, Vec::new()),
        b'P' => {
            c.state = State::Piped(len);
            open_pipe(d, key, at);
        }
        b'U' => d.cx().socket(key).set_handler(
            On::new()
                .data(|s, chunk| {
                    let _ = s.write(chunk.to_ascii_uppercase());
                })
                .end(|s| s.end()),
        ),
        _ => std::panic::resume_unwind(Box::new("a bad frame")),
    }
    if len == 0 && matches!(kind, b'E' | b'P') {
        body(d, key, at, &[]);
    }
}

fn open_pipe(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let frames = d.layer(&FRAMES).0;
    let (target, open, log) = (frames.target, frames.open, frames.log.clone());
    let done = move |_: &mut Cx<'_>, r: Result<(), PipeError>| {
        log.add(match r {
            Ok(()) => "piped".into(),
            Err(e) => format!("pipe: {e}"),
        });
    };
    let (mut cx, from) = (d.cx(), Body { key, at });
    if let Some(open) = open {
        return open(&mut cx, from);
    }
    let to = cx.connect(target.unwrap(), On::new().close(|_, _| {}));
    cx.pipe(from, to, done).unwrap();
}

/// A part of a body; how many bytes of it were taken.
fn body(d: &mut Dispatch<'_>, key: SocketKey, at: u64, bytes: &[u8]) -> usize {
    let Some(c) = conn(d, at) else { return 0 };
    let (left, n) = match &mut c.state {
        State::Head(_) => return 0,
        State::Echo(len, got) => {
            let n = (*len - got.len()).min(bytes.len());
            got.extend(&bytes[..n]);
            (*len - got.len(), n)
        }
        State::Piped(left) => {
            let n = (*left).min(bytes.len());
            *left -= n;
            let (left, pipe) = (*left, c.pipe);
            if let Some(pipe) = pipe.filter(|_| n > 0) {
                pipe.data(d, Chunk::Lent(&bytes[..n]));
            }
            (left, n)
        }
    };
    if left > 0 {
        return n;
    }
    let Some(c) = conn(d, at) else { return n };
    let answer = match std::mem::replace(&mut c.state, State::Head(Vec::new())) {
        State::Echo(_, got) => (b'R', got),
        _ => (b'K', Vec::new()),
    };
    c.waits = false;
    if let Some(pipe) = c.pipe.take() {
        pipe.ended(d);
        pipe.source_closed(d, Ok(()));
    }
    let mut head = vec![answer.0];
    head.extend(u32::try_from(answer.1.len()).unwrap().to_be_bytes());
    let flow = d.cx().socket(key).write_gathered(&[(&head).into(), answer.1.into()]);
    if flow == Flow::Full {
        log(d, "full");
        if let Some(c) = conn(d, at) {
            c.full = true;
        }
        d.cx().socket(key).pause();
    } else {
        // A pipe that had paused the connection is over.
        d.cx().socket(key).resume();
    }
    // As after a user's callback.
    d.settle();
    n
}

fn closed(d: &mut Dispatch<'_>, _: SocketKey, at: u64, close: Close) {
    log(d, &format!("close: {}", close.reason));
    let gone = d.layer(&FRAMES).0.conns.remove(&at);
    if let Some(pipe) = gone.and_then(|c| c.pipe) {
        pipe.source_closed(d, close.reason.result());
    }
}

/// The body of one frame: an end of a pipe that is a part of a connection.
pub(super) struct Body {
    key: SocketKey,
    at: u64,
}

impl Body {
    fn conn<R>(&self, cx: &mut Cx<'_>, f: impl FnOnce(&mut Conn) -> R) -> Option<R> {
        cx.layer(&FRAMES).0.conns.get_mut(&self.at).map(f)
    }
}

impl ReadEnd for Body {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError> {
        self.conn(cx, |c| c.pipe = Some(pipe)).ok_or(StreamError::Closed)
    }
    fn pause(&self, cx: &mut Cx<'_>) {
        self.conn(cx, |c| c.waits = true);
        cx.layer(&FRAMES).0.log.add("pause");
        cx.socket(self.key).pause();
    }
    fn resume(&self, cx: &mut Cx<'_>) {
        self.conn(cx, |c| c.waits = false);
        cx.layer(&FRAMES).0.log.add("resume");
        cx.socket(self.key).resume();
    }
    fn destroy(&self, cx: &mut Cx<'_>, _: &StreamError) {
        cx.socket(self.key).destroy();
    }
}
