//! Networks that fail: packets dropped and refused, no route, an address that goes away, a
//! path with delay and loss. Each in network namespaces of its own, skipped with the reason
//! where that is not permitted.
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::net::*;

use crate::netns;
use crate::netns::{Netns, run};
use crate::support::*;

const MS: Duration = Duration::from_millis(1);
const HERE: [&str; 2] = ["10.9.0.1", "fd09::1"];
const THERE: [&str; 2] = ["10.9.0.2", "fd09::2"];

macro_rules! or_skip {
    ($made:expr) => {
        match $made {
            Ok(made) => made,
            Err(reason) => return println!("skipped: {reason}"),
        }
    };
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A packet filter for what this host sends.
fn filter(rule: &str) -> Result<(), String> {
    run("nft add table inet t")?;
    run("nft add chain inet t out { type filter hook output priority 0 ; }")?;
    run(&format!("nft add rule inet t out {rule}"))
}

/// Connects, and how that ended.
fn connect(options: ConnectOptions) -> (Close, Duration) {
    let mut lp = guarded();
    let end = Rc::new(Cell::new(None));
    let e = end.clone();
    let start = Instant::now();
    lp.connect(options, On::new().connect(|s| s.end()).close(move |_, close| e.set(Some(close))));
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
    (end.take().unwrap(), start.elapsed())
}

/// Nobody answers, nobody refuses: only a deadline ends that.
#[test]
fn a_silent_drop_meets_the_connect_timeout() {
    let (here, _there) = or_skip!(netns::pair());
    or_skip!(here.inside(|| filter("ip daddr 10.9.0.2 drop")));
    here.inside(|| {
        let to = SocketAddr::new(ip(THERE[0]), 80);
        let (close, took) = connect(ConnectOptions::new(to).connect_timeout(50 * MS));
        assert!(matches!(close.reason, Reason::TimedOut(Timeout::Connect, _)), "{close}");
        assert!(took >= 50 * MS, "{took:?}");
        let text = close.to_string();
        assert!(text.starts_with("connect to 10.9.0.2:80 timed out after "), "{text}");
    });
}

/// Refused by a filter on the way, in each way there is.
#[test]
fn refusals_say_which() {
    let (here, there) = or_skip!(netns::pair());
    let rules = [
        "tcp dport 80 reject with tcp reset",
        "tcp dport 81 reject with icmpx type port-unreachable",
        "tcp dport 82 reject with icmpx type host-unreachable",
        "tcp dport 83 reject with icmpx type admin-prohibited",
    ];
    or_skip!(there.inside(|| {
        run("nft add table inet t")?;
        run("nft add chain inet t in { type filter hook input priority 0 ; }")?;
        rules.iter().try_for_each(|rule| run(&format!("nft add rule inet t in {rule}")))
    }));
    here.inside(|| {
        let codes = ["ECONNREFUSED", "ECONNREFUSED", "EHOSTUNREACH", "EHOSTUNREACH"];
        for (port, code) in (80..).zip(codes) {
            let (close, _) = connect(ConnectOptions::new(SocketAddr::new(ip(THERE[0]), port)));
            let e = close.reason.error().expect("failed");
            assert_eq!((e.stage(), e.code()), (Stage::Connect, Some(code)), "{port}: {close}");
        }
        let (close, _) = connect(ConnectOptions::new("192.0.2.1:80"));
        assert_eq!(close.reason.error().unwrap().code(), Some("ENETUNREACH"), "no route");
    });
}

/// RFC 8305: one family is dropped on the way; the other connects within the attempt delay
/// and a round trip.
#[test]
fn a_dropped_family_costs_the_attempt_delay() {
    let (here, there) = or_skip!(netns::pair());
    or_skip!(here.inside(|| filter("meta nfproto ipv6 drop")));
    let server = there.inside(|| TcpListener::bind("[::]:80").unwrap());
    let accepting = std::thread::spawn(move || server.accept().unwrap().1);
    here.inside(|| {
        let found: Vec<IpAddr> = [THERE[1], THERE[0]].map(ip).to_vec();
        let options = ConnectOptions::new(("there", 80))
            .lookup(move |cx, _, answer| answer.give(cx, Ok(found.clone())))
            .attempt_delay(60 * MS)
            .connect_timeout(Duration::from_secs(5));
        let mut lp = guarded();
        let connected = Rc::new(Cell::new(None));
        let c = connected.clone();
        let start = Instant::now();
        let on = On::new().connect(move |s| {
            c.set(s.peer_addr());
            s.destroy();
        });
        lp.connect(options, on);
        lp.run().unwrap();
        let took = start.elapsed();
        assert_eq!(connected.get().unwrap().ip(), ip(THERE[0]));
        // One after the other, it would be the connect timeout.
        assert!(took >= 60 * MS && took < Duration::from_secs(4), "{took:?}");
    });
    accepting.join().unwrap();
}

/// A connection from here to there, accepted there by a plain socket.
fn connected(
    here: &Netns,
    there: &Netns,
    options: impl FnOnce(ConnectOptions) -> ConnectOptions + Send,
    then: impl FnOnce() -> Result<(), String> + Send,
) -> (Close, Duration) {
    let server = there.inside(|| TcpListener::bind((ip(THERE[0]), 80)).unwrap());
    here.inside(|| {
        let mut lp = guarded();
        let end = Rc::new(Cell::new(None));
        let ready = Rc::new(Cell::new(false));
        let (e, r) = (end.clone(), ready.clone());
        let to = options(ConnectOptions::new(SocketAddr::new(ip(THERE[0]), 80)));
        let on = On::new().connect(move |_| r.set(true)).close(move |_, c| e.set(Some(c)));
        lp.connect(to, on);
        turn_until(&mut lp, |_| ready.get());
        let _peer = server.accept().unwrap();
        then().unwrap();
        let start = Instant::now();
        lp.run().unwrap();
        (end.take().unwrap(), start.elapsed())
    })
}

/// A peer that is gone without a word: probes find that out.
#[test]
fn keep_alive_finds_a_dead_peer() {
    let (here, there) = or_skip!(netns::pair());
    or_skip!(here.inside(|| run("nft --version")));
    let second = Duration::from_secs(1);
    let keep_alive = TcpKeepAlive { idle: second, interval: second, count: 2 };
    let (close, took) =
        connected(&here, &there, |o| o.keep_alive(keep_alive), || filter("ip daddr 10.9.0.2 drop"));
    let e = close.reason.error().expect("failed");
    assert_eq!((e.stage(), e.code()), (Stage::Read, Some("ETIMEDOUT")), "{close}");
    assert!(took >= 2 * second && took < 8 * second, "{took:?}");
}

/// The peer's answer to our end never comes: the linger deadline ends it.
#[test]
fn a_vanished_peer_meets_the_linger_deadline() {
    let (here, there) = or_skip!(netns::pair());
    or_skip!(here.inside(|| run("nft --version")));
    let server = there.inside(|| TcpListener::bind((ip(THERE[0]), 80)).unwrap());
    here.inside(|| {
        let mut lp = guarded();
        let end = Rc::new(Cell::new(None));
        let e = end.clone();
        let to = ConnectOptions::new(SocketAddr::new(ip(THERE[0]), 80));
        let on = On::new()
            .connect(|s| {
                filter("ip daddr 10.9.0.2 drop").unwrap();
                s.end();
            })
            .close(move |_, c| e.set(Some(c)));
        lp.connect(to.linger_timeout(80 * MS), on);
        lp.run().unwrap();
        let close = end.take().unwrap();
        assert!(matches!(close.reason, Reason::TimedOut(Timeout::Linger, _)), "{close}");
    });
    drop(server);
}

/// Our address goes away under a connection: nothing tells, and the idle deadline ends it.
#[test]
fn an_address_that_goes_away_meets_the_idle_timeout() {
    let (here, there) = or_skip!(netns::pair());
    let (close, took) = connected(
        &here,
        &there,
        |o| o.idle_timeout(80 * MS),
        || run("ip addr del 10.9.0.1/24 dev near"),
    );
    let text = close.to_string();
    let idle = matches!(close.reason, Reason::TimedOut(Timeout::Idle, _));
    assert!(idle && took < Duration::from_secs(2), "{text}");
    assert!(text.starts_with("connection with 10.9.0.2:80 timed out"), "{text}");
}

/// A path of 10 ms each way that loses every 20th packet: a megabyte there and back arrives
/// whole, and connecting takes at least the round trip.
#[test]
fn a_path_with_delay_and_loss() {
    let (here, there) = or_skip!((|| Ok::<_, String>((Netns::new()?, Netns::new()?)))());
    let near = or_skip!(here.inside(|| tun::open(HERE[0], THERE[0])));
    let far = or_skip!(there.inside(|| tun::open(THERE[0], HERE[0])));
    let path = tun::Path::between(near, far, 10 * MS, 20);
    let data: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
    let server = there.inside(|| TcpListener::bind((ip(THERE[0]), 80)).unwrap());
    let echo = std::thread::spawn(move || {
        let mut c = server.accept().unwrap().0;
        let mut all = Vec::new();
        c.read_to_end(&mut all).unwrap();
        c.write_all(&all).unwrap();
    });
    let d = data.clone();
    here.inside(move || {
        let mut lp = guarded();
        let back = Rc::new(Cell::new(0));
        let started = Instant::now();
        let (b, expected) = (back.clone(), d.clone());
        let on = On::new()
            .connect(move |s| {
                assert!(started.elapsed() >= 20 * MS, "{:?}", started.elapsed());
                let _ = s.write(&d);
                s.end();
            })
            .data(move |_, chunk| {
                let at = b.get();
                assert!(expected[at..at + chunk.len()] == *chunk);
                b.set(at + chunk.len());
            });
        let to = SocketAddr::new(ip(THERE[0]), 80);
        lp.connect(ConnectOptions::new(to).idle_timeout(Duration::from_secs(10)), on);
        lp.run().unwrap();
        assert_eq!(back.get(), data.len());
    });
    echo.join().unwrap();
    assert!(path.lost() > 0, "it did lose some");
}

/// Two tun devices and what lies between them.
mod tun {
    use std::collections::VecDeque;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use super::netns::run;

    /// A device in this thread's namespace, with our address and the other end's.
    pub(super) fn open(own: &str, other: &str) -> Result<File, String> {
        let file = File::options().read(true).write(true).open("/dev/net/tun");
        let file = file.map_err(|e| format!("/dev/net/tun: {e}"))?;
        let mut request = [0u8; 40];
        request[..4].copy_from_slice(b"tide");
        // IFF_TUN | IFF_NO_PI
        request[16..18].copy_from_slice(&0x1001u16.to_ne_bytes());
        const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
        // SAFETY: the request is an ifreq of 40 bytes, as tun(4) wants it; the flags and
        // the read mode of this descriptor are ours.
        #[allow(unsafe_code)]
        let made = unsafe {
            libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) == 0
                && libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) == 0
        };
        if !made {
            return Err(format!("TUNSETIFF: {}", std::io::Error::last_os_error()));
        }
        run(&format!("ip addr add {own}/32 peer {other} dev tide"))?;
        run("ip link set tide up")?;
        Ok(file)
    }

    pub(super) struct Path {
        stop: Arc<AtomicBool>,
        lost: Arc<AtomicU64>,
        forwarder: Option<std::thread::JoinHandle<()>>,
    }

    impl Path {
        /// Carries packets both ways, each `delay` late, and loses one in `lossy`.
        pub(super) fn between(near: File, far: File, delay: Duration, lossy: u64) -> Path {
            let (stop, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let (s, l) = (stop.clone(), lost.clone());
            let forwarder = std::thread::spawn(move || {
                let mut late = [VecDeque::new(), VecDeque::new()];
                let mut seen = 0u64;
                let mut packet = [0; 2048];
                while !s.load(Ordering::Relaxed) {
                    let mut idle = true;
                    for (way, (mut from, mut to)) in
                        [(&near, &far), (&far, &near)].into_iter().enumerate()
                    {
                        while let Ok(n) = from.read(&mut packet) {
                            idle = false;
                            seen += 1;
                            if seen % lossy == 0 {
                                l.fetch_add(1, Ordering::Relaxed);
                            } else {
                                late[way].push_back((Instant::now() + delay, packet[..n].to_vec()));
                            }
                        }
                        while late[way].front().is_some_and(|(at, _)| *at <= Instant::now()) {
                            if let Some((_, packet)) = late[way].pop_front() {
                                idle = false;
                                let _ = to.write(&packet);
                            }
                        }
                    }
                    if idle {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
            });
            Path { stop, lost, forwarder: Some(forwarder) }
        }

        pub(super) fn lost(&self) -> u64 {
            self.lost.load(Ordering::Relaxed)
        }
    }

    impl Drop for Path {
        fn drop(&mut self) {
            self.stop.store(true, Ordering::Relaxed);
            if let Some(forwarder) = self.forwarder.take() {
                let _ = forwarder.join();
            }
        }
    }
}
