//! Time-outs: the four deadlines of a connection, and what else is called a time-out.
//!
//! # Four deadlines
//!
//! ```text
//!  connect()      connected                                 an end             closed
//!     |               |                                        |                  |
//!     |- connect_timeout ->                                    |                  |
//!     |               |- idle_timeout ->                       |                  |
//!     |               |       byte: |- idle_timeout ->         |                  |
//!     |               |                                        |- linger_timeout ->
//!     |               |- lifetime ------------------------------------------------>
//! ```
//!
//! | option | counts from | when it passes | set later by |
//! |---|---|---|---|
//! | [`connect_timeout`](crate::net::ConnectOptions::connect_timeout) | `connect`; includes the lookup and all attempts | closed | - |
//! | [`idle_timeout`](crate::net::ListenOptions::idle_timeout) | the last byte, either way | [`on_timeout`](crate::net::Handler::on_timeout), which closes unless overridden | [`set_idle_timeout`](crate::net::SocketCx::set_idle_timeout) |
//! | [`lifetime`](crate::net::ListenOptions::lifetime) | accepted or connected | closed, even if bytes move | [`set_lifetime`](crate::net::SocketCx::set_lifetime) |
//! | [`linger_timeout`](crate::net::ListenOptions::linger_timeout) | an end of either side, and the last byte after it | closed | [`set_linger_timeout`](crate::net::SocketCx::set_linger_timeout) |
//!
//! By default none is set: a connection may be silent for ever. All of them end in
//! [`Reason::TimedOut`](crate::net::Reason::TimedOut), which names the deadline that passed:
//!
//! ```text
//! cargo run --release --example refused_reset_timeout
//!
//! ...
//! Timed out while connecting
//!     seen:  connect to 127.0.0.1:52259 timed out after 50.5 ms (from 127.0.0.1:55976; connect timeout)
//!     means: nobody answered at all: a filter that drops, a host that is down, a queue that is full.
//! ...
//! Silence
//!     seen:  connection with 127.0.0.1:44517 timed out after 50.6 ms (from 127.0.0.1:57252; idle timeout)
//!     means: the connection stands, and no byte comes. TCP alone would wait for ever.
//!
//! The peer never ends its side
//!     seen:  connection with 127.0.0.1:42537 timed out after 51.3 ms (from 127.0.0.1:39446; linger timeout)
//!     means: ours is ended, the peer's is not: half-open. A linger timeout closes it.
//! ...
//! ```
//!
//! # How the loop checks them
//!
//! A read or a write only notes the time. A heap of the loop has at most one live entry for each
//! connection, and one timer runs for the earliest entry. When an entry comes up, the loop checks
//! the connection:
//!
//! ```text
//!   timers phase          next turn                    the phase after
//!   entry comes up --> bytes moved since? --yes--> put back for later
//!                         | no
//!                         v
//!                      one more read is tried, in the ready pass: was the LOOP late?
//!                         | still silent
//!                         v
//!                      timers phase: due  ---------> pending phase: on_timeout, or closed
//! ```
//!
//! - A deadline is never early. It is rounded up to milliseconds; a deadline of more than 49 days
//!   never comes.
//! - A loop that was held up does not close a healthy connection: it first reads the bytes that
//!   came meanwhile. It also checks a connect once more.
//! - On a paused connection the loop does not try that read: its idle time passes even if bytes
//!   wait.
//! - `on_timeout` is called once, and again only after bytes have moved.
//! - No deadline keeps the loop alive.
//!
//! # Deciding yourself
//!
//! ```
//! use std::time::Duration;
//! use tidegate::net::Timeout;
//! use tidegate::prelude::*;
//!
//! /// Asks once, and then gives up.
//! struct Patient {
//!     asked: bool,
//! }
//! impl Handler for Patient {
//!     fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
//!         assert_eq!(s.cx().phase(), tidegate::Phase::Pending);
//!         if self.asked {
//!             return s.time_out(); // what the default does
//!         }
//!         self.asked = true;
//!         let _ = s.write(b"still there?\n"); // a byte moved: it counts anew
//!     }
//!     fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
//!         assert!(matches!(close.reason, Reason::TimedOut(Timeout::Idle, _)), "{close}");
//!         assert_eq!(close.bytes_written, 13);
//!     }
//! }
//!
//! let silent = std::net::TcpListener::bind("127.0.0.1:0")?; // connects, and that is all
//! let mut lp = Loop::new()?;
//! let to = ConnectOptions::new(silent.local_addr()?).idle_timeout(Duration::from_millis(5));
//! lp.connect(to, Patient { asked: false });
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! For a deadline of your protocol (a whole request within 30 s) an idle timeout is the wrong tool:
//! each byte restarts it. Start a timer of the connection at the first byte
//! ([`set_timer`](crate::net::SocketCx::set_timer)), close it in
//! [`on_timer`](crate::net::Handler::on_timer), and clear it when the request is complete; or use
//! `lifetime`. Such timers go away with their connection.
//!
//! ```
//! use std::io::{Error, ErrorKind};
//! use std::time::Duration;
//! use tidegate::net::Lines;
//! use tidegate::prelude::*;
//!
//! const REQUEST: u64 = 1;
//!
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |mut conn| {
//!     conn.server(conn.server_key()).close().unwrap();
//!     let one_line = On::new()
//!         .timer(|s, _| s.destroy_with(Error::new(ErrorKind::TimedOut, "no whole request")))
//!         .close(|_, close| println!("{close}"))
//!         .framed(Lines::new(1024), |s, line| {
//!             s.clear_timer(REQUEST);
//!             s.end_with(line)
//!         });
//!     conn.accept(one_line).set_timer(REQUEST, Duration::from_millis(20));
//! })?;
//! let at = lp.server(server).local_addr()?;
//! let slow = lp.connect(at, On::new());
//! let _ = lp.socket(slow).write("half a li");
//! lp.run()?; // "... failed after 20.1 ms: no whole request"
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What else is called a time-out
//!
//! | name | whose | what it means | here |
//! |---|---|---|---|
//! | SYN retries | the kernel's, about 2 minutes on Linux (`tcp_syn_retries`, tcp(7)) | nobody answers the SYN | `ETIMEDOUT` at stage `connect`; `connect_timeout` is earlier |
//! | retransmission | the kernel's, some 15 minutes (`tcp_retries2`) | our bytes are not acknowledged | `ETIMEDOUT`, as a rule at stage `read`; `TCP_USER_TIMEOUT` by [`socket_option`](crate::net::SocketCx::socket_option) |
//! | keep-alive | the kernel's probes, if [`keep_alive`](crate::net::ListenOptions::keep_alive) is set | the peer's *host* is gone | `ETIMEDOUT` at stage `read` |
//! | attempt delay | [`attempt_delay`](crate::net::ConnectOptions::attempt_delay), 250 ms (RFC 8305) | the next address of a name starts beside this one | nothing ends |
//! | attempt timeout | [`attempt_timeout`](crate::net::ConnectOptions::attempt_timeout), 5 s | [`attempts_at_once`](crate::net::ConnectOptions::attempts_at_once) are under way, none has answered, and another address waits | the oldest attempt ends, listed as `TimedOut`; the connect goes on |
//! | grace | [`ServerCx::shutdown`](crate::net::ServerCx::shutdown) | the grace of the shutdown is over | `TimedOut(Lifetime)` |
//! | back-off | the server's, 50 ms | there were no descriptors | accepting is tried again |
//! | TIME_WAIT | the kernel's, 60 s on Linux (RFC 9293, 3.6) | the side that closed first keeps the port pair | does not keep a server from its port: [`options`](super::options) |
//!
//! Keep-alive asks the peer's kernel; an idle timeout waits for the peer's program. The kernel of a
//! program that hangs still answers every probe; only an answer in your protocol shows that the
//! program works.
//!
//! # What goes wrong in practice
//!
//! - **A middle box forgets idle connections** (NAT, firewalls, load balancers: often after some
//!   minutes) and does not report it. The next write is lost silently, and fails much later. Use an
//!   idle timeout shorter than the middle box's limit, or keep-alive with `idle` below that limit.
//! - **Both sides have the same idle timeout**: one closes in the moment in which the other
//!   sends. The one that opens connections should have the shorter one.
//! - **A half-closed connection stays for ever**: the peer read our end, and never ended.
//!   `linger_timeout` is for that; an idle timeout works as well.
//! - **Everything times out at once**: the loop was held up. See the turn lengths in
//!   [`Metrics`](crate::metrics::Metrics), not the network.
#![forbid(unsafe_code)]
