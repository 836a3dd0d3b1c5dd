//! [`Framed`]: a handler that gets frames in place of chunks.
//!
//! | what comes | it is decoded | what is left |
//! |---|---|---|
//! | a chunk, and no frame had begun | where it is | begins a frame: kept |
//! | a chunk, and a frame had begun | as much as may complete the frame: behind what was kept | decoded where it is |
//! | `Full`, or a pause, inside a chunk | later | given back to the connection |
#![forbid(unsafe_code)]

use std::io;

use tidegate_stream::{BoxError, Flow};

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::handler::Handler;
use crate::error::close::{Close, Reason};
use crate::face::on::shared::{OnShared, lend};
use crate::face::on::{On, OnWith};
use crate::face::socket_facts::Reading;
use crate::framed::decode::Decode;
use crate::framed::fault::FrameFault;
use crate::peer_state::PeerState;

type OnFrame<C, H> =
    Box<dyn for<'a> FnMut(&mut H, &mut SocketCx<'_>, <C as Decode>::Frame<'a>) -> Flow>;

type OnBad<H> = Box<dyn FnMut(&mut H, &mut SocketCx<'_>, io::Error)>;

/// A [`Handler`] that gets frames in place of chunks: a decoder, a closure for each frame, and
/// another handler for everything else, which is made of closures ([`On::framed`],
/// [`OnWith::framed`], [`OnShared::framed`]) or a type of yours ([`around`](Framed::around)).
///
/// The closure says by a [`Flow`] how to go on. It is usually the answer of its last `write`.
///
/// - [`Flow::Ready`]: the next frame.
/// - [`Flow::Full`]: none until `on_drain`, or until somebody calls
///   [`resume`](SocketCx::resume); the connection is paused. After a [`pause`](SocketCx::pause)
///   in the closure no frame comes until `resume`, whatever the answer.
/// - [`Flow::Closed`]: none any more; what comes is read and dropped. Return it behind the last
///   answer too: [`end`](SocketCx::end) and [`end_with`](SocketCx::end_with) end our side alone.
///
/// Whole frames are lent from the loop's read buffer: they cost no copy and no allocation. The
/// beginning of a frame is kept until the rest comes; a connection that waits for a new frame
/// keeps nothing. How much is kept is bounded by [`Decode::limit`].
///
/// What is written in the calls for the frames of one chunk leaves together, behind the last of
/// these calls: a client that sends many requests at once costs one system call, not one for each
/// answer.
///
/// If the closure sets another handler, or makes the connection the source of a pipe, what comes
/// behind the frame is for these.
///
/// Bytes that are no frame are the end: [`destroy_with`](SocketCx::destroy_with), but at
/// [`Stage::Decode`](crate::Stage::Decode); so is a frame that the peer's end cuts off. The source
/// of the error is a [`FrameFault`] or the decoder's own; [`on_bad_frame`](Framed::on_bad_frame)
/// decides otherwise.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Flow, Framed, Lines, Net, On};
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |mut conn| {
///     conn.server(conn.server_key()).close().unwrap();
///     conn.accept(Framed::new(Lines::new(1024), |s, line| match line {
///         b"PING" => s.write("PONG\n"),
///         b"QUIT" => { s.end(); Flow::Closed }
///         _ => s.write("what?\n"),
///     }));
/// })?;
/// let at = lp.server(server).local_addr()?;
/// let answers = On::new().framed(Lines::new(1024), |_, line| {
///     assert_eq!(line, b"PONG");
///     Flow::Ready
/// });
/// let client = lp.connect(at, answers);
/// let _ = lp.socket(client).write("PING\nQUIT\n");
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Framed<C: Decode, H> {
    decoder: C,
    handler: H,
    frame: OnFrame<C, H>,
    bad: Option<OnBad<H>>,
    /// The beginning of a frame.
    rest: Vec<u8>,
    /// The last frame answered `Full`, and the drain goes on behind it.
    is_full: bool,
    /// Nothing is decoded any more.
    is_over: bool,
    /// More frames may follow in this chunk: what is written leaves behind the last of them.
    is_corked: bool,
}

/// Why no more frames are decoded from some bytes.
enum Stop {
    /// More bytes are needed.
    More,
    /// The frame that began earlier is complete.
    Complete,
    /// The rest is for later, or for others.
    Later,
    /// The rest is for nobody.
    Over,
}

/// At least so much of a chunk goes behind a frame that began earlier.
const STEP: usize = 256;

impl On {
    /// A handler that gets frames, with these closures for everything else. Call it last: the
    /// [`Framed`] that it makes takes no more closures. That of [`data`](On::data) is not called.
    ///
    /// ```
    /// use tidegate_net::{Lines, On};
    /// let echo = On::new()
    ///     .close(|_, close| println!("{close}"))
    ///     .framed(Lines::new(1024), |s, line| {
    ///         let _ = s.write(line);
    ///         s.write("\n")
    ///     });
    /// # let _ = echo;
    /// ```
    pub fn framed<C: Decode>(
        self,
        decoder: C,
        mut f: impl for<'a> FnMut(&mut SocketCx<'_>, C::Frame<'a>) -> Flow + 'static,
    ) -> Framed<C, On> {
        Framed::around(self, decoder, move |_, s, frame| f(s, frame))
    }
}

impl<S: 'static> OnWith<S> {
    /// A handler that gets frames, with the state and these closures for everything else. Call it
    /// last: the [`Framed`] that it makes takes no more closures. That of
    /// [`data`](OnWith::data) is not called.
    ///
    /// ```
    /// use tidegate_net::{LengthPrefixed, On};
    /// let count = On::with(0)
    ///     .close(|frames, _, _| println!("{frames} frames"))
    ///     .framed(LengthPrefixed::u32_be(1 << 20), |frames, s, frame| {
    ///         *frames += 1;
    ///         s.write(frame)
    ///     });
    /// # let _ = count;
    /// ```
    pub fn framed<C: Decode>(
        self,
        decoder: C,
        mut f: impl for<'a> FnMut(&mut S, &mut SocketCx<'_>, C::Frame<'a>) -> Flow + 'static,
    ) -> Framed<C, OnWith<S>> {
        Framed::around(self, decoder, move |on, s, frame| f(&mut on.state, s, frame))
    }
}

impl<T: 'static> OnShared<T> {
    /// A handler that gets frames, with the shared value and these closures for everything else.
    /// Call it last: the [`Framed`] that it makes takes no more closures. That of
    /// [`data`](OnShared::data) is not called.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Flow, Lines, On};
    /// let mut lp = Loop::new()?;
    /// let seen = lp.share(Vec::new())?;
    /// let collect = On::shared(seen).framed(Lines::new(1024), |seen, _, line| {
    ///     seen.push(line.to_vec());
    ///     Flow::Ready
    /// });
    /// # let _ = collect;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn framed<C: Decode>(
        self,
        decoder: C,
        mut f: impl for<'a> FnMut(&mut T, &mut SocketCx<'_>, C::Frame<'a>) -> Flow + 'static,
    ) -> Framed<C, On> {
        let shared = self.shared;
        Framed::around(self.on, decoder, move |_, s, frame| {
            lend(shared, s, |value, s| f(value, s, frame)).unwrap_or(Flow::Closed)
        })
    }
}

impl<C: Decode> Framed<C, On> {
    /// A decoder and a closure for its frames; with more closures it is [`On::framed`].
    pub fn new(
        decoder: C,
        f: impl for<'a> FnMut(&mut SocketCx<'_>, C::Frame<'a>) -> Flow + 'static,
    ) -> Framed<C, On> {
        On::new().framed(decoder, f)
    }
}

impl<C: Decode, H: Handler> Framed<C, H> {
    /// A decoder and a function for its frames, around a handler for everything else. The
    /// handler's [`on_data`](Handler::on_data) is not called.
    ///
    /// ```
    /// use tidegate_net::{Close, Flow, Framed, Handler, Lines, SocketCx};
    /// #[derive(Default)]
    /// struct Counter { lines: u64 }
    /// impl Counter {
    ///     fn line(&mut self, s: &mut SocketCx<'_>, line: &[u8]) -> Flow {
    ///         self.lines += 1;
    ///         s.write(format!("{} {}\n", self.lines, line.len()))
    ///     }
    /// }
    /// impl Handler for Counter {
    ///     fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
    ///         println!("{} lines; {close}", self.lines);
    ///     }
    /// }
    /// let counter = Framed::around(Counter::default(), Lines::new(1024), Counter::line);
    /// # let _ = counter;
    /// ```
    pub fn around(
        handler: H,
        decoder: C,
        frame: impl for<'a> FnMut(&mut H, &mut SocketCx<'_>, C::Frame<'a>) -> Flow + 'static,
    ) -> Framed<C, H> {
        let frame = Box::new(frame);
        Framed {
            decoder,
            handler,
            frame,
            bad: None,
            rest: Vec::new(),
            is_full: false,
            is_over: false,
            is_corked: false,
        }
    }

    /// What happens when the bytes are no frame, or the peer ended its side inside of one: by
    /// default the connection is destroyed. No frame comes afterwards; what comes is read and
    /// dropped.
    ///
    /// ```
    /// use tidegate_net::{Lines, On};
    /// let polite = On::new()
    ///     .framed(Lines::new(512), |s, line| s.write(line))
    ///     .on_bad_frame(|_, s, error| {
    ///         let _ = s.end_with(format!("-ERR {error}\r\n")); // answers before it go out, too
    ///     });
    /// # let _ = polite;
    /// ```
    pub fn on_bad_frame(
        mut self,
        f: impl FnMut(&mut H, &mut SocketCx<'_>, io::Error) + 'static,
    ) -> Framed<C, H> {
        self.bad = Some(Box::new(f));
        self
    }

    /// Decodes frames and calls the user with each, until one is complete that goes beyond `old`
    /// bytes. Also says how many bytes are used.
    fn take_frames(&mut self, s: &mut SocketCx<'_>, bytes: &[u8], old: usize) -> (usize, Stop) {
        let mut input = bytes;
        loop {
            let before = input.len();
            if before == 0 {
                return (bytes.len(), Stop::More);
            }
            let frame = match self.decoder.decode(&mut input) {
                Ok(Some(frame)) => frame,
                Ok(None) => return (bytes.len() - input.len(), Stop::More),
                Err(e) => return (0, self.refuse(s, e)),
            };
            if input.len() >= before {
                return (0, self.refuse(s, FrameFault::Empty.into()));
            }
            if !self.is_corked && !input.is_empty() {
                self.is_corked = true;
                s.cork();
            }
            let used = bytes.len() - input.len();
            let flow = (self.frame)(&mut self.handler, s, frame);
            match (s.reading(), flow) {
                (Reading::Over, _) => return (used, Stop::Over),
                (Reading::Elsewhere, _) => return (used, Stop::Later),
                (_, Flow::Closed) => {
                    self.is_over = true;
                    return (used, Stop::Over);
                }
                (Reading::Paused, _) => return (used, Stop::Later),
                (Reading::Flowing, Flow::Full) => {
                    self.is_full = true;
                    s.pause();
                    return (used, Stop::Later);
                }
                (Reading::Flowing, Flow::Ready) if used >= old => return (used, Stop::Complete),
                (Reading::Flowing, Flow::Ready) => {}
            }
        }
    }

    /// The bytes are no frame.
    #[cold]
    fn refuse(&mut self, s: &mut SocketCx<'_>, error: BoxError) -> Stop {
        self.is_over = true;
        let error = match error.downcast::<FrameFault>() {
            Ok(fault) => (*fault).into(),
            Err(e) => match e.downcast::<io::Error>() {
                Ok(e) => *e,
                Err(e) => io::Error::new(io::ErrorKind::InvalidData, e),
            },
        };
        match &mut self.bad {
            Some(bad) => bad(&mut self.handler, s, error),
            None => s.fail_decoding(error),
        }
        Stop::Over
    }

    /// Keeps the beginning of a frame, within the limit.
    fn keep(&mut self, s: &mut SocketCx<'_>, rest: Vec<u8>) {
        let limit = self.decoder.limit();
        if rest.len() > limit {
            self.refuse(s, FrameFault::TooLong { limit }.into());
        } else if !rest.is_empty() {
            self.rest = rest;
        }
    }

    /// Completes the frame that began earlier. What is left of the chunk, to be decoded.
    fn complete<'a>(&mut self, s: &mut SocketCx<'_>, mut chunk: &'a [u8]) -> &'a [u8] {
        while !self.rest.is_empty() && !chunk.is_empty() {
            let mut rest = std::mem::take(&mut self.rest);
            let old = rest.len();
            // As much again each time: a long frame is not copied often, and little is copied of
            // what comes behind it.
            let (next, later) = chunk.split_at(old.max(STEP).min(chunk.len()));
            rest.extend_from_slice(next);
            let (used, stop) = self.take_frames(s, &rest, old);
            match stop {
                Stop::Complete => return &chunk[used - old..],
                Stop::More => {
                    rest.drain(..used);
                    chunk = later;
                    self.keep(s, rest);
                }
                Stop::Later => {
                    rest.drain(..used);
                    rest.extend_from_slice(later);
                    s.unread(&rest);
                    return &[];
                }
                Stop::Over => return &[],
            }
        }
        chunk
    }

    fn take_chunk(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let chunk = if self.rest.is_empty() { chunk } else { self.complete(s, chunk) };
        if chunk.is_empty() || self.is_over {
            return;
        }
        match self.take_frames(s, chunk, usize::MAX) {
            (used, Stop::More) if used < chunk.len() => self.keep(s, chunk[used..].to_vec()),
            (used, Stop::Later) => s.unread(&chunk[used..]),
            _ => {}
        }
    }

    /// The peer has ended its side: the end may complete a last frame.
    fn take_last(&mut self, s: &mut SocketCx<'_>) {
        let rest = std::mem::take(&mut self.rest);
        let mut input = &rest[..];
        while !input.is_empty() && !self.is_over {
            let before = input.len();
            match self.decoder.decode_end(&mut input) {
                Ok(Some(_)) if input.len() >= before => {
                    self.refuse(s, FrameFault::Empty.into());
                }
                Ok(Some(frame)) => {
                    let flow = (self.frame)(&mut self.handler, s, frame);
                    self.is_over = flow == Flow::Closed || s.reading() == Reading::Over;
                }
                Ok(None) if input.is_empty() => {}
                Ok(None) => {
                    self.refuse(s, FrameFault::Truncated { bytes: input.len() }.into());
                }
                Err(e) => {
                    self.refuse(s, e);
                }
            }
        }
    }
}

impl<C: Decode, H: Handler> Handler for Framed<C, H> {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.is_full = false;
        if !self.is_over {
            self.take_chunk(s, chunk);
        }
        if std::mem::take(&mut self.is_corked) {
            s.uncork();
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        if std::mem::take(&mut self.is_full) {
            s.resume();
        }
        self.handler.on_drain(s);
    }

    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.take_last(s);
        if s.reading() != Reading::Over {
            self.handler.on_end(s);
        }
    }

    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.handler.on_connect(s);
    }

    fn on_ready(&mut self, s: &mut SocketCx<'_>) {
        self.handler.on_ready(s);
    }

    fn on_hangup(&mut self, s: &mut SocketCx<'_>, peer: PeerState) {
        self.handler.on_hangup(s, peer);
    }

    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, result: Result<(), &Reason>) {
        self.handler.on_written(s, id, result);
    }

    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.handler.on_finish(s);
    }

    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        self.handler.on_timeout(s);
    }

    fn on_timer(&mut self, s: &mut SocketCx<'_>, token: u64) {
        self.handler.on_timer(s, token);
    }

    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        self.handler.on_shutdown(s);
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        self.rest = Vec::new();
        self.handler.on_close(s, close);
    }
}
