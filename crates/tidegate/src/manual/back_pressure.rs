//! Back-pressure: where bytes wait, and how a slow reader stops the writer.
//!
//! # Three places where bytes wait
//!
//! A byte that you have written and the peer has not yet read is in one of three places:
//!
//! ```text
//!   your code
//!      | write -> Flow
//!      v
//!  +-----------------+      +----------------------+           +------------------+
//!  | 1. our queue    |      | 2. the kernel's      |  network  | 3. the peer's    |
//!  | high-water mark | ---> | send buffer          | --------> | receive buffer   | ---> it reads
//!  | 64 KiB          |      | some MiB, by itself  |           | = its window     |
//!  +-----------------+      +----------------------+           +------------------+
//!     counts as yours          unsent and not yet                 no room: it says
//!     and is bounded           acknowledged                       "window 0", and 2 fills
//! ```
//!
//! They fill from the right. A peer that stops reading fills its receive buffer; its window closes;
//! our kernel's send buffer fills; then the kernel takes no more (`EWOULDBLOCK`), and bytes begin
//! to wait in our queue. `write` returns [`Flow::Full`](crate::net::Flow) when the queue has
//! reached the high-water mark. From then on every further byte costs your own memory:
//!
//! ```text
//! cargo run --release --example slow_reader
//!
//! A producer that obeys Flow sends 64 MiB; all figures in KiB.
//!
//!          produced      read   our queue  our memory   in kernel
//! Full         4160         0          68          68        4092
//!         reads again after 100ms
//!         stops reading
//! ...
//! Drain       22656     20525           0           0        2131
//! ...
//! never more than 79 KiB of our memory
//! ...
//! ```
//!
//! `write` accepted 4 MiB before it returned `Full`. That is no leak: the kernel's send buffer
//! grows with what the connection needs (`net.ipv4.tcp_wmem`, tcp(7)), and so does the peer's
//! receive buffer (`tcp_rmem`). To limit it, set `send_buffer`: [`options`](super::options).
//!
//! The example `where_are_my_bytes` shows every 50 ms how many bytes are in each of the three
//! places. A producer writes steadily; its reader sleeps for 800 ms and is slow from then on. The
//! kernels' buffers are small, so that you can see them fill:
//!
//! ```text
//! cargo run --release --example where_are_my_bytes
//!
//!    ms produced |      our queue       |   our kernel: send   | its kernel: receive  |    read  window
//! ...
//!   152     112K |    0K                |   48K ######         |   64K ########       |      0K     24K
//! ...
//!   305     232K |   73K ##########     |   96K ############   |   64K ########       |      0K     24K
//! ...
//!   762     256K |   97K #############  |   72K #########      |   88K ###########    |      0K      0K
//! ...
//!   863     256K |   97K #############  |   72K #########      |   64K ########       |     88K     64K  (65534 in both kernels)
//! ...
//!  1976    1024K |    0K                |    0K                |    0K                |   1024K     64K
//!
//! produced 1048576 bytes, read 1048576, left on the way 0
//! 39 lines: 17 equal, the others within what is unacknowledged
//! 8 repeat the line before, 8 of them equal
//! ```
//!
//! At 762 ms all three are full and nothing moves: the window is closed, and the producer has
//! stopped after a `Full`. A byte that has arrived, but whose acknowledgement has not, counts in
//! both kernels. [`queues`](crate::net::SocketCx::queues) returns these numbers for any connection.
//!
//! # Writing
//!
//! [`SocketCx::write`](crate::net::SocketCx::write) tries the kernel first. Bytes that the kernel
//! takes never enter the queue and never count: a write of a megabyte that the kernel takes is
//! `Ready`. Bytes that it refuses are queued, and the answer depends on the length of the queue.
//!
//! | answer | what to do | what comes |
//! |---|---|---|
//! | `Ready` | go on | - |
//! | `Full` | stop; this write was accepted | `on_drain`, once, when the queue is empty |
//! | `Closed` | nothing: this write was not accepted | `on_close`, if it has not come yet |
//!
//! ```
//! # use std::{cell::Cell, rc::Rc};
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//! let drains = Rc::new(Cell::new(0));
//! let count = drains.clone();
//! let server = lp.listen("127.0.0.1:0", move |mut conn| {
//!     conn.server(conn.server_key()).close().unwrap();
//!     let count = count.clone();
//!     let drain = On::new().drain(move |s| {
//!         count.set(count.get() + 1);
//!         s.end();
//!     });
//!     let mut s = conn.accept(drain);
//!     while s.write(&[b'~'; 16 * 1024]) == Flow::Ready {}
//!     assert!(s.buffered() >= 64 * 1024, "all before that is the kernel's");
//!     assert_eq!(s.write(b"one more is accepted all the same"), Flow::Full);
//! })?;
//! let at = lp.server(server).local_addr()?;
//! lp.connect(at, On::new()); // reads, and takes no notice
//! lp.run()?;
//! assert_eq!(drains.get(), 1, "once, for two answers of Full");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Why does `on_drain` wait for an empty queue, and not only for one below the mark? So that a
//! producer makes one large batch in each round instead of many small ones. While it produces, the
//! kernel still sends from its send buffer.
//!
//! `Flow` is `#[must_use]`: the compiler warns if you ignore it. A producer that goes on after
//! `Full` reaches `write_limit`: its connection is destroyed with a RST, and
//! [`Reason::WriteLimit`](crate::net::Reason::WriteLimit) says how much was queued. Other
//! connections are not affected.
//!
//! ```text
//! cargo run --release --example slow_reader
//!
//! ...
//! A producer that ignores Flow, under a write_limit of 1024 KiB:
//!
//! closed: 1052672 bytes were queued, write_limit is 1048576 (1052672 bytes unsent)
//! ...
//! ```
//!
//! # Reading
//!
//! [`pause`](crate::net::SocketCx::pause) stops reading at once and costs no system call. In this
//! direction our kernel's receive buffer is the third place, and the peer is the writer. The buffer
//! fills, our window closes, and the peer's writer has to stop. A paused connection uses no memory
//! of the process.
//!
//! So an echo server pauses reading while its writes are `Full`:
//!
//! ```no_run
//! use tidegate::prelude::*;
//! let echo = On::new()
//!     .data(|s, chunk| if s.write(chunk) == Flow::Full { s.pause() })
//!     .drain(|s| s.resume());
//! # let _ = echo;
//! ```
//!
//! A chunk often holds several requests, and their answers may fill the queue in the middle of it.
//! [`Framed`](crate::net::Framed) then keeps the rest of the chunk back until the drain. A handler
//! of your own does the same with [`unread`](crate::net::SocketCx::unread): what it gives back comes
//! to `on_data` again after the `resume`, before newer bytes and before `on_end`.
//!
//! ```no_run
//! use tidegate::net::LengthPrefixed;
//! use tidegate::prelude::*;
//! let echo = On::new().framed(LengthPrefixed::u32_be(1 << 20), |s, frame| {
//!     let _ = s.write(&(frame.len() as u32).to_be_bytes()[..]);
//!     s.write(frame) // `Full`: the next frame comes after the drain
//! });
//! # let _ = echo;
//! ```
//!
//! # Pipes
//!
//! A [`pipe`](crate::stream::Streams::pipe) does the same between two connections or streams: when
//! the sink refuses bytes, the pipe pauses the source, and the sink's drain resumes it. Between
//! connections it keeps at most the rest of one read of 64 KiB, in one buffer that it reuses; all
//! other bytes stay in the kernels.
//!
//! ```text
//! source's kernel -> read buffer of the loop -> sink's kernel
//!                                 `-- refused: the pipe's buffer, and the source pauses
//! ```
//!
//! Streams of your own have a queue on each side. The stream asks its
//! [`Source`](crate::stream::Source) for more only while fewer bytes wait than its mark, and gives
//! a [`Sink`](crate::stream::Sink) more only when it is done with what it has. The example
//! `pipeline` sends a file of any size to a slow peer within three blocks of memory.
//!
//! # What to choose
//!
//! - A larger high-water mark means fewer rounds of full and drain, and more memory for
//!   each slow peer. Multiply it by the number of connections you expect.
//! - `write_limit` is a safeguard against mistakes, not a means of flow control: leave it far above
//!   the mark.
//! - `buffered_limit` bounds all connections of a loop together. Beyond it a write that has to be
//!   queued returns `Full`, and of the connections that got `Full`, have ended, or queue answers of
//!   a filter, the one with the longest queue is closed.
//! - A peer that never reads again costs one full queue and no more; an idle timeout closes it
//!   ([`timeouts`](super::timeouts)).
//! - A completion ([`write_id`](crate::net::SocketCx::write_id)) means that the kernel has the
//!   bytes, not that the peer has read them. Only an answer of the peer shows that.
//!
//! # What goes wrong in practice
//!
//! - **Memory grows with a slow peer**: the program ignores `Full`. The compiler warns about that,
//!   and `write_limit` ends the connection.
//! - **Both sides are stuck**: each writes everything before it reads, such as a client that sends
//!   much to an echo server. Both windows close, and each side waits for the other. Read while you
//!   write; an idle timeout closes connections that are stuck.
//! - **`on_drain` does not come**: no write was `Full`, or [`end`](crate::net::SocketCx::end)
//!   was called since. `on_finish` comes then.
#![forbid(unsafe_code)]
