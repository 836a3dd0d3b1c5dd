//! What a server can be told: options, limits, pausing, shutting down, adopting.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

pub(super) fn local() -> ListenOptions {
    ListenOptions::new("127.0.0.1:0")
}

/// Logs the callbacks of a server, and accepts every connection.
pub(super) struct Told(pub(super) Log);

impl ServerHandler for Told {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        self.0.add("connection");
        conn.accept(On::new().end(|s| s.end()));
    }
    fn on_overload(&mut self, _: &mut ServerCx<'_>, overload: Overload) {
        self.0.add(match overload {
            Overload::MaxConnections { dropped, .. } => format!("dropped {dropped}"),
            other => other.to_string(),
        });
    }
    fn on_close(&mut self, _: &mut ServerCx<'_>) {
        self.0.add("close");
    }
}

#[test]
fn pause_and_resume() {
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve(local(), Told(log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    lp.server(server).pause().unwrap();
    lp.server(server).pause().unwrap();
    let c = client(at); // the kernel answers
    let before = lp.metrics().turns;
    lp.timer(Duration::from_millis(30), |cx, _| cx.stop());
    lp.run().unwrap();
    assert!(log.lines().is_empty() && lp.metrics().turns - before < 6);
    lp.server(server).resume().unwrap();
    lp.server(server).resume().unwrap();
    turn_until(&mut lp, |_| log.has("connection"));
    drop(c);
    lp.server(server).pause().unwrap();
    lp.server(server).close().unwrap();
    assert_eq!(lp.server(server).resume(), Err(tidegate::KeyError::Closed));
    lp.run().unwrap();
    assert_eq!(lp.server(server).pause(), Err(tidegate::KeyError::Closed));
}

/// A pause from inside the callback stops the batch.
#[test]
fn pause_in_the_callback_stops_the_batch() {
    let mut lp = guarded();
    let server = lp
        .listen(local(), |mut conn| {
            conn.server(conn.server_key()).pause().unwrap();
            conn.accept(On::new());
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _clients: Vec<_> = (0..5).map(|_| client(at)).collect();
    for n in 1..=5 {
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted >= n);
        for _ in 0..3 {
            lp.run_nowait().unwrap();
        }
        assert_eq!(lp.server(server).stats().unwrap().accepted, n);
        lp.server(server).resume().unwrap();
    }
}

/// server-blocklist: no callback, counted apart; IPv4 rules match mapped addresses.
#[test]
fn block_list_closes_without_a_word() {
    let mut lp = guarded();
    let log = Log::default();
    let mut list = BlockList::new();
    list.add_subnet("127.0.0.0".parse().unwrap(), 8).unwrap();
    let server = lp.serve(ListenOptions::from(0).block_list(list), Told(log.clone())).unwrap();
    let port = lp.server(server).local_addr().unwrap().port();
    let c = client((Ipv4Addr::LOCALHOST, port).into());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().blocked == 1);
    assert_eq!((&c).read(&mut [0]).unwrap_or(0), 0);
    assert!(log.lines().is_empty());
    assert_eq!(lp.server(server).stats().unwrap().connections, 0);
}

#[test]
fn block_list_rules() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let mut list = BlockList::new();
    assert_eq!(list.add_subnet(ip("10.0.0.0"), 33), Err(RuleError::Prefix));
    assert_eq!(list.add_range(ip("10.0.0.2"), ip("10.0.0.1")), Err(RuleError::Range));
    assert_eq!(list.add_range(ip("10.0.0.2"), ip("::1")), Err(RuleError::Range));
    list.add_subnet(ip("0.0.0.0"), 0).unwrap();
    assert!(list.contains(ip("255.1.2.3")) && !list.contains(ip("::1")), "all of IPv4, no more");
    list.add_subnet(ip("fe80::1"), 10).unwrap();
    assert!(list.contains(ip("febf::")) && !list.contains(ip("fec0::")));
    let rules: Vec<_> = list.rules().map(|(a, b)| format!("{a}-{b}")).collect();
    let expected = ["0.0.0.0-255.255.255.255", "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
    assert_eq!(rules, expected);
    list.clear();
    assert!(!list.contains(ip("10.0.0.1")));
}

/// server-pause-on-connect: nothing is read until resume, then what waited comes.
#[test]
fn pause_on_connect_reads_nothing_before_resume() {
    let mut lp = guarded();
    let log = Log::default();
    let key = Rc::new(Cell::new(None));
    let (k, l) = (key.clone(), log.clone());
    let server = lp
        .listen(local().pause_on_connect(true), move |conn| {
            let l = l.clone();
            let data = move |_: &mut SocketCx<'_>, chunk: &[u8]| {
                l.add(String::from_utf8_lossy(chunk));
            };
            k.set(Some(conn.accept(On::new().data(data)).key()));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    write_all(&c, b"early");
    turn_until(&mut lp, |_| key.get().is_some());
    for _ in 0..3 {
        lp.run_nowait().unwrap();
    }
    let key = key.get().unwrap();
    assert_eq!(lp.socket(key).bytes_read(), 0);
    lp.socket(key).resume();
    turn_until(&mut lp, |_| log.has("early"));
}

/// server-nodelay, server-keepalive, and buffers: set before the callback.
#[test]
fn accepted_sockets_have_the_options() {
    let mut lp = guarded();
    let keep_alive =
        TcpKeepAlive { idle: Duration::from_secs(30), interval: Duration::from_secs(7), count: 3 };
    let seen = Rc::new(Cell::new(false));
    let s = seen.clone();
    let options = local().no_delay(true).keep_alive(keep_alive).recv_buffer(20_000);
    let server = lp
        .listen(options.send_buffer(30_000), move |conn| {
            let mut socket = conn.accept(On::new());
            let ok = socket.socket_option(|o| {
                assert!(o.tcp_nodelay()? && o.keepalive()?);
                #[cfg(target_os = "linux")]
                {
                    assert_eq!(o.tcp_keepalive_time()?, Duration::from_secs(30));
                    assert_eq!(o.tcp_keepalive_interval()?, Duration::from_secs(7));
                    assert_eq!(o.tcp_keepalive_retries()?, 3);
                    assert_eq!((o.recv_buffer_size()?, o.send_buffer_size()?), (40_000, 60_000));
                }
                Ok(())
            });
            ok.unwrap();
            socket.set_no_delay(false).unwrap();
            socket.set_keep_alive(None).unwrap();
            socket.set_tos(0x10).unwrap();
            socket.set_buffer_sizes(50_000, 50_000).unwrap();
            assert!(socket.buffer_sizes().unwrap().0 >= 50_000);
            let off = socket.socket_option(|o| Ok((o.tcp_nodelay()?, o.keepalive()?))).unwrap();
            assert_eq!(off, (false, false));
            s.set(true);
        })
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| seen.get());

    let bad = TcpKeepAlive { count: 0, ..TcpKeepAlive::default() };
    let Err(ListenError::Failed(e)) = lp.listen(local().keep_alive(bad), |c| c.reject()) else {
        panic!()
    };
    assert_eq!((e.stage(), e.kind()), (Stage::Bind, ErrorKind::InvalidInput));
    assert!(e.to_string().contains("keep_alive needs"), "{e}");
}

/// listen-ipv6only: an IPv4 client is refused; and it is said where that makes no sense.
#[test]
fn ipv6_only() {
    let mut lp = guarded();
    let Err(ListenError::Failed(e)) = lp.listen(local().ipv6_only(true), |c| c.reject()) else {
        panic!()
    };
    assert!(e.to_string().contains("ipv6_only is for IPv6 addresses"), "{e}");
    let options = ListenOptions::new("[::]:0").ipv6_only(true);
    let Ok(server) = lp.listen(options, |c| c.reject()) else {
        return println!("skipped: there is no IPv6 here");
    };
    let port = lp.server(server).local_addr().unwrap().port();
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let both = lp.listen(ListenOptions::new("[::]:0").ipv6_only(false), |c| c.reject()).unwrap();
    let port = lp.server(both).local_addr().unwrap().port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
}

/// The connection is given to us with its first bytes.
#[test]
#[cfg(target_os = "linux")]
fn defer_accept_waits_for_bytes() {
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve(local().defer_accept(Duration::from_secs(5)), Told(log.clone())).unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    lp.timer(Duration::from_millis(20), |cx, _| cx.stop());
    lp.run().unwrap();
    assert!(log.lines().is_empty());
    write_all(&c, b"x");
    turn_until(&mut lp, |_| log.has("connection"));
}

/// libuv 35: two loops on two threads share a port: both accept, and together all. Where the
/// system would give all of them to one, that is an error.
#[test]
fn libuv_35_reuse_port() {
    const CLIENTS: u64 = 200;
    if !SPREADS {
        let shared = guarded().listen(local().reuse_port(true), |conn| conn.reject());
        let Err(ListenError::Failed(e)) = shared else { panic!("{shared:?}") };
        return assert_eq!((e.stage(), e.kind()), (Stage::Bind, ErrorKind::Unsupported));
    }
    let (say, hear) = mpsc::channel();
    let mut at: Option<std::net::SocketAddr> = None;
    let mut loops = Vec::new();
    for _ in 0..2 {
        let (say, address) = (say.clone(), at);
        let (to_main, from_loop) = mpsc::channel();
        loops.push(std::thread::spawn(move || {
            let mut lp = guarded();
            let options = match address {
                Some(at) => ListenOptions::from(at),
                None => local(),
            };
            let s = say.clone();
            let server = lp
                .listen(options.reuse_port(true), move |conn| {
                    s.send(()).unwrap();
                    conn.reject();
                })
                .unwrap();
            to_main.send((lp.server(server).local_addr().unwrap(), lp.remote())).unwrap();
            lp.run().unwrap();
            lp.server(server).stats().unwrap().accepted
        }));
        let (address, remote) = from_loop.recv().unwrap();
        at = Some(address);
        // Keeps it, to stop it.
        loops.push(std::thread::spawn(move || {
            std::thread::park();
            remote.post(|cx| cx.stop()).map_err(|_| ()).unwrap();
            0
        }));
    }
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(at.unwrap())).collect();
    for _ in 0..CLIENTS {
        hear.recv_timeout(DEADLINE).unwrap();
    }
    drop(clients);
    for stopper in [&loops[1], &loops[3]] {
        stopper.thread().unpark();
    }
    let accepted: Vec<u64> = loops.into_iter().map(|l| l.join().unwrap()).collect();
    assert_eq!(accepted.iter().sum::<u64>(), CLIENTS);
    assert!(accepted[0] > 0 && accepted[2] > 0, "{accepted:?}");
}

/// libuv 36, 34: a socket that listens already, however it was made.
#[test]
fn libuv_36_an_adopted_listener() {
    let mut lp = guarded();
    let log = Log::default();
    let made = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = made.local_addr().unwrap();
    let server = lp.serve(ListenOptions::from(made), Told(log.clone())).unwrap();
    assert_eq!(lp.server(server).local_addr().unwrap(), at);
    drop(client(at));
    turn_until(&mut lp, |_| log.has("connection"));
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    assert!(TcpStream::connect(at).is_err(), "its descriptor is closed");
}

/// An adopted listener of which somebody keeps a copy: the loop does not spin after it has
/// closed its own.
#[test]
fn an_adopted_listener_may_be_shared() {
    let mut lp = guarded();
    let made = TcpListener::bind("127.0.0.1:0").unwrap();
    let copy = made.try_clone().unwrap();
    let server = lp.serve(ListenOptions::from(made), Told(Log::default())).unwrap();
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    let _c = client(copy.local_addr().unwrap());
    let before = lp.metrics().turns;
    lp.timer(Duration::from_millis(20), |_, _| {});
    lp.run().unwrap();
    assert!(lp.metrics().turns - before < 6);
}

/// Accepted here, served by another thread's loop.
#[test]
fn a_detached_connection_is_served_by_another_loop() {
    let (say, hear) = mpsc::channel();
    let other = std::thread::spawn(move || {
        let mut lp = guarded();
        let held = lp.keep_alive("connections to come").unwrap();
        say.send((lp.remote(), held)).unwrap();
        lp.run().unwrap();
    });
    let (remote, held) = hear.recv().unwrap();
    let mut lp = guarded();
    let mut held = Some(held);
    let server = lp
        .listen(local(), move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let stream = conn.detach().unwrap();
            let held = held.take();
            remote
                .post(move |cx| {
                    let greet = On::new().data(|s, chunk| {
                        let _ = s.end_with(chunk);
                    });
                    cx.adopt(stream, greet).unwrap();
                    drop(held);
                })
                .map_err(|_| ())
                .unwrap();
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
    write_all(&c, b"hello");
    c.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&c), b"hello");
    other.join().unwrap();
}

/// Connections are asked to end; those that do not are closed when the grace is over; then
/// the server closes.
#[test]
fn shutdown_with_grace() {
    fn stubborn(log: &Log) -> OnWith<Log> {
        On::with(log.clone())
            .shutdown(|log, s| {
                log.add("asked");
                let _ = s.write(b"not yet");
            })
            .close(|log, _, close| {
                log.add(close.reason.error().unwrap().timeout().unwrap().to_string());
            })
    }
    struct Server(Log, bool);
    impl ServerHandler for Server {
        fn on_connection(&mut self, conn: Incoming<'_>) {
            if self.1 {
                let log = self.0.clone();
                conn.accept(On::new().close(move |_, close| log.add(close.to_string())));
            } else {
                conn.accept(stubborn(&self.0));
            }
            self.1 = !self.1;
        }
        fn on_close(&mut self, server: &mut ServerCx<'_>) {
            assert_eq!(server.stats().unwrap_err(), tidegate::KeyError::Closed);
            self.0.add("server closed");
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve(local(), Server(log.clone(), true)).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients = [client(at), client(at)];
    turn_until(&mut lp, |lp| lp.server(server).connections().len() == 2);
    let start = Instant::now();
    lp.server(server).shutdown(Duration::from_millis(300)).unwrap();
    assert!(log.lines().is_empty(), "nothing inside the call");
    let peer = std::thread::spawn(move || clients.map(|c| read_to_end(&c)));
    lp.run().unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(
        log.lines(),
        ["asked", "both sides ended", "grace of the shutdown", "server closed"]
    );
    assert_eq!(peer.join().unwrap(), [b"".to_vec(), b"not yet".to_vec()]);
}

/// libuv 28: several listeners, one callback for each connection; closing inside it is safe.
/// bind-twice, eaddrinuse, listen-after-error are in `bad_addresses`.
#[test]
fn libuv_28_closing_the_server_in_its_callback() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let server = lp
        .listen(local(), move |mut conn| {
            let server = conn.server_key();
            conn.server(server).close().unwrap();
            assert!(conn.server(server).close().is_err());
            l.add("connection");
            conn.reject();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _clients: Vec<_> = (0..3).map(|_| client(at)).collect();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["connection"]);
}

/// libuv 27, delayed_accept: what is not taken in time waits; here it is the pause that
/// delays, since a connection is accepted or rejected in its callback.
#[test]
fn libuv_27_delayed_accept() {
    let mut lp = guarded();
    let count = Rc::new(RefCell::new(0));
    let c = count.clone();
    let server = lp
        .listen(local(), move |conn| {
            *c.borrow_mut() += 1;
            conn.accept(On::new());
        })
        .unwrap();
    lp.server(server).pause().unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _both = [client(at), client(at)];
    lp.timer(Duration::from_millis(20), move |cx, _| cx.server(server).resume().unwrap());
    turn_until(&mut lp, |_| *count.borrow() == 2);
}
