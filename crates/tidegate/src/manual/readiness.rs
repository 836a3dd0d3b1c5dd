//! Readiness and edges: how an event of the kernel becomes a callback.
//!
//! # Level and edge
//!
//! epoll(7) can say that a socket is ready in two ways. *Level-triggered*, it reports the socket at
//! every poll, as long as it is ready. *Edge-triggered*, it reports the socket once, when it
//! becomes ready, and not again before the program has used that up: if a program stops before
//! `EWOULDBLOCK`, the kernel may never report the socket again. mio is edge-triggered on every
//! system.
//!
//! ```text
//!  bytes waiting    0      4         22             14                       0
//!                          |         |              |                        |
//!                          4 come    18 more come   8 are read: 14 still     all are read
//!  level:           -      ready     ready          ready                    -
//!  edge:            -      ready     ready          (silence)                -
//! ```
//!
//! Edges are cheaper: the kernel does not repeat itself, and pausing or going on needs no system
//! call. But somebody has to remember each edge. In tidegate the loop does that, not you.
//!
//! # Sticky bits
//!
//! Each handle has bits, its [`Readiness`](crate::event::Readiness). An event of the kernel sets
//! some of them and puts the handle into the ready queue, once. An event does no more than that;
//! callbacks come later, in the ready pass.
//!
//! ```text
//!   poll: an event ---> sets bits ---> queued already? --no--> into the ready queue
//!                                                                     |
//!   ready pass: takes the first <-------------------------------------+
//!       |
//!       v
//!     read, on_data, read, on_data ... until one of these:
//!       |
//!       +-- EWOULDBLOCK, or a short read     the bit is cleared, until the poller
//!       |                                    reports more
//!       +-- the budget is spent              the bit stays. Queued again, behind the
//!       |                                    others; the next poll does not wait
//!       +-- paused                           the bit stays. Not queued: resume() does
//! ```
//!
//! | bit | set by | cleared by |
//! |---|---|---|
//! | `readable` | bytes, an end, an error, a connection to accept; for a new connection the loop may assume it | `EWOULDBLOCK`; a short read |
//! | `writable` | room in the send buffer, connected, an error; for a new connection the loop assumes it | `EWOULDBLOCK`; a short write |
//! | `read_closed` | the peer's FIN, or a reset | never |
//! | `write_closed` | nothing written will arrive any more | never |
//! | `error` | the socket has an error to fetch | never |
//! | `priority` | urgent data: a read stops short at its mark | `EWOULDBLOCK` |
//!
//! A half that is closed or has failed counts as readable and writable: the next operation returns
//! at once with the reason.
//!
//! # Why a short read is enough
//!
//! A read of 4 bytes into a buffer of 64 KiB has emptied the socket: epoll(7) guarantees that. It
//! saves the second read, which would only return `EWOULDBLOCK`, so an echo takes three system
//! calls, not four. This does not hold once `read_closed` or `error` is set: then the end itself
//! still has to be read, and no further edge will report it. In that case a short read proves
//! nothing, and the loop reads on. Where the poller has no such rule (poll(2), Windows) the loop
//! always reads on.
//!
//! # Watch it
//!
//! ```text
//! cargo run --release --example edges
//!
//! A new connection
//! - the bits are assumed, and a read is tried
//!   poll  1 events
//!   ready server: readable
//!   ready socket: readable|writable
//!   then  the next poll may wait
//!         now writable: the kernel had nothing (EWOULDBLOCK)
//!
//! A short read
//! - the peer has sent 4 bytes
//!   poll  1 events
//!   ready socket: readable|writable
//!         on_data of 4 bytes; now writable
//!   then  the next poll may wait
//! ...
//! Stopped by the budget of 8 bytes
//! - the peer has sent 18 bytes
//!   poll  1 events
//!   ready socket: readable|writable
//!         on_data of 8 bytes; now readable|writable
//!   then  the next poll would not wait
//! - nothing is new to the kernel; the bit stayed, and so did the place in the queue
//!   poll  0 events
//!   ready socket: readable|writable
//!         on_data of 8 bytes; now readable|writable
//!   then  the next poll would not wait
//! ...
//! Stopped by choice: on_data pauses
//! - the peer has sent 18 bytes
//!   poll  1 events
//!   ready socket: readable|writable
//!         on_data of 8 bytes; now readable|writable
//!   then  the next poll may wait
//! ...
//! - the peer ends its side: that is seen, not read
//!   poll  1 events
//!   ready socket: readable|writable|read_closed
//!   then  the next poll may wait
//!         peer_state is Ended
//! - resume: no system call, a place in the queue
//!   poll  0 events
//!   ready socket: readable|writable|read_closed
//!         on_data of 8 bytes; now readable|writable|read_closed
//!   then  the next poll would not wait
//! - the rest, and the end
//!   poll  0 events
//!   ready socket: readable|writable|read_closed
//!         on_data of 2 bytes; now readable|writable|read_closed
//!         on_end; now readable|writable|read_closed
//! ...
//! ```
//!
//! The kernel reports the bytes once; the loop remembers the rest:
//!
//! ```
//! # use std::{cell::RefCell, io::Write, net::TcpStream, rc::Rc, time::Duration};
//! use tidegate::prelude::*;
//! let mut lp = Loop::builder().read_budget(8).build()?;
//! let read = Rc::new(RefCell::new(Vec::new()));
//! let sizes = read.clone();
//! let server = lp.listen("127.0.0.1:0", move |conn| {
//!     let sizes = sizes.clone();
//!     conn.accept(On::new().data(move |_, chunk| sizes.borrow_mut().push(chunk.len())));
//! })?;
//! let mut peer = TcpStream::connect(lp.server(server).local_addr()?)?;
//! peer.write_all(b"high water at noon")?;
//! lp.run_once()?;
//! assert_eq!(*read.borrow(), [8]);
//! assert_eq!(lp.backend_timeout(), Some(Duration::ZERO)); // the next poll does not wait
//!
//! let events = lp.metrics().events;
//! lp.run_once()?;
//! lp.run_once()?;
//! assert_eq!(*read.borrow(), [8, 8, 2]);
//! assert_eq!(lp.metrics().events, events); // and the kernel has said nothing more
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Sources of your own
//!
//! [`Cx::watch`](crate::Cx::watch) does the same for any source. Its callback does its I/O through
//! [`ReadyGuard`](crate::event::ReadyGuard), which keeps the bits correct. If a callback stops
//! before `EWOULDBLOCK`, its bit stays set and it is called again, as with libuv's poll handles.
//!
//! # Listeners on Linux
//!
//! On Linux listeners are level-triggered. Accepting until `EWOULDBLOCK` costs a failing `accept4`
//! for each connection that comes alone. With a level the loop may stop early, because the kernel
//! reports the listener again: [`accept`](super::accept).
//!
//! # What goes wrong in practice
//!
//! - **A connection falls silent** in a hand-written edge-triggered loop that stopped before
//!   `EWOULDBLOCK`. In tidegate this cannot happen, neither by a budget nor by a pause.
//! - **One fast peer starves the others**: it is always ready. `read_budget` (1 MiB) stops it,
//!   and it is queued behind them.
//! - **`on_end` does not come** while reading is paused: the bytes before it were not read.
//!   [`peer_state`](crate::net::SocketCx::peer_state) shows the end all the same.
//! - **Spurious readiness**: a poller may report a socket that has nothing. The read then returns
//!   `EWOULDBLOCK`, the bit is cleared, and no callback is called.
#![forbid(unsafe_code)]
