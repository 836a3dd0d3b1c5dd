//! Accept and backlog: where connections wait before you see them, and which are refused.
//!
//! # Two queues of the kernel
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
//! The listener carries no bytes: each `accept4` makes a new socket. The kernel does the handshake.
//! After it the *client* is connected and may write; it cannot see the queue. So clients that
//! report "connected" and a server that counts fewer connections are both right: the difference
//! waits in the accept queue.
//!
//! Here the first client's callback sleeps for 200 ms. Nothing is accepted in that time, while 300
//! more clients connect, 25 at a time. `connected` is what the clients report. A second thread
//! reads the depth of the queue, and so does the loop at the end of each turn. The `accept_budget`
//! is 32:
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
//! [`backlog`](crate::net::ListenOptions::backlog) is how many connections may wait there; the
//! default is 511. On Linux the limit is the smaller of the backlog and `net.core.somaxconn` (4096;
//! 128 before Linux 5.4): listen(2). `ss -ltn` shows for a listening socket the depth of the queue
//! as `Recv-Q` and its limit as `Send-Q`.
//!
//! When the queue is full, clients get no answer. Linux ignores the last ACK of the handshake, and
//! further SYNs. The client tries again after a second, and then at growing intervals. It sees a
//! slow connect or a time-out, *not* a refusal. (With `net.ipv4.tcp_abort_on_overflow` it sees a
//! reset: tcp(7).) `nstat -az TcpExtListenOverflows` counts them. Here is a client of a listener
//! with a backlog of 0, after some other clients:
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
//! A longer backlog takes a longer burst. It does not help if the loop is too slow all the time:
//! then clients only wait longer, and give up while they are in the queue.
//!
//! # The accept loop
//!
//! The listener is a handle like any other. In its turn in the ready pass it takes connections from
//! the queue, one by one, and offers each to `on_connection`. A connection gets a slot and a key
//! when it is accepted, or when [`key`](crate::net::Incoming::key) asks for it; one that is
//! rejected never had any. The accept loop stops for one of these reasons:
//!
//! | [`BatchEnd`](crate::net::BatchEnd) | because | goes on |
//! |---|---|---|
//! | `Enough` | as many came as were expected (Linux) | when the kernel reports the listener again |
//! | `WouldBlock` | the queue was empty | when the kernel reports the listener again |
//! | `Budget` | `accept_budget` connections were taken (64) | in the next turn, which does not wait; counted as `carried_over` |
//! | `Full` | `max_connections` are open, and the policy is to hold | when one of them closes, or `set_max_connections` makes room |
//! | `Held` | no descriptor or no memory | when a connection of this loop closes, or after 50 ms |
//! | `Closed` | a callback closed or paused the server | after a pause: by `ServerCx::resume` |
//!
//! The number of accepts adapts. While connections come one at a time, the loop tries one accept,
//! because the failing `accept4` after it costs more than it finds. When there was time for a queue
//! to form, it tries the whole budget: when the server is new, when more than four events came at
//! once, or when the last poll was more than 250 us ago. On other systems it always tries the whole
//! budget. A budget of 1 is what libuv does since 1.45: the last connection of a queue then waits
//! for as many turns as there are connections before it.
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
//! # Which connections are refused, and by whom
//!
//! | what | the client sees | [`ServerStats`](crate::net::ServerStats) |
//! |---|---|---|
//! | nobody listens | `ECONNREFUSED`, at once | - |
//! | the accept queue is full | a slow connect, or a time-out | - (the kernel counts) |
//! | the peer closed before its connection was accepted, and the system reports that | - | `aborted` |
//! | [`block_list`](crate::net::ListenOptions::block_list) has it | connected, then an end | `blocked` |
//! | [`max_connections`](crate::net::ListenOptions::max_connections), [`Drop`](crate::net::AtLimit::Drop) | connected, then an end | `dropped`, and `on_overload` |
//! | the same, [`Hold`](crate::net::AtLimit::Hold) | connected, no answer yet | - |
//! | [`ServerCx::pause`](crate::net::ServerCx::pause) | connected, no answer yet | - |
//! | no descriptors, [`Hold`](crate::net::OutOfDescriptors::Hold) | connected, no answer yet | `held`, and `on_overload` |
//! | the same, [`Shed`](crate::net::OutOfDescriptors::Shed) | connected, then an end | `shed`, and `on_overload` |
//! | `on_connection` [rejects](crate::net::Incoming::reject) it, or does nothing | connected, then an end | `rejected` |
//! | [`ServerCx::close`](crate::net::ServerCx::close) while it waits | `ECONNRESET` | - |
//!
//! "Then an end" is a FIN if the client has sent nothing, and a reset if it has: closing a socket
//! with unread bytes sends a reset (RFC 1122, 4.2.2.13). Drop answers at once and costs an accept.
//! Hold is cheaper and lets clients wait for a place. In front of a load balancer, which tries
//! another server, prefer Drop.
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
//! | way | who distributes the connections | a loop that is held up |
//! |---|---|---|
//! | [`reuse_port`](crate::net::ListenOptions::reuse_port) on each: example `many_loops` | the kernel, by a hash of both addresses | the connections in its own queue wait |
//! | one loop accepts, and [detaches](crate::net::Incoming::detach) to others, which [adopt](crate::net::Net::adopt) | you | gets none, if you check for that |
//!
//! # What goes wrong in practice
//!
//! - **Clients time out, and the server is idle**: bursts are longer than the queue. Look at
//!   `ListenOverflows`; raise `somaxconn` *and* the backlog.
//! - **Clients time out, and the server is busy**: its turns are too long. `carried_over` grows,
//!   and [`turn_lengths`](crate::metrics::Metrics::turn_lengths) say how long a queue waits each time.
//! - **"Too many open files"**: raise `ulimit -n`. Until then the loop does not spin, and no
//!   connection is lost silently: `on_overload` is called, and logs if you do not override it.
//! - **A restart loses connections**: the connections in the queue are closed with the listener,
//!   also with `reuse_port`, where each listener has its own queue. Hand the listening socket over
//!   instead (example `activated`): then its queue stays.
#![forbid(unsafe_code)]
