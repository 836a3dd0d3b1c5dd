//! The request path: one connection, from the lookup to the last `on_close`.
//!
//! # Who does what
//!
//! The kernel does most of the work of a connection. Your callbacks are where the connection enters
//! your process. Each callback comes after the event that it reports.
//!
//! ```text
//!  client program   client's kernel               server's kernel       server program
//!  --------------   ---------------               ---------------       --------------
//!                                                 SYN queue,         <- listen
//!  connect(name)                                  accept queue
//!   lookup, on a thread
//!   an attempt   -> SYN ------------------------> half-open
//!                   SYN-ACK <-------------------- answers
//!  on_connect    <- connected: ACK -------------> into the accept queue
//!                                                 readable           -> accept: on_connection
//!  write         -> send buffer ------- bytes --> receive buffer
//!                                                 readable           -> read: on_data
//!                   receive buffer <--- bytes --- send buffer        <- write
//!  on_data: read <- readable
//!  end           -> FIN ------------------------> read_closed        -> read of 0: on_end
//!  on_finish
//!  on_end        <- read_closed <---------------- FIN                <- end
//!  on_close                                                             on_finish, on_close
//! ```
//!
//! The handshake needs no process: RFC 9293, 3.5, and listen(2). So `on_connect` means that the
//! server's *kernel* has our connection in its queue. It does not mean that the server's program
//! has accepted it; only an answer shows that.
//!
//! ```
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
//! let at = lp.server(server).local_addr()?;
//!
//! // The loop has not run yet, and this client is connected all the same.
//! let client = std::net::TcpStream::connect(at)?;
//! assert_eq!(client.peer_addr()?, at);
//! assert_eq!(lp.server(server).stats()?.accepted, 0);
//! lp.run_nowait()?;
//! assert_eq!(lp.server(server).stats()?.accepted, 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Step by step
//!
//! | step | done by | what it costs here | you see |
//! |---|---|---|---|
//! | text to address | `connect`, at once | nothing | - |
//! | name to addresses | a thread of the loop, or your own [`ConnectOptions::lookup`](crate::net::ConnectOptions::lookup) | a job, and a post back | an [observer](crate::observe::Observer) sees it |
//! | attempts | `connect.rs`, in the order of RFC 8305 | a socket and its registration, for each | an observer sees each |
//! | handshake | the kernels | one round trip | - |
//! | connected | poll says writable, no error waits, there is a peer | 2 calls | [`on_connect`](crate::net::Handler::on_connect) |
//! | accepted | the server's turn in the ready pass | `accept4` | [`on_connection`](crate::net::ServerHandler::on_connection) |
//! | bytes out | [`write`](crate::net::SocketCx::write): the kernel first | one `write` | [`Flow`](crate::net::Flow) |
//! | bytes in | the connection's turn in the ready pass | one `read` | [`on_data`](crate::net::Handler::on_data) |
//! | the peer's end | a read of 0 bytes | one `read` | [`on_end`](crate::net::Handler::on_end) |
//! | our end | [`end`](crate::net::SocketCx::end), after what is queued | `shutdown`, or the `close` that comes anyway | [`on_finish`](crate::net::Handler::on_finish) |
//! | over | both ended, or anything that went wrong | `close`, at once | [`on_close`](crate::net::Handler::on_close), in the closing phase |
//!
//! A new connection that sends at once, as a client of HTTP does, costs the server no poll of its
//! own: after `on_connection` the loop tries a first read in the same pass, as long as most of
//! these reads find bytes. A connection that is accepted, answered and closed in one callback is
//! never registered with the poller.
//!
//! # The same, timed
//!
//! Here both sides run in one loop with an observer. The table shows the microseconds, the turn and
//! the phase of each step, and the callback that it leads to. The client has only a name, so a
//! lookup comes first. It half-closes after the first answer, and the server then sends its last
//! bytes.
//!
//! ```text
//! cargo run --release --example request_path
//!
//! asked "is the gate open?", got "the tide is in, and out"; both sides ended
//!
//!       us  turn  phase    calls         | server                                   | client
//! ---------------------------------------+------------------------------------------+------------------------------------------
//!       91     0  outside                | listening      on 127.0.0.1:43795        |
//!      131     0  outside                |                                          | lookup start   localhost
//!      689     1  poll                   : polled         1 ready, after 480.1µs
//! ...
//!      701     1  ready                  |                                          | connect start  to 127.0.0.1:43795
//! ...
//!      798     2  poll                   : polled         2 ready, after 1.2µs
//!      806     2  ready    on_connection | accept         from 127.0.0.1:57276      |
//!      808     2  ready                  | closing                                  |
//!      868     2  ready    on_connect    |                                          | connect        to 127.0.0.1:43795 (765.0µs)
//!      888     2  ready                  |                                          | first write    17 B to 127.0.0.1:43795
//!      895     2  ready    on_data       | first read     17 B from 127.0.0.1:57276 |
//!      903     2  ready                  | first write    14 B to 127.0.0.1:57276   |
//! ...
//!      908     3  poll                   : polled         1 ready, after 741.0ns
//!      910     3  ready    on_data       |                                          | first read     14 B from 127.0.0.1:43795
//!      929     3  ready    on_finish     |                                          | finish         to 127.0.0.1:43795
//! ...
//!      936     4  poll                   : polled         2 ready, after 791.0ns
//!      937     4  ready    on_end        | end            from 127.0.0.1:57276      |
//!      965     4  ready    on_finish     | finish         to 127.0.0.1:57276        |
//!      967     4  closing  on_close      | close          both sides ended          |
//! ...
//!      975     5  ready    on_end        |                                          | end            from 127.0.0.1:43795
//! ...
//!      981     5  closing  on_close      |                                          | close          both sides ended
//! ...
//! ```
//!
//! The first poll waits for the thread that looks the name up. The whole connection then needs four
//! more polls, and none of them has to wait. Each finds what the kernel has done for both sides, so
//! `accept` and `connect` are in one turn, and so are the first bytes. With `-- --trace path.json`
//! the same run is a picture in <https://ui.perfetto.dev>.
//!
//! # The same, asserted
//!
//! This is the order in which the callbacks come, of a client that knows the address.
//!
//! ```
//! # thread_local! { static LOG: std::cell::RefCell<Vec<&'static str>> = const { std::cell::RefCell::new(Vec::new()) } }
//! # fn say(what: &'static str) { LOG.with_borrow_mut(|log| log.push(what)) }
//! # fn said() -> Vec<&'static str> { LOG.take() }
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |mut conn| {
//!     say("server: connection");
//!     conn.server(conn.server_key()).close().unwrap(); // one connection is all it takes
//!     let on = On::new()
//!         .data(|s, _| {
//!             say("server: data");
//!             let _ = s.end_with("the tide is in");
//!         })
//!         .end(|_| say("server: end"))
//!         .close(|_, _| say("server: close"));
//!     conn.accept(on);
//! })?;
//! let at = lp.server(server).local_addr()?;
//! let on = On::new()
//!     .connect(|s| {
//!         say("client: connect");
//!         let _ = s.write(b"is the gate open?");
//!     })
//!     .data(|_, _| say("client: data"))
//!     .end(|_| say("client: end")) // our side ends by itself then
//!     .close(|_, _| say("client: close"));
//! lp.connect(at, on);
//! lp.run()?;
//! let mut said = said();
//! said[..2].sort(); // one poll said both, in the poller's order
//! assert_eq!(said, [
//!     "client: connect", "server: connection",
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
//! and how long it had taken. The stage says where on the path to look:
//!
//! | the error says | it got as far as | look at |
//! |---|---|---|
//! | `lookup of ...` | no packet to the host yet | spelling; the resolver |
//! | `bind on ...` | no packet either: the error is about our own address | `local_address`, `local_port`; on a server, which process has the port |
//! | `connect to ...`, `ECONNREFUSED`, at once | the host answered: nobody listens there | port, and whether the server runs |
//! | `connect to ... timed out` | nobody answered | routes, filters that drop, a full accept queue ([`accept`](super::accept)) |
//! | connected, and no answer | the server's kernel | its accept queue, or its program: is its loop held up? |
//! | `read with ...`, `ECONNRESET` | an open connection | the peer's program: a crash, or a close with bytes unread ([`endings`](super::endings)) |
//! | `connection with ... timed out` | an open connection | silence: the deadlines in [`timeouts`](super::timeouts) |
#![forbid(unsafe_code)]
