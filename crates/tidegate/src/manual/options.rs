//! Options, and when they apply.
//!
//! # The order is the kernel's
//!
//! A socket goes through states, and most options must be there before the next one. If they are
//! set too late, the kernel accepts them without any effect. So you give all of them at the
//! beginning, in one value, and tidegate applies them in this order:
//!
//! ```text
//!  LISTEN   socket -> reuse_address   -> bind -> listen  -> accept -> per connection
//!                     reuse_port                 (backlog)            (where it does not
//!                     ipv6_only                                        inherit: buffers,
//!                     buffers, no_delay,                               no_delay, keep_alive)
//!                     keep_alive,
//!                     defer_accept
//!
//!  CONNECT  socket -> buffers, no_delay -> bind            -> connect
//!                     keep_alive           (local_address,    once for each
//!                                           local_port)       address of the name
//! ```
//!
//! Buffers before `listen` or `connect`, because the window that the handshake offers depends
//! on them: tcp(7). On Linux accepted sockets inherit these options from their listener, so they
//! cost no call per connection.
//!
//! # Of a server: [`ListenOptions`](crate::net::ListenOptions)
//!
//! | option | default | applies | on |
//! |---|---|---|---|
//! | `SO_REUSEADDR` | on (not on Windows) | before bind | TCP |
//! | [`reuse_port`](crate::net::ListenOptions::reuse_port) | off | before bind | TCP, where there is one |
//! | [`ipv6_only`](crate::net::ListenOptions::ipv6_only) | off without a host, else the system's | before bind | IPv6 |
//! | [`defer_accept`](crate::net::ListenOptions::defer_accept) | off | before bind | TCP on Linux |
//! | [`backlog`](crate::net::ListenOptions::backlog) | 511 | listen | all but a socket that listens already |
//! | [`mode`](crate::net::ListenOptions::mode) of the file | the umask's | before listen | Unix domain sockets |
//! | [`accept_budget`](crate::net::ListenOptions::accept_budget) | the loop's, 64 | each turn | all |
//! | [`max_connections`](crate::net::ListenOptions::max_connections), later [`ServerCx::set_max_connections`](crate::net::ServerCx::set_max_connections) | none | each accept | all |
//! | [`block_list`](crate::net::ListenOptions::block_list) | none | each accept | TCP |
//! | [`out_of_descriptors`](crate::net::ListenOptions::out_of_descriptors) | hold | when accept fails | all |
//! | [`pause_on_connect`](crate::net::ListenOptions::pause_on_connect) | off | before `on_connection` | all |
//!
//! # Of a client: [`ConnectOptions`](crate::net::ConnectOptions)
//!
//! | option | default | applies |
//! |---|---|---|
//! | [`lookup`](crate::net::ConnectOptions::lookup) | the system's | if the host is a name |
//! | [`family`](crate::net::ConnectOptions::family) | any | to what the lookup found |
//! | [`attempt_delay`](crate::net::ConnectOptions::attempt_delay) | 250 ms | between two addresses of a name |
//! | [`max_addresses`](crate::net::ConnectOptions::max_addresses) | 16 | to what the lookup found, the families in turns |
//! | [`attempts_at_once`](crate::net::ConnectOptions::attempts_at_once) | 4 | while addresses wait for their turn |
//! | [`attempt_timeout`](crate::net::ConnectOptions::attempt_timeout) | 5 s | to the oldest attempt, if all places are taken and an address waits |
//! | [`block_list`](crate::net::ConnectOptions::block_list) | none | to each attempt |
//! | [`local_address`](crate::net::ConnectOptions::local_address), [`local_port`](crate::net::ConnectOptions::local_port) | the system's choice | before connect |
//! | [`connect_timeout`](crate::net::ConnectOptions::connect_timeout) | none | from `connect` to `on_connect` |
//!
//! # Of a connection, on either side
//!
//! [`AdoptOptions`](crate::net::AdoptOptions) have these options, too, for a connection that exists
//! already. Those that the handshake needs come too late there.
//!
//! | option | default | applies | later |
//! |---|---|---|---|
//! | [`no_delay`](crate::net::ListenOptions::no_delay) | off | from the first byte | [`set_no_delay`](crate::net::SocketCx::set_no_delay) |
//! | [`keep_alive`](crate::net::ListenOptions::keep_alive) | none | from the first byte | [`set_keep_alive`](crate::net::SocketCx::set_keep_alive) |
//! | [`recv_buffer`](crate::net::ListenOptions::recv_buffer), [`send_buffer`](crate::net::ListenOptions::send_buffer) | the system's, which adapts | the handshake | [`set_buffer_sizes`](crate::net::SocketCx::set_buffer_sizes), too late for the window's scale |
//! | [`allow_half_open`](crate::net::ListenOptions::allow_half_open) | off | at the peer's end | - |
//! | [`high_water_mark`](crate::net::ListenOptions::high_water_mark) | 64 KiB | each write | - |
//! | [`write_limit`](crate::net::ListenOptions::write_limit) | the loop's, 64 MiB | each write | - |
//! | idle, lifetime, linger | none | see [`timeouts`](super::timeouts) | `set_...` |
//! | the type of service | the system's | - | [`set_tos`](crate::net::SocketCx::set_tos) |
//! | anything else | | | [`socket_option`](crate::net::SocketCx::socket_option) |
//!
//! # Never ignored
//!
//! An option that the system does not have, or that has no meaning there, is an error. `listen`
//! returns it at once; of a `connect` it comes with `on_close`, as all errors of a `connect`.
//!
//! ```
//! use std::io;
//! use tidegate::net::{TcpKeepAlive, ListenError};
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//!
//! let wrong = ListenOptions::new("127.0.0.1:0").ipv6_only(true);
//! let e = lp.listen(wrong, |conn| conn.reject()).unwrap_err();
//! assert_eq!(e.to_string(), "bind on 127.0.0.1:0 failed: ipv6_only is for IPv6 addresses");
//!
//! let listening = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let late = ListenOptions::from(listening).reuse_port(true);
//! let e = lp.listen(late, |conn| conn.reject()).unwrap_err();
//! assert!(e.to_string().contains("reuse_port does not apply to a socket that listens already"));
//!
//! // What is set is there from the first byte on.
//! let options = ListenOptions::new("127.0.0.1:0").no_delay(true).keep_alive(TcpKeepAlive::default());
//! let server = lp.listen(options, |mut conn| {
//!     conn.server(conn.server_key()).close().unwrap();
//!     let mut s = conn.accept(On::new());
//!     assert!(s.socket_option(|socket| socket.tcp_nodelay()).unwrap());
//!     assert!(s.socket_option(|socket| socket.keepalive()).unwrap());
//!     s.end();
//! })?;
//! let at = lp.server(server).local_addr()?;
//! lp.connect(at, On::new());
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # A port that is taken
//!
//! Two options with nearly the same name do different things. `SO_REUSEADDR`, on by default, lets a
//! server take a port on which only *closed* connections are left (TIME_WAIT: 60 s on Linux). It
//! never takes a port from a server that listens. `reuse_port` lets several servers listen at once,
//! if all of them set it, and the kernel distributes the connections: socket(7). On Windows
//! `SO_REUSEADDR` would steal the port from another server, so tidegate does not set it there.
//!
//! ```text
//! cargo run --release --example restart
//!
//! the first server
//!   a client got "answer"
//! it is gone; 1 of its connections are in TIME_WAIT
//! the second server, on the same port, at once
//!   a client got "answer"
//! it served after 418.745µs: SO_REUSEADDR is set by default
//!
//! while a server listens, another cannot take its port:
//!   bind on 127.0.0.1:34747 failed: address already in use (EADDRINUSE)
//! unless both say reuse_port:
//!   the first listens on 127.0.0.1:34747
//!   the second listens on 127.0.0.1:34747
//! ```
//!
//! # What goes wrong in practice
//!
//! - **Small messages take 40 ms**: two small writes in a row, Nagle's algorithm (RFC 9293,
//!   3.7.4) holds the second until the first is acknowledged, and the peer delays its
//!   acknowledgement. Write once ([`cork`](crate::net::SocketCx::cork)), or set `no_delay`.
//! - **A large buffer makes it slower**: the kernel no longer adapts a size that you set. Measure
//!   before you set one. Linux sets aside twice what you ask for, and no more than
//!   `net.core.rmem_max` allows: socket(7).
//! - **Dead peers are noticed after two hours**: that is the system's default for keep-alive.
//!   tidegate's default, if you turn it on, is 60 s, and then 10 probes 1 s apart.
//! - **"address already in use" after a restart**: another process *listens* on the port. `ss
//!   -ltnp` shows which.
//! - **IPv4 clients are refused**: the server listens on an IPv6 address with `ipv6_only`, or that
//!   is the system's default. Leave the host out: `":80"` accepts both.
#![forbid(unsafe_code)]
