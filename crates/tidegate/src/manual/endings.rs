//! How connections end: every way, and the callbacks in order.
//!
//! A connection has exactly one last callback, `on_close`, with the reason. Before it come the
//! completions of writes that never went out, with the same reason. The two directions end
//! independently: the peer's with its FIN (`end`), ours with [`end`](crate::net::SocketCx::end)
//! (`finish`).
//!
//! ```text
//!   peer:  FIN ----------------> on_end          (it only tells)
//!                                   |
//!          not half-open: we end, after what is queued
//!                                   v
//!   peer:  <---------------- FIN  on_finish
//!                                   |
//!          both sides have ended    v
//!                                on_close(Ended)
//! ```
//!
//! A reset (RST) ends both directions at once. Bytes that came before it are still read, if the
//! kernel kept them. A write error ends writing only: reading goes on to its end, so an answer that
//! came before the failed write is delivered.
//!
//! The test `tests/net/ending/endings.rs` reads this table and plays each scene. `close: read
//! ECONNRESET` means [`Reason::Failed`](crate::net::Reason::Failed) with this stage and code. "Or"
//! means that the kernel decides which error comes first.
//!
//! | what happens | callbacks, in order |
//! |---|---|
//! | the peer ends first | end, finish, close: ended |
//! | we end first | finish, end, close: ended |
//! | the peer ends, half-open: we end later | end, finish, close: ended |
//! | we end, half-open: the peer sends on, and ends later | finish, data, end, close: ended |
//! | the peer ends with bytes of ours still queued | end, written, finish, close: ended |
//! | the peer closes, while we write on | data, end, close: read EPIPE or data, end, close: write EPIPE or data, end, close: write ECONNRESET |
//! | reset while idle | close: read ECONNRESET |
//! | reset after bytes that were not read yet | data, close: read ECONNRESET or close: read ECONNRESET |
//! | reset while a write waits | not written, close: read ECONNRESET or not written, close: write ECONNRESET |
//! | reset while paused, then resumed | close: read ECONNRESET |
//! | reset after the peer's end, half-open | end, close: read EPIPE or end, close: read ECONNRESET |
//! | we destroy it | close: destroyed |
//! | we destroy it while a write waits | not written, close: destroyed |
//! | we reset it | close: destroyed |
//! | destroyed in on_data | data, close: destroyed |
//! | destroyed in on_end | end, close: destroyed |
//! | destroyed in on_written | written, close: destroyed |
//! | destroyed in on_finish | finish, close: destroyed |
//! | destroyed in on_drain | drain, written, close: destroyed |
//! | destroyed in on_connect | connect, close: destroyed |
//! | the producer ignores Full | close: write limit |
//! | no byte for too long | timeout, close: idle timeout |
//! | open for too long | close: lifetime |
//! | the peer has ended, and no byte for too long | end, close: linger timeout |
//! | we have ended, and no byte for too long | finish, close: linger timeout |
//! | paused for too long | data, timeout, close: idle timeout |
//! | the server shuts down | finish, end, close: ended |
//! | connecting: refused | close: connect ECONNREFUSED |
//! | connecting: the address is no address | close: lookup ? |
//! | connecting: the name is not found | close: lookup ENOTFOUND |
//! | connecting: too long in the lookup | close: connect timeout |
//! | connecting: destroyed at once, a write queued | not written, close: destroyed |
//! | connecting: reset at once | close: destroyed |
//! | connecting: refused, a write and an end queued | not written, close: connect ECONNREFUSED |
//!
//! # Pauses
//!
//! A paused connection reads nothing, so neither the peer's end nor a reset is reported: you may
//! still want the bytes before them. [`peer_state`](crate::net::SocketCx::peer_state) shows both,
//! and the linger deadline closes such a connection if nothing else does.
//!
//! # Ending it yourself
//!
//! | call | what is queued | the peer sees | callbacks here |
//! |---|---|---|---|
//! | [`end`](crate::net::SocketCx::end) | goes out first | a FIN; it may go on sending | `finish`, later `close: ended` |
//! | [`destroy`](crate::net::SocketCx::destroy) | is lost, and counted in [`Close::unsent`](crate::net::Close::unsent) | a FIN; a RST if bytes from the peer were not read | `close: destroyed` |
//! | [`destroy_with`](crate::net::SocketCx::destroy_with) | as with `destroy` | as with `destroy` | `close` with your error, at the stage `application` |
//! | bytes that are no frame, in a [`Framed`](crate::net::Framed) | as with `destroy` | as with `destroy` | `close` with the fault, at the stage `decode`; [`on_bad_frame`](crate::net::Framed::on_bad_frame) instead, if it is set |
//! | [`reset`](crate::net::SocketCx::reset) | as with `destroy` | a RST: this was no ordinary end | `close: destroyed` |
//! | a deadline, by [`timeouts`](super::timeouts) | as with `destroy` | a RST if bytes were queued or a pipe was not done; else as with `destroy` | `close` with its name |
//! | a limit, a panic, a broken pipe | as with `destroy` | a RST, so that the peer does not believe that it has everything; if our side had ended, as with `destroy` | `close` with the reason |
//!
//! A Unix domain socket has no RST: the peer sees an ordinary end, and
//! [`Close::reset`](crate::net::Close::reset) is `Unsupported`. A protocol over such a socket needs
//! its own mark of the end, such as a length or a last record.
//!
//! ```
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |mut conn| {
//!     conn.server(conn.server_key()).close().unwrap();
//!     let mut s = conn.accept(On::new().close(|s, close| {
//!         assert!(matches!(close.reason, Reason::Destroyed));
//!         assert!(close.unsent >= 64 * 1024, "every byte is accounted for");
//!         assert_eq!(s.write(b"too late"), Flow::Closed); // and harmless
//!     }));
//!     while s.write(&[b'~'; 16 * 1024]) == Flow::Ready {}
//!     s.destroy();
//! })?;
//! let at = lp.server(server).local_addr()?;
//! lp.connect(at, On::new().close(|_, close| println!("{close}")));
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it looks like
//!
//! ```text
//! cargo run --release --example refused_reset_timeout
//!
//! Refused
//!     seen:  connect to 127.0.0.1:44933 failed after 0.2 ms: connection refused (ECONNREFUSED) [from 127.0.0.1:53888]
//!     means: the host answered that nobody listens on this port. Wrong port, or not started.
//! ...
//! Reset while reading
//!     seen:  read with 127.0.0.1:37287 failed after 0.3 ms: connection reset by peer (ECONNRESET) [from 127.0.0.1:45344]
//!     means: the peer threw the connection away: it crashed, or closed with bytes unread.
//! ...
//! An ordinary end
//!     seen:  both sides ended
//!     means: both sides said that they had no more. Not an error.
//! ...
//! ```
//!
//! # What goes wrong in practice
//!
//! - **The answer is lost, though it was written**: the server closed with bytes of the client's
//!   unread. That sends a RST (RFC 1122, 4.2.2.13), which discards what was not sent yet, and on
//!   some systems also what the client has not read yet (RFC 9112, 9.6). Call `end` instead and let
//!   the client end; set a linger timeout in case it does not.
//! - **EPIPE here, ECONNRESET there**, for the same cause: the first write after the peer is gone
//!   succeeds, the peer's RST comes back, and the next write fails. Which call fails is chance; the
//!   table shows where.
//! - **A FIN does not say what the peer did**: a peer that closed and a peer that only ended its
//!   side look alike. A peer that closed answers the next write with a RST.
//! - **A peer that loses power sends nothing at all.** No end is reported; use keep-alive or an
//!   idle timeout.
//! - **TIME_WAIT** stays with the side that ends first (RFC 9293, 3.6). It is no error, and it
//!   does not keep a server from its port ([`options`](super::options)).
#![forbid(unsafe_code)]
