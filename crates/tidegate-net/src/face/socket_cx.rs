//! What a user may do with a connection: write, pause, end, destroy; its deadlines and timers. What
//! stands above it is in `socket_upper.rs`. What can be asked of it is in `socket_facts.rs`,
//! reading and writing without the loop in `socket_direct.rs`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::time::Duration;

use tidegate_loop::kind::Handle;
use tidegate_loop::{AsCx, KeyError, LeaseError};
use tidegate_stream::{Chunk, Flow};

use crate::callbacks::contexts::SocketCx;
use crate::error::close::Reason;
use crate::error::fault::Timeout;
use crate::error::stage::Stage;
use crate::options::stream::millis;
use crate::socket::{expire, timers};
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::{NET, Shared};
use crate::state::owed::Owed;
use crate::state::socket::{Life, Socket};

impl SocketCx<'_> {
    pub(crate) fn change<R>(
        &mut self,
        f: impl FnOnce(&mut Socket, &mut Handle<'_>, &mut Shared) -> R,
    ) -> Option<R> {
        let key = self.key;
        let (layer, mut d) = self.cx.layer(&NET);
        layer.with(&mut d, key, f)
    }

    /// The socket, if it is not over.
    pub(crate) fn look<R>(&mut self, f: impl FnOnce(&Socket) -> R) -> Option<R> {
        let key = self.key;
        let (layer, d) = self.cx.layer(&NET);
        layer.socket(&d, key).filter(|s| s.duplex.is_open()).map(|s| f(s))
    }

    /// `Ok` while the connection is open; else why the key finds nothing.
    ///
    /// ```
    /// use tidegate_loop::{KeyError, Loop};
    /// use tidegate_net::{Net, On};
    /// let (mut a, mut b) = (Loop::new()?, Loop::new()?);
    /// let key = a.connect("127.0.0.1:1", On::new().close(|_, _| {}));
    /// assert_eq!(b.socket(key).state(), Err(KeyError::Foreign));
    /// a.run()?;
    /// assert_eq!(a.socket(key).state(), Err(KeyError::Closed));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn state(&mut self) -> Result<(), KeyError> {
        self.cx.validate(self.key)?;
        self.look(|_| ()).ok_or(KeyError::Closed)
    }

    /// Lends a shared value to `f`, which runs at once, with this connection beside it: as
    /// [`Cx::with`](tidegate_loop::Cx::with). In there the value cannot be lent again.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let visits = lp.share(0)?;
    /// let server = lp.listen("127.0.0.1:0", move |conn| {
    ///     let mut s = conn.accept(On::new());
    ///     let told = s.with(visits, |visits, s| {
    ///         *visits += 1;
    ///         let _ = s.end_with(format!("you are visitor {visits}\n"));
    ///     });
    ///     told.expect("nobody closes the value");
    /// })?;
    /// # lp.server(server).close()?;
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with<T: 'static, R>(
        &mut self,
        shared: tidegate_loop::Shared<T>,
        f: impl FnOnce(&mut T, &mut SocketCx<'_>) -> R,
    ) -> Result<R, LeaseError> {
        let key = self.key;
        self.cx.with(shared, |value, cx| f(value, &mut SocketCx::new(cx.cx(), key)))
    }

    /// Writes bytes. What the kernel does not take at once is queued. Borrowed bytes (`&[u8]`,
    /// `&str`) are copied for that; owned bytes (`Vec<u8>`, `Bytes`) of 1 KiB or more are not, and
    /// one `Bytes` may go to many connections. If the kernel takes all of it, owned bytes are
    /// dropped inside this call, also a `Bytes` over an owner of your own type.
    ///
    /// The answer says how to go on. [`Flow::Ready`]: write more. [`Flow::Full`]: accepted, but
    /// stop until `on_drain`. [`Flow::Closed`]: not accepted. Accepted bytes are given to the
    /// kernel in order, or counted in [`Close::unsent`](crate::Close::unsent).
    ///
    /// Before the connection is made, writes queue. Beyond `write_limit` queued
    /// bytes the connection is destroyed.
    ///
    /// ```
    /// use bytes::Bytes;
    /// fn greet(s: &mut tidegate_net::SocketCx<'_>, name: &str, page: &Bytes) {
    ///     let _ = s.write("hello, ");     // lent, as a slice of bytes is
    ///     let _ = s.write(format!("{name}\n")); // given away, as a `Vec<u8>` is
    ///     let _ = s.write(page.clone());  // shared with other connections
    /// }
    /// # let _ = greet;
    /// ```
    #[inline]
    pub fn write<'c>(&mut self, data: impl Into<Chunk<'c>>) -> Flow {
        match data.into() {
            Chunk::Lent(bytes) => self.send(bytes),
            shared => self.send_shared(shared),
        }
    }

    /// Apart from the other, since a slice is passed in registers.
    #[inline(never)]
    fn send(&mut self, bytes: &[u8]) -> Flow {
        let key = self.key;
        let (layer, mut d) = self.cx.layer(&NET);
        layer.write(&mut d, key, Chunk::Lent(bytes))
    }

    #[inline(never)]
    fn send_shared(&mut self, data: Chunk<'_>) -> Flow {
        let key = self.key;
        let (layer, mut d) = self.cx.layer(&NET);
        layer.write(&mut d, key, data)
    }

    /// Writes, and calls [`on_written`](crate::Handler::on_written) with this id when the kernel
    /// has all of it, or never will. It comes exactly once, in the order of the writes; but not if
    /// the answer is [`Flow::Closed`], since nothing was accepted then. You choose the ids, and
    /// they may repeat.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     let mut s = conn.accept(On::new().written(|s, id, result| {
    ///         assert_eq!((id, result.is_ok()), (7, true));
    ///         s.end();
    ///     }));
    ///     let _ = s.write_id("high water at noon", 7);
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new());
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn write_id<'c>(&mut self, data: impl Into<Chunk<'c>>, id: u64) -> Flow {
        self.send_id(data.into(), id)
    }

    fn send_id(&mut self, data: Chunk<'_>, id: u64) -> Flow {
        self.change(|s, h, shared| s.write_id(h, shared, data, id)).unwrap_or(Flow::Closed)
    }

    /// Reads nothing more from now on, not even bytes that the kernel has already. The kernel's
    /// receive buffer fills and the peer has to wait; the process uses no memory for it. Costs no
    /// system call.
    pub fn pause(&mut self) {
        self.change(|s, h, _| s.pause(h));
    }

    /// Goes on reading, in a later turn. Does nothing while a pipe waits for its sink to drain.
    /// Costs no system call.
    pub fn resume(&mut self) {
        let pipe = self.look(|s| s.pipes().and_then(|p| p.into)).flatten();
        if pipe.is_some_and(|pipe| pipe.is_full(&mut self.cx)) {
            return;
        }
        self.change(|s, h, _| s.resume(h));
    }

    /// Gives bytes back: [`on_data`](crate::Handler::on_data) gets them again in a later dispatch,
    /// before any that the kernel has; of a connection that is paused, after
    /// [`resume`](SocketCx::resume). A handler that stops in the middle of a chunk gives back the
    /// rest of it and needs no buffer. A new handler or a pipe gets them, if there is one by then;
    /// a filter that is set by then gets them first, and one that was set before has seen them
    /// already. Nothing happens before the connection is made, and after `on_end`; the end that
    /// [`read_now`](SocketCx::read_now) found comes again behind them. Node calls it `unshift`.
    ///
    /// They are copied, and count as [`memory_held`](SocketCx::memory_held) until they are
    /// delivered. If more than `write_limit` wait already, the connection is destroyed.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     conn.accept(On::new().data(|s, chunk| {
    ///         assert_eq!(chunk, b"PROXY\nhello");
    ///         s.set_handler(On::new().data(|_, chunk| assert_eq!(chunk, b"hello")));
    ///         s.unread(&chunk[6..]);
    ///     }));
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// let client = lp.connect(at, On::new());
    /// let _ = lp.socket(client).end_with("PROXY\nhello");
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "unshift")]
    pub fn unread(&mut self, bytes: &[u8]) {
        self.change(|s, h, shared| s.unread(h, shared, bytes));
    }

    /// The decoder of its frames refused the bytes.
    pub(crate) fn fail_decoding(&mut self, error: io::Error) {
        self.change(|s, h, _| {
            if s.duplex.is_open() {
                s.fail(h, Stage::Decode, error);
            }
        });
    }

    /// Holds writes back until [`uncork`](SocketCx::uncork), so that they go out together. Nests.
    ///
    /// It pays when several parts of a program write one after the other: one system call in place
    /// of one for each write, and Nagle's algorithm holds nothing back. If one place writes all of
    /// it, a buffer is cheaper, since a corked write does all that a write does, and queues. For 16
    /// writes of 16 bytes, relative to writing each by itself:
    ///
    /// | how | system calls | instructions outside the kernel |
    /// |---|---|---|
    /// | 16 times `write` | 16 | 1 |
    /// | 16 times `write` under `cork` | 1 | 3.1 |
    /// | a new `Vec`, written once | 1 | 0.8 |
    /// | 16 pieces by [`write_gathered`](SocketCx::write_gathered) | 1 | 0.5 |
    /// | one buffer that is used again, written as a slice | 1 | 0.2 |
    ///
    /// With the kernel's work, a request and its answer over loopback take about the same time in
    /// the ways with one system call, and about six times as long in the first. With Nagle's
    /// algorithm, which is on unless [`set_no_delay`](SocketCx::set_no_delay) turns it off, the
    /// first waits for a delayed acknowledgement as well: 45 ms in place of 0.1 ms.
    ///
    /// The closure of [`Framed`](crate::Framed) needs neither for the answers to the frames of one
    /// chunk: they leave together.
    ///
    /// ```
    /// use tidegate_net::{Flow, SocketCx};
    /// fn head(s: &mut SocketCx<'_>) -> Flow {
    ///     s.write("HTTP/1.1 200 OK\r\n")
    /// }
    /// fn body(s: &mut SocketCx<'_>, text: &str) -> Flow {
    ///     s.write(format!("Content-Length: {}\r\n\r\n{text}", text.len()))
    /// }
    /// fn answer(s: &mut SocketCx<'_>, text: &str) {
    ///     s.cork();
    ///     let _ = head(s);
    ///     let _ = body(s, text);
    ///     s.uncork(); // one system call for both
    /// }
    /// # let _ = answer;
    /// ```
    pub fn cork(&mut self) {
        self.change(|s, _, _| s.duplex.write.cork());
    }

    /// Takes back one [`cork`](SocketCx::cork). The last one sends what is queued, within this
    /// call. A connection that stays corked sends nothing: call it on every way out of a function.
    pub fn uncork(&mut self) {
        self.change(|s, h, shared| {
            s.uncork(h, shared);
            s.flush(h, shared);
            if s.duplex.write.has_effect() || s.owed.has(Owed::ROOM) {
                h.pend();
            }
        });
    }

    /// Ends our side: what is queued goes out, then the FIN, then comes
    /// `on_finish`. The other direction stays open until the peer ends it.
    pub fn end(&mut self) {
        self.change(|s, h, shared| s.end_and_tell(h, shared));
    }

    /// What `on_shutdown` does by default.
    pub(crate) fn shut_down(&mut self) {
        let is_piped = self.change(|s, h, _| s.is_piped_from(h));
        if is_piped == Some(false) {
            self.end();
        }
    }

    /// Writes these last bytes, and ends our side. What the peer sends still comes, and the
    /// connection is closed when the peer has ended its side, too. The answer is that of the write;
    /// as nothing can be written afterwards, you may ignore it: `let _ = s.end_with("bye\n");`. In
    /// the closure of a [`Framed`](crate::Framed), return [`Flow::Closed`] after it if no more
    /// frames shall come.
    #[inline]
    pub fn end_with<'c>(&mut self, data: impl Into<Chunk<'c>>) -> Flow {
        self.send_and_end(data.into())
    }

    fn send_and_end(&mut self, data: Chunk<'_>) -> Flow {
        let flow = self.write(data);
        self.end();
        flow
    }

    /// Ends our side after what is queued, and drops what the peer still sends, so that it can
    /// read the last answer: closing while bytes of the peer wait unread would send a RST, which
    /// may overtake the answer. What stands above, and a pipe, get no more bytes; they get the
    /// end, the finish and the close.
    ///
    /// The connection is closed when the peer has ended. Otherwise it is closed, with
    /// [`Reason::Destroyed`], once our side has ended and the peer has then sent nothing for
    /// `silence`, or has sent more than `most` bytes since this call; and `total` after this call
    /// (after `on_connect`, if that is still to come) in any case, with [`Reason::TimedOut`] if
    /// bytes of ours still wait. Until our side has ended, more than `most` bytes are not read.
    /// Zero: without that deadline. These deadlines replace the connection's own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_net::SocketCx;
    /// /// Too much is coming: says so, and does not wait for all of it.
    /// fn refuse(s: &mut SocketCx<'_>) {
    ///     let _ = s.write("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n");
    ///     s.end_and_drain(1 << 20, Duration::from_secs(5), Duration::from_secs(30));
    /// }
    /// # let _ = refuse;
    /// ```
    pub fn end_and_drain(&mut self, most: u64, silence: Duration, total: Duration) {
        self.change(|s, h, shared| s.end_and_drain(h, shared, most, silence, total));
        expire::arm(&mut self.cx, self.key);
    }

    /// Closes the connection now. What is queued is lost, and counted in
    /// [`Close::unsent`](crate::Close::unsent). `on_close` comes in the closing phase.
    pub fn destroy(&mut self) {
        self.change(|s, h, _| s.destroy(h, Reason::Destroyed));
    }

    /// Closes the connection now, for a reason of your own: as [`destroy`](SocketCx::destroy), but
    /// `on_close` gets [`Reason::Failed`] with this error as the source, at [`Stage::Application`];
    /// a pipe that it is an end of gets it as its cause. The default `on_close` counts and logs it
    /// as an unhandled error.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On, Stage};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     conn.accept(On::new()
    ///         .data(|s, _| s.destroy_with(Error::new(ErrorKind::InvalidData, "no greeting")))
    ///         .close(|_, close| {
    ///             let e = close.reason.error().unwrap();
    ///             assert_eq!((e.stage(), e.kind()), (Stage::Application, ErrorKind::InvalidData));
    ///         }));
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// let client = lp.connect(at, On::new());
    /// let _ = lp.socket(client).write(b"GET / HTTP/1.1");
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn destroy_with(&mut self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let error = match error.into().downcast::<io::Error>() {
            Ok(e) => *e,
            Err(e) => io::Error::other(e),
        };
        let mut error = Some(error);
        self.change(|s, h, _| {
            if s.duplex.is_open() {
                if let Some(error) = error.take() {
                    s.fail(h, Stage::Application, error);
                }
            }
        });
        if let Some(error) = error {
            self.cx.driver().bury(error);
        }
    }

    /// Closes the connection now with a RST: the peer sees that this is no ordinary end, and what
    /// it has not read yet is lost. Otherwise as [`destroy`](SocketCx::destroy). A Unix domain
    /// socket has no RST: see [`Close::reset`](crate::Close::reset).
    pub fn reset(&mut self) {
        self.change(|s, h, _| s.reset(h));
    }

    /// Sets the idle timeout: when no byte has moved in either direction for this long,
    /// `on_timeout` is called. It counts from now; zero turns it off. It costs no system call, and
    /// nothing for each read and write.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On, Reason, Timeout};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     let close = |_: &mut tidegate_net::SocketCx<'_>, close: tidegate_net::Close| {
    ///         assert!(matches!(close.reason, Reason::TimedOut(Timeout::Idle, _)));
    ///     };
    ///     conn.accept(On::new().close(close)).set_idle_timeout(Duration::from_millis(5));
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new()); // and says nothing
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_idle_timeout(&mut self, after: Duration) {
        self.change(|s, h, _| s.clocks.set_idle(after, as_nanos(h.clock())));
        expire::arm(&mut self.cx, self.key);
    }

    /// Starts a timer of the connection: `after` from now, and never earlier, comes
    /// [`on_timer`](crate::Handler::on_timer) with this token, once; not before the connection is made.
    /// Set again, it moves. When the connection closes, its timers are gone; they do not keep the
    /// loop alive.
    ///
    /// It is meant for deadlines that move all the time. A connection has one entry in the loop
    /// for all its deadlines and timers. To move a timer to later only notes that, and reads no
    /// clock; a timer may therefore come later by as much as the turn took in which it was set.
    /// Tokens are searched one by one: a connection should have few.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// const GREETING: u64 = 1;
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     let on = On::new()
    ///         .data(|s, _| s.clear_timer(GREETING))
    ///         .timer(|s, token| {
    ///             assert_eq!(token, GREETING);
    ///             let _ = s.end_with("no greeting came\n");
    ///         });
    ///     conn.accept(on).set_timer(GREETING, Duration::from_millis(5));
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new().data(|_, text| assert_eq!(text, b"no greeting came\n")));
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn set_timer(&mut self, token: u64, after: Duration) {
        timers::set(&mut self.cx, self.key, token, after);
    }

    /// Ends the timer with this token: its `on_timer` does not come, not even if it is due.
    pub fn clear_timer(&mut self, token: u64) {
        timers::clear(&mut self.cx, self.key, token);
    }

    /// Closes the connection after this time, even if bytes move. It counts from now, or, while the
    /// connection is being made, from `on_connect`. Zero turns it off.
    pub fn set_lifetime(&mut self, after: Duration) {
        self.change(|s, h, _| match s.life {
            Life::Connecting | Life::Gated => s.set_later_lifetime(millis(after)),
            _ => s.clocks.set_until(millis(after), as_nanos(h.clock())),
        });
        expire::arm(&mut self.cx, self.key);
    }

    /// Sets the linger timeout: once one side has ended, the connection is closed when no byte has
    /// moved for this long. If a side has ended already, it counts from now. Zero turns it off.
    pub fn set_linger_timeout(&mut self, after: Duration) {
        self.change(|s, h, _| s.clocks.set_linger(after, as_nanos(h.clock())));
        expire::arm(&mut self.cx, self.key);
    }

    /// What `on_timeout` does by default: closes the connection with
    /// [`Reason::TimedOut`].
    pub fn time_out(&mut self) {
        self.change(|s, h, _| {
            let reason = expire::reason(s, h, Timeout::Idle);
            s.destroy(h, reason);
        });
    }
}
