//! Tuning accept: what each option of a listener gains and costs, measured.
//!
//! The tables were written by the report (`cargo run --release -p tidegate-bench -- report`), on
//! the machine that `BENCHMARKS.md` names. Your figures will differ; which option is better will
//! not. Where connections wait before you see them is in [`accept`](super::accept).
//!
//! # First find the bottleneck
//!
//! ```text
//!  clients say connected,      accept_queue().depth    turn_lengths p99     then look at
//!  and wait for an answer      against its limit       of Metrics
//!  ------------------------    --------------------    -----------------    ----------------------
//!  slow connects, of 1 s       at the limit            long                 the long callback, then
//!                                                                           accept_budget, backlog
//!  slow connects, of 1 s       at the limit, briefly   short                backlog
//!  slow first answers          deep, not full          long                 accept_budget; reuse_port
//!  slow answers for all        empty                   long                 your callbacks; reuse_port
//!  closed without an answer    empty                   short                max_connections,
//!                                                                           out_of_descriptors
//! ```
//! [`ServerCx::accept_queue`](crate::net::ServerCx::accept_queue) says how many connections wait in
//! the kernel and how many may; with [`ServerCx::accept_gauge`](crate::net::ServerCx::accept_gauge)
//! another thread can ask, also while the loop is inside a callback;
//! [`turn_lengths`](crate::metrics::Metrics::turn_lengths) says how long it was from poll to poll;
//! [`ServerCx::stats`](crate::net::ServerCx::stats) counts what was carried over, dropped or shed.
//! The example `accept_pressure` shows such a queue grow and drain.
//!
//! # `accept_budget`: new clients or old ones
//!
//! [`accept_budget`](crate::net::ListenOptions::accept_budget) is how many connections one turn
//! takes; the default is 64. The rest is carried over, and the next poll does not wait. The budget
//! decides between two kinds of clients: new ones, and connected ones that wait for the turn to
//! end.
//!
#![doc = include_str!("../../../../docs/tuning/accept_budget.md")]
//!
//! - A loop whose turns are short needs no tuning: the queue is empty again before it matters.
//! - If turns are long and new clients should not wait, raise it. One accept in each turn, as in
//!   libuv since 1.45, takes a thousand connections a second if a turn takes 1 ms.
//! - If the first callback of a connection is expensive, and connected clients should not wait for
//!   it, lower it.
//!
//! The budget is per turn, not per second. To limit the rate, use
//! [`ServerCx::pause`](crate::net::ServerCx::pause) and a timer.
//!
//! # `backlog`: how long a burst may be
//!
//! [`backlog`](crate::net::ListenOptions::backlog) is how many connections may wait in the kernel;
//! the default is 511, and `net.core.somaxconn` is the maximum. It has to hold the connections that
//! come during the longest turn: their rate times its length.
//!
#![doc = include_str!("../../../../docs/tuning/backlog.md")]
//!
//! The jump to a second is the client's first retransmitted SYN (RFC 6298, 2.1): nothing on your
//! side makes that faster. `nstat -az TcpExtListenOverflows` counts such connections. A longer
//! backlog does not help a loop that is too slow all the time: clients only wait longer.
//!
//! # `reuse_port`: more loops
//!
//! With [`reuse_port`](crate::net::ListenOptions::reuse_port) each loop, in its own thread or
//! process, has a listener and a queue of its own on the same port. The kernel chooses by a hash of
//! the addresses, and does not change its choice: a connection in the queue of a busy loop waits
//! there while another loop is idle, and is reset if that listener closes (socket(7),
//! `SO_REUSEPORT`).
//!
#![doc = include_str!("../../../../docs/tuning/reuse_port.md")]
//!
//! If some connections cost much more than others, accept them all in one loop and hand them on:
//! [`detach`](crate::net::Incoming::detach) and [`adopt`](crate::net::Net::adopt). The example
//! `many_loops` has a loop for each core on one port.
//!
//! # `defer_accept`: one wake-up instead of two
//!
//! With [`defer_accept`](crate::net::ListenOptions::defer_accept) (`TCP_DEFER_ACCEPT`, tcp(7)) the
//! kernel keeps a connection back until its first bytes are there, or about that time has passed.
//! It is for protocols in which the client speaks first.
//!
#![doc = include_str!("../../../../docs/tuning/defer_accept.md")]
//!
//! Fewer turns do not always mean less work or an earlier answer: the kernel finishes the
//! connection only when the bytes come, and they wait for that. Measure it with your clients.
//!
//! You do not see clients that connect and send nothing, so their [`idle_timeout`] starts later. A
//! server that sends first would wait for a client that waits for the server. Without
//! `defer_accept` a connection whose request is there already is answered in the turn that accepted
//! it: the loop tries the first read at once, as long as most of these reads find bytes.
//!
//! # `max_connections`: hold or drop
//!
//! [`max_connections`](crate::net::ListenOptions::max_connections) limits the open connections, and
//! with them memory and descriptors. Beyond it:
//!
#![doc = include_str!("../../../../docs/tuning/max_connections.md")]
//!
//! - [`Drop`](crate::net::AtLimit::Drop) for clients that can go to another server, such as those
//!   behind a load balancer: they see the end at once. Each costs an `accept4` and a `close`.
//! - [`Hold`](crate::net::AtLimit::Hold) for clients that can wait: they wait in the backlog, and
//!   when that is full they retransmit their SYNs. The listener leaves the poller, so waiting costs
//!   the loop nothing.
//!
//! When there are no descriptors,
//! [`out_of_descriptors`](crate::net::ListenOptions::out_of_descriptors) is the same choice. With
//! `Drop`, and with either choice there, the loop calls
//! [`on_overload`](crate::net::ServerHandler::on_overload).
//!
//! # All together
//!
//! ```
//! use tidegate::net::AtLimit;
//! use tidegate::prelude::*;
//!
//! let mut lp = Loop::new()?;
//! let options = ListenOptions::new("127.0.0.1:0")
//!     .backlog(1024)
//!     .accept_budget(16)
//!     .max_connections(10_000, AtLimit::Hold);
//! let server = lp.listen(options, |conn| {
//!     conn.accept(On::new().data(|s, chunk| { let _ = s.write(chunk); }));
//! })?;
//! if let Some(limit) = lp.server(server).accept_queue()?.limit {
//!     println!("at most {limit} wait"); // less than 1024 where somaxconn is
//! }
//! assert_eq!(lp.server(server).stats()?.carried_over, 0);
//! # lp.server(server).close()?;
//! # lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`idle_timeout`]: crate::net::ListenOptions::idle_timeout
#![forbid(unsafe_code)]
