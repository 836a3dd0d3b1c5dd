//! The request path: one connection, from the lookup to the last `on_close`.
//!
//! # Who does what
//!
//! Most of a connection's life is the kernel's. Your callbacks are where it crosses into the
//! process, and each of them is late: what it tells of has happened before.
//!
//! ```text
//!  client                              the kernels                              server
//!                                                             listen: bind, queue made  |
//!  connect("host:80")                                                                   |
//!   | lookup: getaddrinfo on a thread                                                   |
//!   | attempt: socket, connect   ---- SYN ---------------->   half-open: SYN queue      |
//!   |                            <------------ SYN-ACK ----                             |
//!   | the kernel is connected    ---- ACK ---------------->   ACCEPT QUEUE, listener    |
//!   v                                                         is readable               |
//!  on_connect                                                  `-- accept -> on_connection
//!  write: the kernel takes it    ---- bytes -------------->   receive buffer            |
//!                                                              `-- read ---> on_data    |
//!   receive buffer               <------------- bytes -----   the kernel takes it: write|
//!  on_data <-- read --'                                                                 |
//!  end: after what is queued     ---- FIN ---------------->   read finds the end: on_end|
//!  on_finish                                                                            |
//!  on_end <-- read finds the end <--------------- FIN -----   end                       |
//!                                                             on_finish                 |
//!  on_close, in the closing phase                             on_close, closing phase   |
//! ```
//!
//! The handshake needs no process: RFC 9293, 3.5, and listen(2). So `on_connect` says that the
//! server's *kernel* has us in its queue. Whether the server's program ever looks there is
//! another matter; only an answer says so.
//!
//! ```
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
//! let at = lp.local_addr(server)?;
//!
//! // The loop has not run yet, and this client is connected all the same.
//! let client = std::net::TcpStream::connect(at)?;
//! assert_eq!(client.peer_addr()?, at);
//! assert_eq!(lp.server_stats(server)?.accepted, 0);
//! lp.run_nowait()?;
//! assert_eq!(lp.server_stats(server)?.accepted, 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Step by step
//!
//! | step | done by | what it costs here | you see |
//! |---|---|---|---|
//! | text to address | `connect`, at once | nothing | - |
//! | name to addresses | a thread of the loop's ([`ConnectOptions::lookup`](crate::net::ConnectOptions::lookup): you) | a job, and a post back | an [observer](crate::Observer) sees it |
//! | attempts | `connect.rs`, in the order of RFC 8305 | socket, connect, registration, for each | an observer sees each |
//! | handshake | the kernels | one round trip | - |
//! | connected | poll says writable, no error waits, there is a peer | 2 calls | [`on_connect`](crate::net::Handler::on_connect) |
//! | accepted | the server's turn in the ready pass | `accept4` | [`on_connection`](crate::net::ServerHandler::on_connection) |
//! | bytes out | [`write`](crate::net::SocketCx::write): the kernel first | one `write` | [`Flow`](crate::net::Flow) |
//! | bytes in | the connection's turn in the ready pass | one `read` | [`on_data`](crate::net::Handler::on_data) |
//! | the peer's end | a read of 0 bytes | one `read` | [`on_end`](crate::net::Handler::on_end) |
//! | our end | [`end`](crate::net::SocketCx::end), after what is queued | `shutdown`, or the `close` that comes anyway | [`on_finish`](crate::net::Handler::on_finish) |
//! | over | both ended, or anything that went wrong | `close`, at once | [`on_close`](crate::net::Handler::on_close), in the closing phase |
//!
//! A new connection that sends at once, as a client of HTTP does, costs the server no poll of
//! its own: after `on_connection` a first read is tried in the same pass, while that pays.
//! Accepted, answered and closed in one callback, it never meets the poller.
//!
//! # The same, asserted
//!
//! Both sides in one loop. This is the order in which the callbacks come; the example
//! `request_path` prints it as a timeline, with microseconds, turns and phases.
//!
//! ```
//! # use std::{cell::RefCell, rc::Rc};
//! use tidegate::prelude::*;
//! # let log = Rc::new(RefCell::new(Vec::new()));
//! # let say = |what: &'static str| { let log = log.clone(); move || log.borrow_mut().push(what) };
//! let mut lp = Loop::new()?;
//! # let (accepted, asked, ended, closed) = (say("server: connection"), say("server: data"), say("server: end"), say("server: close"));
//! let handlers = std::cell::Cell::new(Some((asked, ended, closed)));
//! let server = lp.listen("127.0.0.1:0", move |mut conn| {
//!     accepted();
//!     let server = conn.server();
//!     conn.close_server(server).unwrap(); // one connection is all it takes
//!     let (asked, ended, closed) = handlers.take().unwrap();
//!     conn.accept(
//!         On::new()
//!             .data(move |s, _| { asked(); let _ = s.end_with("the tide is in"); })
//!             .end(move |_| ended())
//!             .close(move |_, _| closed()),
//!     );
//! })?;
//! # let (connected, answered, ended, closed) = (say("client: connect"), say("client: data"), say("client: end"), say("client: close"));
//! let at = lp.local_addr(server)?;
//! let client = On::new()
//!     .connect(move |s| { connected(); let _ = s.write(b"is the gate open?"); })
//!     .data(move |_, _| answered())
//!     .end(move |_| ended())
//!     .close(move |_, _| closed());
//! lp.connect(at, client);
//! lp.run()?;
//! assert_eq!(*log.borrow(), [
//!     "server: connection", "client: connect", // one poll said both
//!     "server: data",
//!     "client: data", "client: end", "client: close",
//!     "server: end", "server: close",
//! ]);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Where it broke
//!
//! Each error has its [stage](crate::net::Stage), a code, both ends as far as they are known,
//! and the time since the connection was asked for. The stage says where on the path to look:
//!
//! | the error says | it got as far as | look at |
//! |---|---|---|
//! | `lookup of ...` | no packet to the host yet | spelling; the resolver |
//! | `bind on ...` | nor here: our own address | `local_address`, `local_port`; on a server, who has the port |
//! | `connect to ...`, `ECONNREFUSED`, at once | the host answered: nobody listens there | port, and whether the server runs |
//! | `connect to ... timed out` | nobody answered | routes, filters that drop, a full accept queue ([`accept`](super::accept)) |
//! | connected, and no answer | the server's kernel | its accept queue, or its program: is its loop held up? |
//! | `read with ...`, `ECONNRESET` | an open connection | the peer's program: a crash, or a close with bytes unread ([`endings`](super::endings)) |
//! | `connection with ... timed out` | an open connection | silence: the deadlines in [`timeouts`](super::timeouts) |
#![forbid(unsafe_code)]
