//! What the tests share: a loop that cannot hang, a trace, clients.
#![allow(dead_code, unreachable_pub)]

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::net::NetEvent;
use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::test::Script;

/// No test may wait longer for anything. Under Wine each call costs many times more.
pub const DEADLINE: Duration = Duration::from_secs(if cfg!(tidegate_under_wine) { 60 } else { 20 });

/// Where the system spreads what arrives over the sockets of a port. Elsewhere `reuse_port` is an
/// error.
pub const SPREADS: bool = cfg!(all(
    any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "dragonfly"),
    not(tidegate_like_kqueue)
));

/// A loop in which every wait ends. When the test is over, a loop without connections must
/// hold nothing for any.
pub struct Guarded(Loop);

impl std::ops::Deref for Guarded {
    type Target = Loop;
    fn deref(&self) -> &Loop {
        &self.0
    }
}

impl std::ops::DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Loop {
        &mut self.0
    }
}

impl AsCx for Guarded {
    fn cx(&mut self) -> Cx<'_> {
        self.0.cx()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            holds_nothing(&mut self.0);
        }
    }
}

/// What belongs to connections is gone with the last of them.
pub fn holds_nothing(lp: &mut Loop) {
    let m = lp.net_metrics();
    if m.sockets == 0 {
        let left = (m.connecting, m.queued, m.held, m.deadlines);
        assert_eq!(left, (0, 0, 0, 0), "connecting, queued, held, deadlines");
        let open: usize = lp.servers().iter().map(|s| s.stats.connections).sum();
        assert_eq!(open, 0, "connections that servers count");
        let kinds = ["socket", "connect attempt"];
        let left: Vec<_> = lp.walk().into_iter().filter(|h| kinds.contains(&h.kind)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A timer that does not keep the loop alive panics at the deadline.
pub fn guarded() -> Guarded {
    guard(Loop::new().unwrap())
}

pub fn guard(mut lp: Loop) -> Guarded {
    let mut cx = lp.cx();
    let timer = cx.timer(DEADLINE, |cx, _| {
        panic!("the deadline of {DEADLINE:?} passed in turn {}", cx.turn())
    });
    cx.set_ref(timer, false).unwrap();
    Guarded(lp)
}

/// A guarded loop whose clock is a script: it moves when a test advances it, or when the loop waits.
pub fn scripted() -> (Guarded, Script) {
    let (lp, script) = Loop::scripted().unwrap();
    (guard(lp), script)
}

/// Handles of the test: all but the guard.
pub fn handles(lp: &Loop) -> usize {
    lp.handles() - 1
}

/// Turns until `done`, or panics at the guard's deadline.
pub fn turn_until(lp: &mut Loop, mut done: impl FnMut(&mut Loop) -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done(lp) {
        // The guard's timer does not come in a loop that nothing keeps alive.
        let alive = lp.run_once().unwrap();
        assert!(alive || Instant::now() < end, "nothing keeps the loop alive, and it waits");
    }
}

/// An event of the loop as a line, or of this layer as itself.
#[derive(Clone, Debug)]
pub enum Seen {
    Turn,
    Poll(Option<Duration>),
    Net(NetEvent),
}

/// Records the observer's events.
#[derive(Clone, Default)]
pub struct Trace(pub Rc<RefCell<Vec<(u64, Seen)>>>);

impl Observer for Trace {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        let seen = match event {
            Event::Turn { .. } => Seen::Turn,
            Event::Poll { timeout, .. } => Seen::Poll(*timeout),
            Event::Layer(e) => match e.as_any().downcast_ref::<NetEvent>() {
                Some(e) => Seen::Net(e.clone()),
                None => return,
            },
            _ => return,
        };
        self.0.borrow_mut().push((at.turn, seen));
    }
}

impl Trace {
    pub fn net(&self) -> Vec<(u64, NetEvent)> {
        let all = self.0.borrow();
        all.iter()
            .filter_map(|(t, s)| match s {
                Seen::Net(e) => Some((*t, e.clone())),
                _ => None,
            })
            .collect()
    }
}

/// A log that callbacks share.
#[derive(Clone, Default, Debug)]
pub struct Log(pub Rc<RefCell<Vec<String>>>);

impl Log {
    pub fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub fn has(&self, line: &str) -> bool {
        self.0.borrow().iter().any(|l| l == line)
    }
}

/// A blocking client with deadlines.
pub fn client(at: SocketAddr) -> TcpStream {
    let s = TcpStream::connect(at).unwrap();
    s.set_read_timeout(Some(DEADLINE)).unwrap();
    s.set_write_timeout(Some(DEADLINE)).unwrap();
    s
}

pub fn read_to_end(mut s: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    s.read_to_end(&mut all).unwrap();
    all
}

/// Whether the connection ended by a RST, after whatever came before.
pub fn was_reset(mut s: &TcpStream) -> bool {
    let end = s.read_to_end(&mut Vec::new());
    end.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
}

/// Closes with a RST.
pub fn reset(s: TcpStream) {
    socket2::SockRef::from(&s).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A port of the loopback on which nobody listens.
pub fn closed_port() -> SocketAddr {
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    l.local_addr().unwrap()
}

pub fn write_all(mut s: &TcpStream, data: &[u8]) {
    s.write_all(data).unwrap();
}

/// A connection of the standard library's: the peer's end, and ours.
pub fn pair() -> (TcpStream, TcpStream) {
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = client(l.local_addr().unwrap());
    let (ours, _) = l.accept().unwrap();
    (peer, ours)
}

/// A paused connection of a server with this handler, and its peer.
pub fn accepted(lp: &mut Loop, half_open: bool, h: impl Handler) -> (TcpStream, SocketKey) {
    let key = Rc::new(Cell::new(None));
    let (k, mut h) = (key.clone(), Some(h));
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(half_open);
    let server = lp
        .listen(options, move |conn| {
            let Some(h) = h.take() else { return };
            let mut s = conn.accept(h);
            s.pause();
            k.set(Some(s.key()));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(lp, |_| key.get().is_some());
    lp.server(server).close().unwrap();
    (c, key.get().unwrap())
}

/// Turns that do not wait, until `done`: the clock of a script stands still meanwhile.
pub fn poll_until(lp: &mut Loop, mut done: impl FnMut(&mut Loop) -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done(lp) {
        assert!(Instant::now() < end, "it did not come in {DEADLINE:?}");
        lp.run_nowait().unwrap();
    }
}

/// Waits until the kernel has bytes, or an end, to read from a socket. It may be non-blocking.
pub fn arrived(s: &TcpStream) {
    let end = Instant::now() + DEADLINE;
    while s.peek(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock) {
        assert!(Instant::now() < end, "nothing arrived in {DEADLINE:?}");
        std::thread::yield_now();
    }
}

/// Runs the loop for so long.
pub fn run_for(lp: &mut Loop, time: Duration) {
    lp.timer(time, |cx, _| cx.stop());
    lp.run().unwrap();
}

/// A listener on all addresses whose queue is full: the next connection is not answered, where
/// the system does that (Linux). And what fills it.
pub fn silent() -> Option<(std::net::TcpListener, Vec<TcpStream>)> {
    use socket2::{Domain, Socket, Type};
    let raw = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    raw.bind(&SocketAddr::from(([0, 0, 0, 0], 0)).into()).unwrap();
    raw.listen(0).unwrap();
    let listener: std::net::TcpListener = raw.into();
    let at = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
    let mut fill = Vec::new();
    for _ in 0..8 {
        match TcpStream::connect_timeout(&at, Duration::from_millis(50)) {
            Ok(c) => fill.push(c),
            Err(_) => return Some((listener, fill)),
        }
    }
    None
}
