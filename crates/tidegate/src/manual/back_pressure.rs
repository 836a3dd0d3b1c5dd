//! Back-pressure: where bytes wait, and who stops whom.
//!
//! # The three owners of bytes
//!
//! A byte that was written and not yet read by the peer is in one of three places:
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
//! They fill from the right. A peer that stops reading fills its receive buffer; its window
//! closes; our kernel's send buffer fills; then the kernel takes no more
//! (`EWOULDBLOCK`), and bytes begin to wait in our queue. `write` answers
//! [`Flow::Full`](crate::net::Flow) when the queue has reached the high-water mark. That is
//! the only place where you can be told, and the last before your own memory:
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
//! 4 MiB were accepted before anybody was told, and none of it is a leak: the kernel's send
//! buffer grows with what the connection needs (`net.ipv4.tcp_wmem`, tcp(7)), and so does the
//! peer's receive buffer (`tcp_rmem`). Whoever wants less of that sets `send_buffer`:
//! [`options`](super::options).
//!
//! The example `where_are_my_bytes` asks all three who has the bytes, every 50 ms. A producer
//! goes on steadily; its reader sleeps for 800 ms, and is slow from then on; the kernels' buffers
//! are small, so that one sees them fill:
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
//! At 762 ms all three are full and nobody moves: the window is closed, and the producer was
//! told. A byte that has arrived, and whose acknowledgement has not, is in both kernels.
//! [`queues`](crate::net::SocketCx::queues) tells the same of any connection.
//!
//! # Writing
//!
//! [`SocketCx::write`](crate::net::SocketCx::write) tries the kernel first. What it takes
//! never touches the queue, and so never counts: a write of a megabyte that the kernel
//! takes is `Ready`. What it refuses is queued, and the answer goes by the queue.
//!
//! | answer | what to do | what comes |
//! |---|---|---|
//! | `Ready` | go on | - |
//! | `Full` | stop. This write was accepted all the same | `on_drain`, once, when the queue is empty |
//! | `Closed` | it was not accepted | `on_close`, if it did not come yet |
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
//! Why at empty and not below the mark? So that a producer makes one large batch for each
//! round instead of many small ones; while it produces, the kernel still has its send
//! buffer to send from.
//!
//! `Flow` is `must_use`: who ignores it is warned by the compiler. Who ignores that, too,
//! meets `write_limit`: the connection is destroyed, with a RST, and
//! [`Reason::WriteLimit`](crate::net::Reason::WriteLimit) says how much was queued. Others
//! are unharmed.
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
//! [`pause`](crate::net::SocketCx::pause) stops reading at once and costs no system call.
//! Now picture the other direction: our kernel's receive buffer is the third place of the
//! peer's bytes. It fills, our window closes, and the peer's writer is told. A paused
//! connection holds no memory of ours at all.
//!
//! So an echo is four lines: pause the reading while the writing is full.
//!
//! ```no_run
//! use tidegate::prelude::*;
//! let echo = On::new()
//!     .data(|s, chunk| if s.write(chunk) == Flow::Full { s.pause() })
//!     .drain(|s| s.resume());
//! # let _ = echo;
//! ```
//!
//! # Pipes
//!
//! The same between two parties is a [`pipe`](crate::stream::Streams::pipe): what the
//! sink refuses pauses the source, and the sink's drain lets it go on. Between connections
//! it keeps at most what the kernel refused of one read of 64 KiB, in one buffer that it
//! uses again and again; the rest waits in the kernels, where it was.
//!
//! ```text
//! source's kernel -> read buffer of the loop -> sink's kernel
//!                                 `-- refused: the pipe's buffer, and the source pauses
//! ```
//!
//! Streams of your own have a queue of their own on each side: a
//! [`Source`](crate::stream::Source) is asked only while less than its mark waits, a
//! [`Sink`](crate::stream::Sink) is given more only when it is done with what it has. The
//! example `pipeline` sends a file of any size to a slow peer within three blocks of memory.
//!
//! # What to choose
//!
//! - A larger high-water mark means fewer rounds of full and drain, and more memory for
//!   each slow peer. Multiply it by the number of connections you expect.
//! - `write_limit` is not for flow but for mistakes: leave it far above the mark.
//! - `buffered_limit` bounds all connections of a loop together. Beyond it a write that has to
//!   be queued answers `Full`, and of the connections that were told `Full` or have
//!   ended, the one with the longest queue is closed.
//! - A peer that never reads again fills its share once and then costs nothing but that; an
//!   idle timeout ends it ([`timeouts`](super::timeouts)).
//! - A completion ([`write_id`](crate::net::SocketCx::write_id)) says that the kernel has
//!   the bytes, not that the peer read them. Only an answer of the peer's says that.
//!
//! # What goes wrong in practice
//!
//! - **Memory grows with a slow peer**: somebody ignores `Full`. Here the compiler warns, and
//!   `write_limit` is the end of it.
//! - **Both sides stand still**: each writes all it has before it reads, as a client that asks
//!   an echo for much. Both windows close, and each waits for the other. Read while you
//!   write; an idle timeout ends those who do not.
//! - **`on_drain` does not come**: no write was `Full`, or [`end`](crate::net::SocketCx::end)
//!   was called since. `on_finish` comes then.
#![forbid(unsafe_code)]
