//! Where bytes and connections wait, by what the kernel says: every byte is in one place, every
//! connection is counted once. And what is not known is `None`.

use std::cell::{Cell, RefCell};
use std::net::TcpStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate::KeyError;
use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

/// A server's end and a client's, in one loop; the client reads when the test says so.
struct Pair {
    lp: Guarded,
    sender: SocketKey,
    reader: SocketKey,
    written: u64,
}

const PIECE: usize = 10_000;

fn pair_of(buffers: Option<usize>) -> Pair {
    let mut lp = guarded();
    // TCP goes on by itself, and wakes nobody: there is a turn every so often.
    let beat = lp.interval(Duration::from_millis(5), |_, _| {});
    lp.set_ref(beat, false).unwrap();
    let sender = Rc::new(Cell::new(None));
    let s = sender.clone();
    let mut listen = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
    let connect = |at| ConnectOptions::new(at).allow_half_open(true);
    if let Some(bytes) = buffers {
        listen = listen.send_buffer(bytes);
    }
    let server = lp
        .listen(listen, move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            s.set(Some(conn.accept(On::new()).key()));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let connect = match buffers {
        Some(bytes) => connect(at).recv_buffer(bytes),
        None => connect(at),
    };
    let reader = lp.connect(connect, On::new().connect(|s| s.pause()));
    turn_until(&mut lp, |lp| sender.get().is_some() && !lp.socket(reader).is_connecting());
    Pair { lp, sender: sender.get().unwrap(), reader, written: 0 }
}

/// What two looks at the sender, with one at the reader between, found.
struct Account {
    sum: u64,
    least: u64,
    most: u64,
    seen: [u64; 5],
}

impl Pair {
    fn write(&mut self) -> Flow {
        let flow = self.lp.socket(self.sender).write(&[7; PIECE]);
        assert_ne!(flow, Flow::Closed);
        self.written += PIECE as u64;
        flow
    }

    fn sender(&mut self) -> Queues {
        self.lp.socket(self.sender).queues().unwrap()
    }

    fn account(&mut self) -> Option<Account> {
        let before = self.sender();
        let peer = self.lp.socket(self.reader).queues().unwrap();
        let after = self.sender();
        let read = self.lp.socket(self.reader).bytes_read();
        let (send, receive) = (before.send?, peer.receive?);
        let unacknowledged = send.checked_sub(after.unsent?).expect("unsent is part of send");
        let account = Account {
            sum: before.ours + send + receive + read,
            least: self.written,
            most: self.written + unacknowledged,
            seen: [before.ours, send, unacknowledged, receive, read],
        };
        let Account { sum, least, most, seen } = &account;
        assert!((least..=most).contains(&sum), "{sum} of {least} to {most}: {seen:?}");
        Some(account)
    }

    /// Turns until two looks agree and every byte is in one place.
    fn settle(&mut self) -> [u64; 5] {
        let mut last = [u64::MAX; 5];
        loop {
            self.lp.run_once().unwrap();
            let now = self.account().unwrap();
            if now.sum == now.least && now.seen == last {
                return now.seen;
            }
            last = now.seen;
        }
    }
}

fn is_linux() -> bool {
    let known = cfg!(any(target_os = "linux", target_os = "android"));
    if !known {
        println!("skipped: this system does not tell what waits in its kernel");
    }
    known
}

/// With the system's buffers, which grow, and with small ones: a reader that stops, that reads
/// on, that catches up; a sender that ends while the window is closed.
#[test]
fn every_byte_is_in_one_place() {
    for buffers in [None, Some(20_000)] {
        let mut p = pair_of(buffers);
        if !is_linux() {
            assert_eq!(p.sender().ours, 0);
            return;
        }
        // The window closes, the kernel's queue fills, then ours.
        while p.write() == Flow::Ready {
            p.account().unwrap();
        }
        let [ours, send, _, receive, read] = p.settle();
        assert!(ours > 0 && send > 0 && receive > 0 && read == 0, "{ours} {send} {receive}");
        assert_eq!(ours, p.lp.socket(p.sender).buffered() as u64);
        let q = p.sender();
        assert!(q.unsent > Some(0), "{q:?}");
        assert!(q.send >= q.unacknowledged && q.congestion_window > Some(0), "{q:?}");

        // A turn's worth of reading at a time; more is written meanwhile.
        for _ in 0..20 {
            p.lp.socket(p.reader).resume();
            p.lp.run_once().unwrap();
            p.lp.socket(p.reader).pause();
            let _ = p.write();
            p.account().unwrap();
        }
        let [.., read] = p.settle();
        assert!(read > 0);

        // The FIN is behind all that, and is no byte.
        p.lp.socket(p.sender).end();
        p.settle();
        p.lp.socket(p.reader).resume();
        let total = p.written;
        while p.lp.socket(p.reader).bytes_read() < total {
            p.lp.run_once().unwrap();
            p.account().unwrap();
        }
        assert_eq!(p.settle(), [0, 0, 0, 0, total]);
    }
}

/// Our FIN waits in the kernel's queue, behind bytes that the window has no room for; the
/// kernel counts it, we do not.
#[test]
fn a_fin_that_waits_is_no_byte() {
    if !is_linux() {
        return;
    }
    let mut p = pair_of(None);
    socket_recv_buffer(&mut p, 4096);
    // Until the window is full, and while the kernel still takes all of it.
    while p.sender().unsent == Some(0) {
        let _ = p.write();
        p.lp.run_once().unwrap();
    }
    let [ours, send, ..] = p.settle();
    assert_eq!(ours, 0, "the kernel's queue is larger than the window");
    p.lp.socket(p.sender).end();
    let q = p.sender();
    assert!(q.send <= Some(send) && q.unsent > Some(0), "{q:?} after {send}");
    p.settle();
    p.lp.socket(p.reader).resume();
    let total = p.written;
    turn_until(&mut p.lp, |lp| lp.socket(p.reader).bytes_read() == total);
    assert_eq!(p.settle(), [0, 0, 0, 0, total]);
}

fn socket_recv_buffer(p: &mut Pair, bytes: usize) {
    let mut reader = p.lp.socket(p.reader);
    reader.socket_option(|s| s.set_recv_buffer_size(bytes)).unwrap();
}

/// What `ss`, which asks by netlink, says; `None`, with the reason, where there is no such thing.
#[cfg(target_os = "linux")]
fn ss(arguments: &[&str]) -> Option<String> {
    match std::process::Command::new("ss").args(arguments).output() {
        Ok(said) => Some(String::from_utf8_lossy(&said.stdout).into_owned()),
        Err(e) => {
            println!("skipped: no ss ({e})");
            None
        }
    }
}

/// The numbers of a connection are those of `ss -ti`.
#[test]
#[cfg(target_os = "linux")]
fn a_connection_is_as_ss_says() {
    let mut p = pair_of(Some(20_000));
    while p.write() == Flow::Ready {}
    p.settle();
    let port = p.lp.socket(p.sender).local_addr().unwrap().port();
    let filter = format!("sport = :{port}");
    // A probe of the closed window may come between the two.
    let (before, text) = loop {
        let before = p.sender();
        let Some(text) = ss(&["-tinH", &filter]) else { return };
        if p.sender() == before {
            break (before, text);
        }
        p.lp.run_once().unwrap();
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |name: &str| -> Option<f64> {
        let word = words.iter().find_map(|w| w.strip_prefix(name))?;
        word.split('/').next()?.parse().ok()
    };
    let ms = |d: Option<Duration>| d.map(|d| d.as_micros() as f64 / 1e3);
    assert_eq!(words[2].parse().ok(), before.send, "{text}");
    assert_eq!(number("notsent:").unwrap_or(0.0) as u64, before.unsent.unwrap(), "{text}");
    assert_eq!(number("cwnd:"), before.congestion_segments.map(f64::from), "{text}");
    assert_eq!(
        number("mss:").unwrap() as u64 * u64::from(before.congestion_segments.unwrap()),
        before.congestion_window.unwrap()
    );
    assert_eq!(number("rtt:"), ms(before.rtt), "{text}");
    // Older ones of the tool, and of the kernel, do not know it.
    if let Some(window) = number("snd_wnd:") {
        assert_eq!(Some(window as u64), before.peer_window, "{text}");
    }
    let variation = words.iter().find_map(|w| w.strip_prefix("rtt:"));
    let variation = variation.and_then(|w| w.split('/').nth(1)?.parse().ok());
    assert_eq!(variation, ms(before.rtt_variation), "{text}");
}

fn somaxconn() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

/// Reads until `n` wait: the last packet of a handshake may be on its way after the client's
/// `connect` returned.
fn until_depth(n: u32, mut read: impl FnMut() -> AcceptQueue) -> AcceptQueue {
    let since = Instant::now();
    loop {
        let queue = read();
        assert!(queue.depth <= Some(n), "{queue:?} of {n}");
        if queue.depth == Some(n) {
            return queue;
        }
        assert!(since.elapsed() < DEADLINE, "{queue:?} of {n}");
        thread::yield_now();
    }
}

/// Each client that connects is one more; each that is accepted, one less, at the end of each
/// turn; with the same numbers for the loop, for another thread, and for `ss`.
#[test]
fn an_accept_queue_counts_who_waits() {
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").backlog(50).accept_budget(3);
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let gauge = lp.server(server).accept_gauge().unwrap();
    let second = lp.server(server).accept_gauge().unwrap();
    if !is_linux() {
        assert_eq!(lp.server(server).accept_queue(), Ok(AcceptQueue::default()));
        assert_eq!(gauge.read(), Ok(AcceptQueue::default()));
        return;
    }
    let limit = somaxconn().map_or(50, |most| most.min(50));
    let clients: Vec<TcpStream> = (1..=10)
        .map(|n| {
            let client = client(at);
            let queue = until_depth(n, || lp.server(server).accept_queue().unwrap());
            assert_eq!(queue.limit, Some(limit));
            client
        })
        .collect();
    let elsewhere = gauge.clone();
    let there = thread::spawn(move || elsewhere.read()).join().unwrap();
    assert_eq!(there, lp.server(server).accept_queue());
    assert_eq!(second.read(), lp.server(server).accept_queue());
    assert!(format!("{gauge:?}").contains("10"), "{gauge:?}");
    #[cfg(target_os = "linux")]
    if let Some(text) = ss(&["-lntH", &format!("sport = :{}", at.port())]) {
        let columns: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(columns[1..3], ["10".to_string(), limit.to_string()], "{text}");
    }
    while lp.server(server).stats().unwrap().accepted < 10 {
        lp.run_once().unwrap();
        let accepted = lp.server(server).stats().unwrap().accepted as u32;
        let queue = lp.server(server).accept_queue().unwrap();
        assert_eq!(queue.depth.map(|n| n + accepted), Some(10));
    }
    drop(clients);
}

/// While the loop is in a callback, another thread sees the queue grow.
#[test]
fn a_gauge_reads_while_the_loop_is_in_a_callback() {
    let mut lp = guarded();
    let asked = Rc::new(Cell::new(0));
    let a = asked.clone();
    let gauge: Rc<RefCell<Option<AcceptGauge>>> = Rc::default();
    let (g, at) = (gauge.clone(), Rc::new(Cell::new(None)));
    let here = at.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let (Some(gauge), Some(at)) = (g.borrow_mut().take(), here.get()) else {
                return conn.reject();
            };
            let crowd = thread::spawn(move || {
                let clients: Vec<TcpStream> = (0..5).map(|_| client(at)).collect();
                let n =
                    if is_linux() { until_depth(5, || gauge.read().unwrap()).depth } else { None };
                (clients.len(), n)
            });
            let (connected, depth) = crowd.join().unwrap();
            a.set(connected);
            assert!(depth.is_none_or(|n| n as usize == connected));
        })
        .unwrap();
    at.set(Some(lp.server(server).local_addr().unwrap()));
    *gauge.borrow_mut() = Some(lp.server(server).accept_gauge().unwrap());
    let _first = client(at.get().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 6);
    assert_eq!(asked.get(), 5);
}

/// A tiny backlog: one more than the limit gets in, the next is not answered; and room is made
/// by accepting.
#[test]
#[cfg(target_os = "linux")]
fn an_accept_queue_that_is_full() {
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").backlog(2);
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect_timeout(&at, Duration::from_millis(100)) {
        clients.push(client);
        assert!(clients.len() < 50, "a backlog of 2 has no end");
    }
    let queue = lp.server(server).accept_queue().unwrap();
    assert_eq!(queue.limit, Some(2));
    assert_eq!(queue.depth, Some(3));
    // Some kernels let a client believe that it is connected, and drop its last packet.
    assert!(clients.len() >= 3, "{} clients", clients.len());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted >= 3);
    turn_until(&mut lp, |lp| lp.server(server).accept_queue().unwrap().depth == Some(0));
}

/// A gauge keeps nothing open: a closed server refuses, and the gauge says that it is closed.
#[test]
fn a_gauge_does_not_keep_a_server_open() {
    let mut lp = guarded();
    let server = lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let gauge = lp.server(server).accept_gauge().unwrap();
    assert!(gauge.read().is_ok());
    lp.server(server).close().unwrap();
    assert_eq!(gauge.read(), Err(KeyError::Closed));
    assert!(format!("{gauge:?}").contains("Closed"));
    assert_eq!(lp.server(server).accept_queue(), Err(KeyError::Closed));
    assert!(lp.server(server).accept_gauge().is_err());
    let refused = TcpStream::connect(at).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    lp.run().unwrap();
    assert_eq!(lp.server(server).accept_queue(), Err(KeyError::Closed));

    // Nor does it outlive the loop, or find another's.
    let server = lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    let gauge = lp.server(server).accept_gauge().unwrap();
    let mut other = guarded();
    assert_eq!(other.server(server).accept_queue(), Err(KeyError::Foreign));
    assert!(other.server(server).accept_gauge().is_err());
    drop(lp);
    assert_eq!(gauge.read(), Err(KeyError::Closed));
}

/// Nothing is said of a connection that is over, in its last callback neither.
#[test]
fn a_stale_key_is_an_error() {
    let mut p = pair_of(None);
    let log = Log::default();
    let l = log.clone();
    let last = On::new().close(move |s, _| l.add(format!("{:?}", s.queues())));
    p.lp.socket(p.sender).set_handler(last);
    p.lp.socket(p.sender).destroy();
    assert_eq!(p.lp.socket(p.sender).queues(), Err(KeyError::Closed));
    turn_until(&mut p.lp, |_| !log.lines().is_empty());
    assert_eq!(log.lines(), ["Err(Closed)"]);
    assert_eq!(p.lp.socket(p.sender).queues(), Err(KeyError::Closed));
    assert_eq!(guarded().socket(p.reader).queues(), Err(KeyError::Foreign));
}

/// Before it is connected there is our queue alone; and the SYNs that were sent again.
#[test]
fn a_connection_that_is_not_made_yet() {
    let Some((l, _fill)) = silent() else { return println!("skipped: the queue takes everybody") };
    let port = l.local_addr().unwrap().port();
    let mut lp = guarded();
    let beat = lp.interval(Duration::from_millis(20), |_, _| {});
    lp.set_ref(beat, false).unwrap();
    // A name is looked up first: no descriptor yet.
    let named = lp.connect(("localhost", port), On::new().close(|_, _| {}));
    assert_eq!(lp.socket(named).write(b"tide"), Flow::Ready);
    let q = lp.socket(named).queues().unwrap();
    assert_eq!((q.ours, q.send, q.receive, q.retransmits), (4, None, None, None));
    lp.socket(named).destroy();

    let key = lp.connect(("127.0.0.1", port), On::new().close(|_, _| {}));
    assert_eq!(lp.socket(key).write(b"high water"), Flow::Ready);
    if !is_linux() {
        return;
    }
    turn_until(&mut lp, |lp| lp.socket(key).queues().unwrap().retransmits >= Some(1));
    let q = lp.socket(key).queues().unwrap();
    assert!(lp.socket(key).is_connecting());
    assert_eq!((q.ours, q.send, q.unsent, q.receive), (10, Some(0), Some(0), Some(0)));
    assert_eq!((q.peer_window, q.congestion_window, q.rtt), (None, None, None));
    lp.socket(key).destroy();
    lp.run().unwrap();
}

/// A reset that we have not read empties the kernel's queue; ours is still here.
#[test]
#[cfg(target_os = "linux")]
fn after_a_reset_there_is_no_send_queue() {
    let mut p = pair_of(Some(20_000));
    p.lp.socket(p.sender).pause();
    while p.write() == Flow::Ready {}
    let [ours, send, ..] = p.settle();
    assert!(ours > 0 && send > 0);
    p.lp.socket(p.reader).reset();
    // At once: the loop has not heard of it, and still the kernel has no queue.
    let q = p.sender();
    assert_eq!((q.ours, q.send, q.unsent, q.unacknowledged), (ours, None, None, None));
    assert_eq!((q.peer_window, q.rtt), (None, None));
}

/// Over a path the peer's kernel queue is the only one, and the system tells no more.
#[test]
#[cfg(unix)]
fn over_a_unix_domain_socket() {
    let path = std::env::temp_dir().join(format!("tidegate-{}-queues", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut lp = guarded();
    let sender = Rc::new(Cell::new(None));
    let s = sender.clone();
    let server = lp
        .listen(ListenOptions::unix(&path), move |conn| {
            s.set(Some(conn.accept(On::new()).key()));
        })
        .unwrap();
    assert_eq!(lp.server(server).accept_queue(), Ok(AcceptQueue::default()));
    assert_eq!(lp.server(server).accept_gauge().unwrap().read(), Ok(AcceptQueue::default()));
    let reader = lp.connect(ConnectOptions::unix(&path), On::new().connect(|s| s.pause()));
    turn_until(&mut lp, |lp| sender.get().is_some() && !lp.socket(reader).is_connecting());
    let sender = sender.get().unwrap();
    let mut written = 0;
    loop {
        let flow = lp.socket(sender).write(Bytes::from_static(&[1; PIECE]));
        written += PIECE as u64;
        let (out, peer) =
            (lp.socket(sender).queues().unwrap(), lp.socket(reader).queues().unwrap());
        if is_linux() {
            assert_eq!(Some(written - out.ours), peer.receive);
        }
        let known = Queues::default();
        assert_eq!((out.send, out.unsent, out.rtt), (known.send, known.unsent, known.rtt));
        if flow == Flow::Full {
            assert!(out.ours > 0);
            break;
        }
    }
}
