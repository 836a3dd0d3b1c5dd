//! The client: one thread over epoll, the same for every server. Each function is one slice
//! of work; connections end with a reset, so that no port stays in TIME_WAIT.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::peer::contract::Stamps;
use crate::server::Server;
use crate::sys::cores;
use crate::sys::epoll::{self, Epoll, Events};

/// No server needs so long for anything here, in ms.
const STUCK: i32 = 10_000;
/// The size of a message of an echo.
pub const MESSAGE: usize = 64;

/// The result of a slice.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Operations done.
    pub ops: u64,
    /// How long they took.
    pub wall: Duration,
    /// What they cost the server, until it slept again.
    pub cpu: Duration,
    /// How long each took, in ns, where that is measured.
    pub latencies: Vec<f64>,
}

impl Slice {
    /// Wall time of one operation, in ns.
    pub fn wall_each(&self) -> f64 {
        self.wall.as_nanos() as f64 / self.ops as f64
    }

    /// CPU time of one, in ns.
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.ops as f64
    }
}

/// What a connection says before it is reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Talk {
    /// Nothing: the server closes.
    Nothing,
    /// The server writes a byte.
    Answer,
    /// It sends a message, and gets it back.
    Echo,
}

fn wait(epoll: &Epoll, events: &mut Events) -> usize {
    let n = epoll.wait(events, STUCK);
    assert!(n > 0, "the server is stuck");
    n
}

/// Closed loops: so many connections at once, each followed by the next, until the time is
/// over.
pub fn connections(server: &Server, at_once: usize, talk: Talk, during: Duration) -> Slice {
    let epoll = Epoll::new().expect("an epoll instance");
    let mut events = Events::with_capacity(1024);
    let mut open: Vec<Option<OwnedFd>> = (0..at_once).map(|_| None).collect();
    let mut buffer = [0; MESSAGE];
    let start = |n: usize| {
        let fd = epoll::connect(server.at()).expect("a connection");
        if talk == Talk::Echo {
            epoll::write(&fd, &[7; MESSAGE]).expect("the handshake is over on the loopback");
        }
        epoll.add(&fd, epoll::IN | epoll::END, n as u64).expect("it can be watched");
        fd
    };
    let (begin, cpu) = (Instant::now(), server.cpu());
    for (n, slot) in open.iter_mut().enumerate() {
        *slot = Some(start(n));
    }
    let (mut ops, mut live, mut over) = (0, at_once, false);
    while live > 0 {
        let n = wait(&epoll, &mut events);
        over = over || begin.elapsed() >= during;
        for i in 0..n {
            let slot = events.get(i).0 as usize;
            let Some(fd) = open[slot].take() else { continue };
            if talk != Talk::Nothing {
                let got = epoll::read(&fd, &mut buffer).expect("an answer");
                assert_eq!(got, if talk == Talk::Echo { MESSAGE } else { 1 });
            }
            drop(fd);
            ops += 1;
            if over {
                live -= 1;
            } else {
                open[slot] = Some(start(slot));
            }
        }
    }
    let wall = begin.elapsed();
    server.settle();
    Slice { ops, wall, cpu: server.cpu() - cpu, latencies: Vec::new() }
}

/// A request of HTTP, as small as clients send it.
pub const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: bench\r\n\r\n";

/// Sockets on which a message goes there and an answer back, again and again.
pub struct PingPong {
    epoll: Epoll,
    events: Events,
    open: Vec<OwnedFd>,
    message: &'static [u8],
    /// The length of each answer.
    answer: usize,
    /// When each client asked, in ns, if that is noted.
    asked: Option<Vec<u64>>,
}

impl PingPong {
    /// Opens so many, for a server that echoes.
    pub fn open(server: &Server, connections: usize) -> PingPong {
        PingPong::of(server, connections, &[7; MESSAGE], MESSAGE)
    }

    /// Opens so many, for a server of HTTP. All answers must have the length of the first.
    pub fn over_http(server: &Server, connections: usize) -> PingPong {
        let mut one = TcpStream::connect(server.at()).expect("a connection");
        one.write_all(REQUEST).expect("it is open");
        let mut buffer = [0; 1024];
        let answer = one.read(&mut buffer).expect("an answer");
        assert!(buffer[..answer].starts_with(b"HTTP/1.1 200 OK\r\n"), "the answer is whole");
        PingPong::of(server, connections, REQUEST, answer)
    }

    fn of(server: &Server, connections: usize, message: &'static [u8], answer: usize) -> PingPong {
        let epoll = Epoll::new().expect("an epoll instance");
        let open: Vec<OwnedFd> =
            (0..connections).map(|_| epoll::connect(server.at()).expect("a connection")).collect();
        for (n, fd) in open.iter().enumerate() {
            SockRef::from(fd).set_tcp_nodelay(true).expect("an option of TCP");
            epoll.add(fd, epoll::IN | epoll::EDGE, n as u64).expect("it can be watched");
        }
        server.settle();
        PingPong { epoll, events: Events::with_capacity(1024), open, message, answer, asked: None }
    }

    /// Opens so many UDP sockets that are connected to the server's, which answers with so many
    /// bytes.
    pub fn over_udp(server: &Server, sockets: usize, answer: usize) -> PingPong {
        let epoll = Epoll::new().expect("an epoll instance");
        let open = |n: usize| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            socket.connect(server.at()).expect("it can be connected");
            socket.set_nonblocking(true).expect("a socket that does not block");
            epoll.add(&socket, epoll::IN | epoll::EDGE, n as u64).expect("it can be watched");
            socket.into()
        };
        let open: Vec<OwnedFd> = (0..sockets).map(open).collect();
        server.settle();
        let (events, message) = (Events::with_capacity(1024), &[7; MESSAGE]);
        PingPong { epoll, events, open, message, answer, asked: None }
    }

    /// From now on each slice has the time of each answer.
    pub fn timed(mut self) -> PingPong {
        self.asked = Some(vec![0; self.open.len()]);
        self
    }

    fn send(&mut self, n: usize) {
        if let Some(asked) = &mut self.asked {
            asked[n] = cores::now();
        }
        let sent = epoll::write(&self.open[n], self.message).expect("a connection");
        assert_eq!(sent, self.message.len());
    }

    /// Until the time is over.
    pub fn slice(&mut self, server: &Server, during: Duration) -> Slice {
        let mut buffer = [0; 1024];
        let (begin, cpu) = (Instant::now(), server.cpu());
        let (mut ops, mut live, mut over) = (0, self.open.len(), false);
        let mut latencies = Vec::new();
        (0..live).for_each(|n| self.send(n));
        while live > 0 {
            let n = wait(&self.epoll, &mut self.events);
            over = over || begin.elapsed() >= during;
            for i in 0..n {
                let c = self.events.get(i).0 as usize;
                let got = epoll::read(&self.open[c], &mut buffer).expect("an answer");
                assert_eq!(got, self.answer, "small answers come whole");
                ops += 1;
                if let Some(asked) = &self.asked {
                    latencies.push((cores::now() - asked[c]) as f64);
                }
                if over {
                    live -= 1;
                } else {
                    self.send(c);
                }
            }
        }
        let wall = begin.elapsed();
        server.settle();
        Slice { ops, wall, cpu: server.cpu() - cpu, latencies }
    }
}

/// Sends so many bytes over new connections, until the server has read them all and closed.
/// An operation is a byte.
pub fn pump(server: &Server, connections: usize, bytes: usize) -> Slice {
    let chunk = vec![7; 64 * 1024];
    let epoll = Epoll::new().expect("an epoll instance");
    let mut events = Events::with_capacity(connections);
    let mut open: Vec<(Option<OwnedFd>, usize)> = (0..connections)
        .map(|_| (Some(epoll::connect(server.at()).expect("a connection")), bytes / connections))
        .collect();
    for (n, (fd, _)) in open.iter().enumerate() {
        let fd = fd.as_ref().expect("it was just opened");
        epoll.add(fd, epoll::IN | epoll::OUT, n as u64).expect("it can be watched");
    }
    server.settle();
    let (begin, cpu) = (Instant::now(), server.cpu());
    let mut live = connections;
    while live > 0 {
        for i in 0..wait(&epoll, &mut events) {
            let n = events.get(i).0 as usize;
            let (slot, left) = &mut open[n];
            let Some(fd) = slot.as_ref() else { continue };
            if *left == 0 {
                // All is sent; this is the server's end.
                *slot = None;
                live -= 1;
                continue;
            }
            // A few in a row, then the others.
            for _ in 0..8 {
                let Ok(taken) = epoll::write(fd, &chunk[..chunk.len().min(*left)]) else { break };
                *left -= taken;
                if *left == 0 {
                    SockRef::from(fd).shutdown(std::net::Shutdown::Write).expect("connected");
                    epoll.modify(fd, epoll::IN, n as u64).expect("it is watched");
                    break;
                }
            }
        }
    }
    let wall = begin.elapsed();
    server.settle();
    Slice {
        ops: (bytes / connections * connections) as u64,
        wall,
        cpu: server.cpu() - cpu,
        latencies: Vec::new(),
    }
}

/// Connects so many, while the server is held up.
fn queue(server: &Server, connections: usize) -> Vec<OwnedFd> {
    server.hold();
    let connect = |_| epoll::connect(server.at()).expect("a connection");
    let open = (0..connections).map(connect).collect();
    // What the kernel still does for the handshakes is not the server's.
    std::thread::sleep(Duration::from_millis(2));
    open
}

/// How long it waited, by its place in the queue, from when the server went on.
fn waited(stamps: &Stamps, began: u64) -> Vec<f64> {
    stamps.take().iter().map(|t| t.saturating_sub(began) as f64).collect()
}

/// Connects so many while the server is held up, lets it go on, and waits until each is
/// answered or closed; that is what `wall` tells.
pub fn drained(server: &Server, connections: usize, stamps: &Stamps) -> Slice {
    let epoll = Epoll::new().expect("an epoll instance");
    let mut events = Events::with_capacity(1024);
    let open = queue(server, connections);
    for (n, fd) in open.iter().enumerate() {
        let interest = epoll::IN | epoll::END | epoll::EDGE;
        epoll.add(fd, interest, n as u64).expect("it can be watched");
    }
    let (begin, began, cpu) = (Instant::now(), cores::now(), server.cpu());
    server.go_on();
    let mut answered = vec![false; connections];
    let mut left = connections;
    while left > 0 {
        // Nobody sleeps here, so the server pays for no wake-up.
        for i in 0..epoll.wait(&mut events, 0) {
            let seen = &mut answered[events.get(i).0 as usize];
            left -= usize::from(!*seen);
            *seen = true;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{left} wait for the server");
    }
    let wall = begin.elapsed();
    server.settle();
    let cpu = server.cpu() - cpu;
    drop(open);
    server.settle();
    Slice { ops: connections as u64, wall, cpu, latencies: waited(stamps, began) }
}

/// The same with a server that keeps its connections: `wall` ends with the last callback.
pub fn called(server: &Server, connections: usize, stamps: &Stamps) -> Slice {
    let open = queue(server, connections);
    let (begin, began, cpu) = (Instant::now(), cores::now(), server.cpu());
    server.go_on();
    while stamps.used() < connections {
        std::thread::sleep(Duration::from_micros(500));
        assert!(begin.elapsed() < Duration::from_secs(60), "the server is stuck");
    }
    let cpu = server.cpu() - cpu;
    let latencies = waited(stamps, began);
    drop(open);
    server.settle();
    let wall = Duration::from_nanos(latencies.last().copied().unwrap_or(0.0) as u64);
    Slice { ops: connections as u64, wall, cpu, latencies }
}

/// So many connections queue while the server is held up, then a message comes on one that
/// is established: how long, once the server goes on, until its echo is here. Again and
/// again; an operation is a round.
pub fn echo_behind(server: &Server, connections: usize, rounds: usize) -> Slice {
    let epoll = Epoll::new().expect("an epoll instance");
    let mut events = Events::with_capacity(4);
    let established = epoll::connect(server.at()).expect("a connection");
    SockRef::from(&established).set_tcp_nodelay(true).expect("an option of TCP");
    epoll.add(&established, epoll::IN, 0).expect("it can be watched");
    server.settle();
    let mut slice = Slice { ops: rounds as u64, ..Slice::default() };
    for _ in 0..rounds {
        server.hold();
        let flood: Vec<OwnedFd> =
            (0..connections).map(|_| epoll::connect(server.at()).expect("a connection")).collect();
        epoll::write(&established, &[7; MESSAGE]).expect("a connection");
        let begin = Instant::now();
        server.go_on();
        while epoll.wait(&mut events, 0) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(10), "the server is stuck");
        }
        let took = begin.elapsed();
        slice.wall += took;
        slice.latencies.push(took.as_nanos() as f64);
        epoll::read(&established, &mut [0; MESSAGE]).expect("an echo");
        server.settle();
        drop(flood);
        server.settle();
    }
    slice
}

/// One connection that reads until the server ends. An operation is one of its `messages`.
pub fn receive(server: &Server, messages: u32, size: usize) -> Slice {
    let epoll = Epoll::new().expect("an epoll instance");
    let mut events = Events::with_capacity(4);
    let mut buffer = vec![0; 256 * 1024];
    let (begin, cpu) = (Instant::now(), server.cpu());
    let fd = epoll::connect(server.at()).expect("a connection");
    epoll.add(&fd, epoll::IN, 0).expect("it can be watched");
    let mut received = 0;
    loop {
        wait(&epoll, &mut events);
        match epoll::read(&fd, &mut buffer) {
            Ok(0) => break,
            Ok(n) => received += n,
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    let wall = begin.elapsed();
    drop(fd);
    server.settle();
    assert_eq!(received, messages as usize * size, "every byte comes");
    Slice { ops: messages.into(), wall, cpu: server.cpu() - cpu, latencies: Vec::new() }
}
