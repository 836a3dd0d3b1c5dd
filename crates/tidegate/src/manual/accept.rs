//! Accept and backlog: where connections wait before you see them, and who is refused.
//!
//! # Two queues before yours
//!
//! ```text
//!   SYN                 ACK                      accept4                on_connection
//!    |                   |                          |                        |
//!    v                   v                          v                        v
//!  +-----------+      +------------------------+      +--------------+      +-----------+
//!  | SYN queue | ---> | ACCEPT QUEUE           | ---> | a descriptor | ---> | accept,   |
//!  | half-open |      | connected, may already |      | on offer, no |      | reject,   |
//!  |           |      | hold bytes             |      | slot or key  |      | detach    |
//!  +-----------+      +------------------------+      +--------------+      +-----------+
//!   tcp_max_syn_       min(backlog, somaxconn)         accept_budget         yours, or
//!   backlog, cookies                                   for each turn         rejected
//!  `------------ the kernel's, per listener ---'      `------- the loop's, per turn -----'
//! ```
//!
//! The listener carries no bytes: each `accept4` makes a new socket. The handshake is the
//! kernel's work. When it is done the *client* is connected, may write, and knows nothing of
//! the queue. So clients that report "connected" and a server that
//! counts fewer connections are both right: the difference stands in the accept queue.
//!
//! Here the first client's callback sleeps for 200 ms, in which nothing is accepted, while 300
//! more connect, 25 at a time. `connected` is what the clients say; a second thread reads the
//! depth of the queue, and the loop does at the end of each turn, with an `accept_budget` of 32:
//!
//! ```text
//! cargo run --release --example accept_pressure
//!
//!     ms seen by  connected | in the kernel's queue                       | accepted   together
//! ...
//!   16.3 thread          26 |   25 of 512  ###                             |        1   = 26
//! ...
//!  195.5 thread         301 |  300 of 512  ##############################  |        1   = 301
//! ...
//!  201.5 turn 1         301 |  269 of 512  ###########################     |       32   = 301
//! ...
//!  209.3 turn 8         301 |   45 of 512  #####                           |      256   = 301
//! ...
//!  210.1 turn 10        301 |    0 of 512                                  |      301   = 301
//! ...
//! 300 clients were connected and waited in the kernel while a callback slept
//! 301 of 301 clients were answered, 0 lines were wrong
//! ```
//!
//! # The backlog
//!
//! [`backlog`](crate::net::ListenOptions::backlog) is how many may stand there; 511 unless you
//! say otherwise. On Linux the kernel takes the smaller of it and `net.core.somaxconn` (4096;
//! 128 before Linux 5.4): listen(2). `ss -ltn` shows both: of a listening socket, `Recv-Q` is
//! the depth now and `Send-Q` the limit.
//!
//! A full queue answers nobody. Linux ignores the last ACK of the handshake, and further SYNs;
//! the client tries again after a second, then ever more seldom, and sees a slow connect or a
//! time-out, *not* a refusal. (With `net.ipv4.tcp_abort_on_overflow` it sees a reset: tcp(7).)
//! `nstat -az TcpExtListenOverflows` counts them. Here is a listener with a backlog of 0, and
//! some clients before us:
//!
//! ```text
//! cargo run --release --example refused_reset_timeout
//!
//! ...
//! Timed out while connecting
//!     seen:  connect to 127.0.0.1:52259 timed out after 50.5 ms (from 127.0.0.1:55976; connect timeout)
//!     means: nobody answered at all: a filter that drops, a host that is down, a queue that is full.
//! ...
//! ```
//!
//! A longer backlog takes a longer burst. It helps nobody if the loop is too slow all the
//! time: then it only makes the wait longer, and clients give up while they stand in it.
//!
//! # The accept loop
//!
//! The listener is a handle like any other. Its turn in the ready pass takes connections from
//! the queue, one by one, and offers each to `on_connection`. One that is accepted gets a slot
//! and a key (or before, if [`key`](crate::net::Incoming::key) asks for it); one that is rejected
//! never had any. It stops when:
//!
//! | [`BatchEnd`](crate::net::BatchEnd) | because | goes on |
//! |---|---|---|
//! | `Enough` | one was expected and one came (Linux) | when the kernel says so again |
//! | `WouldBlock` | the queue was empty | when the kernel says so again |
//! | `Budget` | `accept_budget` were taken (64) | next turn, which does not wait; counted as `carried_over` |
//! | `Full` | `max_connections` are open, and the others are to wait | when one of them is over, or `set_max_connections` makes room |
//! | `Held` | no descriptor or no memory | when a connection of this loop closes, or after 50 ms |
//! | `Closed` | a callback closed or paused the server | if it was paused: by `ServerCx::resume` |
//!
//! How many it tries adapts: one, while connections come singly, since the failing `accept4`
//! after it would cost more than it can find; the whole budget, when there was time for a
//! queue to form (the server is new, more than four events came at once, the kernel was not
//! asked for 250 us). Elsewhere it is always the whole budget. With a budget of 1 it is what
//! libuv does since 1.45: the last of a queue then waits for as many turns as there are
//! connections before it.
//!
//! ```
//! # use std::net::TcpStream;
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//! let options = ListenOptions::new("127.0.0.1:0").accept_budget(2);
//! let server = lp.listen(options, |conn| { conn.accept(On::new()); })?;
//! let at = lp.server(server).local_addr()?;
//! let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(at)).collect::<Result<_, _>>()?;
//!
//! let mut accepted = Vec::new();
//! for _ in 0..3 {
//!     lp.run_once()?;
//!     accepted.push(lp.server(server).stats()?.accepted);
//! }
//! assert_eq!(accepted, [2, 4, 5]); // five are connected all the time
//! assert_eq!(lp.server(server).stats()?.carried_over, 2);
//! # drop(clients);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Who is refused, by whom
//!
//! | what | the client sees | [`ServerStats`](crate::net::ServerStats) |
//! |---|---|---|
//! | nobody listens | `ECONNREFUSED`, at once | - |
//! | the accept queue is full | a slow connect, or a time-out | - (the kernel counts) |
//! | the peer was gone before its turn, and the system says so | - | `aborted` |
//! | [`block_list`](crate::net::ListenOptions::block_list) has it | connected, then an end | `blocked` |
//! | [`max_connections`](crate::net::ListenOptions::max_connections), [`Drop`](crate::net::AtLimit::Drop) | connected, then an end | `dropped`, and `on_overload` |
//! | the same, [`Hold`](crate::net::AtLimit::Hold) | connected, no answer yet | - |
//! | [`ServerCx::pause`](crate::net::ServerCx::pause) | connected, no answer yet | - |
//! | no descriptors, [`Hold`](crate::net::OutOfDescriptors::Hold) | connected, no answer yet | `held`, and `on_overload` |
//! | the same, [`Shed`](crate::net::OutOfDescriptors::Shed) | connected, then an end | `shed`, and `on_overload` |
//! | `on_connection` [rejects](crate::net::Incoming::reject) it, or does nothing | connected, then an end | `rejected` |
//! | [`ServerCx::close`](crate::net::ServerCx::close) while it waits | `ECONNRESET` | - |
//!
//! "Then an end" is a FIN if the client has sent nothing, and a reset if it has: closing with
//! bytes unread is one (RFC 1122, 4.2.2.13). Drop answers at once and costs an accept; Hold is
//! cheaper and lets clients wait for a place. In front of a load balancer, which tries another
//! server, prefer Drop.
//!
//! ```
//! # use std::{io::Read, net::TcpStream};
//! use tidegate::net::AtLimit;
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//! let options = ListenOptions::new("127.0.0.1:0").max_connections(1, AtLimit::Drop);
//! let server = lp.listen(options, |conn| { conn.accept(On::new()); })?;
//! let at = lp.server(server).local_addr()?;
//! let (_first, mut second) = (TcpStream::connect(at)?, TcpStream::connect(at)?);
//! while lp.server(server).stats()?.accepted < 2 {
//!     lp.run_once()?;
//! }
//! assert_eq!(second.read(&mut [0])?, 0); // connected, and then an end
//! let stats = lp.server(server).stats()?;
//! assert_eq!((stats.connections, stats.dropped), (1, 1));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Several loops on one port
//!
//! | way | who shares the connections out | a loop that is held up |
//! |---|---|---|
//! | [`reuse_port`](crate::net::ListenOptions::reuse_port) on each: example `many_loops` | the kernel, by a hash of both ends | keeps those of its own queue waiting |
//! | one loop accepts, and [detaches](crate::net::Incoming::detach) to others, which [adopt](crate::net::Net::adopt) | you | gets none, if you look |
//!
//! # What goes wrong in practice
//!
//! - **Clients time out, and the server is idle**: bursts are longer than the queue. Look at
//!   `ListenOverflows`; raise `somaxconn` *and* the backlog.
//! - **Clients time out, and the server is busy**: its turns are too long. `carried_over` grows,
//!   and [`turn_lengths`](crate::metrics::Metrics::turn_lengths) say how long a queue waits each time.
//! - **"Too many open files"**: raise `ulimit -n`. Until then nothing spins and nobody is lost
//!   in silence: `on_overload` tells, and logs if nobody overrides it.
//! - **A restart loses connections**: those in the queue go with the listener, also under
//!   `reuse_port`, where each has a queue of its own. Hand the listening socket over instead
//!   (example `activated`): its queue goes with it.
#![forbid(unsafe_code)]
