//! Servers under measurement. Each is a thread of this process on the servers' core, and all are
//! started and stopped in the same way. What they do and how is in [`peer`].
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tidegate::net::ListenOptions;
use tidegate::tls::rustls::ServerConfig;

use crate::peer;
use crate::peer::contract::{BACKLOG, GO, HOLD, Mode, Options};
use crate::sys::{allocator, cores};

/// Which server it is.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A hand-written epoll loop. Its accept batch adapts, or has this size at most.
    Floor(Option<u32>),
    /// tidegate, listening with these options.
    Tidegate(Box<ListenOptions>),
    /// libuv, where it was built.
    Libuv,
    /// libuv, which receives many datagrams by one call: `UV_UDP_RECVMMSG`.
    LibuvMany,
    /// tidegate with a task for each connection: hyper, or an echo.
    Tasks,
    /// tokio on one thread, a task for each connection.
    Tokio,
    /// mio and rustls by hand: an echo with TLS.
    Rustls(Arc<ServerConfig>),
    /// mio and quinn-udp, which only send in bulk.
    Quinn,
}

impl Peer {
    /// tidegate with an accept budget; `None` is the default's.
    pub fn tidegate(budget: Option<u32>) -> Peer {
        let options = ListenOptions::new("127.0.0.1:0").backlog(BACKLOG);
        Peer::Tidegate(Box::new(match budget {
            Some(n) => options.accept_budget(n),
            None => options,
        }))
    }

    /// All peers, with their default options: tidegate, the floor, libuv if it was built, tokio.
    pub fn all() -> Vec<(&'static str, Peer)> {
        let mut all = vec![("tidegate", Peer::tidegate(None)), ("floor", Peer::Floor(None))];
        if cfg!(libuv) {
            all.push(("libuv", Peer::Libuv));
        }
        all.push(("tokio", Peer::Tokio));
        all
    }

    /// Those of [`all`](Peer::all), and libuv once more, with `UV_UDP_RECVMMSG`.
    pub fn of_datagrams() -> Vec<(&'static str, Peer)> {
        let mut all = Peer::all();
        if let Some(at) = all.iter().position(|(name, _)| *name == "libuv") {
            all.insert(at + 1, ("libuv recvmmsg", Peer::LibuvMany));
        }
        all
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    at: SocketAddr,
    thread: Option<JoinHandle<()>>,
    /// Orders; its end is the last one.
    control: Option<UnixStream>,
    turns: Arc<AtomicU64>,
}

impl Server {
    /// Starts one, and waits until it listens.
    pub fn start(peer: Peer, options: impl Into<Options>) -> Server {
        Server::start_on(cores::Core::Server, peer, options)
    }

    /// As [`start`](Server::start), on another core.
    pub fn start_on(core: cores::Core, peer: Peer, options: impl Into<Options>) -> Server {
        let options = options.into();
        let (control, theirs) = UnixStream::pair().expect("a pair of sockets");
        theirs.set_nonblocking(true).expect("a socket that does not block");
        let (tell, told) = mpsc::channel();
        let turns = Arc::new(AtomicU64::new(0));
        let seen = turns.clone();
        let thread = std::thread::spawn(move || {
            cores::pin(core);
            if options.counted {
                allocator::count_this_thread();
            }
            let listening = |at| tell.send(at).expect("somebody waits for the address");
            if let Peer::Tidegate(listen) = peer {
                return peer::tidegate::serve(*listen, &options, theirs, seen, listening);
            }
            if options.mode.is_datagrams() {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
                socket.set_nonblocking(true).expect("a socket that does not block");
                listening(socket.local_addr().expect("an address"));
                return match peer {
                    Peer::Tokio => peer::tokio::serve_datagrams(socket, theirs, options),
                    #[cfg(libuv)]
                    Peer::Libuv => peer::libuv::serve(socket, None, &theirs, &options, false),
                    #[cfg(libuv)]
                    Peer::LibuvMany => peer::libuv::serve(socket, None, &theirs, &options, true),
                    Peer::Quinn => peer::quinn::send_bulk(socket, &theirs, &options),
                    _ => peer::floor::serve_datagrams(&socket, &theirs, &options),
                };
            }
            let listener = listen(options.backlog);
            let at = listener.local_addr().expect("an address");
            let udp = (options.mode == Mode::Flooded).then(|| {
                let socket = UdpSocket::bind(at).expect("the port is free for datagrams, too");
                socket.set_nonblocking(true).expect("a socket that does not block");
                socket
            });
            listening(at);
            match peer {
                Peer::Floor(_) | Peer::Quinn if udp.is_some() => panic!("it keeps no timers"),
                Peer::Floor(budget) => peer::floor::serve(&listener, &theirs, &options, budget),
                Peer::Rustls(config) => {
                    listener.set_nonblocking(true).expect("a socket that does not block");
                    peer::rustls::serve(listener, theirs, config);
                }
                #[cfg(libuv)]
                Peer::Libuv => peer::libuv::serve(listener, udp, &theirs, &options, false),
                #[cfg(libuv)]
                Peer::LibuvMany => peer::libuv::serve(listener, udp, &theirs, &options, true),
                Peer::Tasks => peer::hyper::on_tidegate(listener, theirs, seen, &options),
                Peer::Tokio if options.mode == Mode::Hello => {
                    peer::hyper::on_tokio(listener, theirs)
                }
                Peer::Tokio => peer::tokio::serve(listener, udp, theirs, &options),
                Peer::Tidegate(_) => {}
                Peer::Quinn => panic!("it has no connections"),
                #[cfg(not(libuv))]
                Peer::Libuv | Peer::LibuvMany => panic!("libuv was not built"),
            }
        });
        let at = told.recv().expect("the server listens");
        Server { at, thread: Some(thread), control: Some(control), turns }
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        self.thread.as_ref().map_or(Duration::ZERO, cores::cpu)
    }

    fn order(&self, order: u8) {
        let mut control = self.control.as_ref().expect("a server that runs");
        control.write_all(&[order]).expect("the server takes orders");
    }

    /// Stops it: when this returns, it does nothing until [`go_on`](Server::go_on), as if a
    /// callback took long.
    pub fn hold(&self) {
        self.order(HOLD);
        let mut control = self.control.as_ref().expect("a server that runs");
        control.read_exact(&mut [0]).expect("the server answers");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.order(GO);
    }

    /// Turns of tidegate's loop until now.
    pub fn turns(&self) -> u64 {
        self.hold();
        self.go_on();
        self.turns.load(Ordering::Relaxed)
    }

    /// Waits until it does nothing more, so that its remaining work counts for the operations
    /// that caused it.
    pub fn settle(&self) {
        let end = Instant::now() + Duration::from_secs(5);
        let mut last = self.cpu();
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
            let now = self.cpu();
            if now - last < Duration::from_micros(20) {
                return;
            }
            last = now;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(!matches!(ended, Some(Err(_))), "a server panicked");
        }
    }
}

fn listen(backlog: u32) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).expect("a socket");
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&at.into()).expect("a free port");
    socket.listen(backlog as i32).expect("a listening socket");
    socket.into()
}
