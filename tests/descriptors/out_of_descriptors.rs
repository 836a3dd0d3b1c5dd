//! Out of descriptors, and a listener that fails for good: no spin, nothing lost, and the server goes
//! on when a descriptor comes free.
#![cfg(target_os = "linux")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::net::*;
use tidegate::prelude::*;

use crate::rlimit::{alone, next_descriptor, set_limit};
use crate::support::*;

#[test]
fn out_of_descriptors_holds_without_a_spin_and_loses_nobody() {
    let _alone = alone();
    let mut lp = guarded();
    let first = Rc::new(Cell::new(None));
    let f = first.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let s = conn.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
            }));
            f.set(f.get().or(Some(s.key())));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let keep = client(at);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
    let clients: Vec<_> = (0..20).map(|_| client(at)).collect();

    let before = set_limit(next_descriptor());
    let (start, turns) = (Instant::now(), lp.metrics().turns);
    lp.timer(Duration::from_millis(400), |cx, _| cx.stop());
    lp.run().unwrap();
    let held = lp.server(server).stats().unwrap();
    assert_eq!(held.accepted, 1);
    assert!(held.held >= 2, "tried again by the timer: {held:?}");
    let turns = lp.metrics().turns - turns;
    assert!(turns <= 40, "{turns} turns in {:?} are a spin", start.elapsed());

    // Any close on this loop gives one of them its descriptor, at once: it closes in one turn,
    // the next accepts. The timer would be a turn between.
    let turns = lp.metrics().turns;
    lp.socket(first.get().unwrap()).destroy();
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 2);
    let turns = lp.metrics().turns - turns;
    assert!(turns <= 2, "{turns} turns");
    drop(keep);

    // And with the limit up again, all of them, by the timer.
    set_limit(before);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 21);
    for c in &clients {
        write_all(c, b"served");
        c.shutdown(std::net::Shutdown::Write).unwrap();
    }
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().connections == 0);
    assert!(clients.iter().all(|c| read_to_end(c) == b"served"));
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

/// The system says "no descriptor" also if nobody waits. That is no overload. Only a listener that
/// is reported again at each poll knows that nobody waits.
#[cfg(not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue)))]
#[test]
fn a_full_table_with_nobody_waiting_is_not_held() {
    let _alone = alone();
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new());
        })
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    // Room for exactly that one.
    let before = set_limit(next_descriptor() + 1);
    lp.timer(Duration::from_millis(150), |cx, _| cx.stop());
    lp.run().unwrap();
    set_limit(before);
    let stats = lp.server(server).stats().unwrap();
    assert_eq!((stats.accepted, stats.held), (1, 0));
}

/// A listener that fails again and again is tried again by the timer, not in a spin.
#[test]
fn a_listener_that_fails_for_good_does_not_spin() {
    use std::os::fd::FromRawFd;
    struct Errors(Rc<Cell<u32>>);
    impl ServerHandler for Errors {
        fn on_connection(&mut self, conn: Incoming<'_>) {
            conn.reject();
        }
        fn on_error(&mut self, _: &mut ServerCx<'_>, e: tidegate::net::NetError) {
            assert_eq!((e.stage(), e.code()), (tidegate::net::Stage::Accept, Some("EINVAL")));
            let text =
                format!("accept on {} failed: invalid argument (EINVAL)", e.local().unwrap());
            assert_eq!(e.to_string(), text);
            self.0.set(self.0.get() + 1);
        }
    }
    let _alone = alone();
    let mut lp = guarded();
    let errors = Rc::new(Cell::new(0));
    let server = lp.serve("127.0.0.1:0", Errors(errors.clone())).unwrap();
    let port = lp.server(server).local_addr().unwrap().port();
    let broken = (3..256).any(|fd| {
        #[allow(unsafe_code)]
        // SAFETY: the descriptor is only looked at and shut down, and never closed.
        let l = std::mem::ManuallyDrop::new(unsafe { std::net::TcpListener::from_raw_fd(fd) });
        l.local_addr().is_ok_and(|at| at.port() == port)
            && socket2::SockRef::from(&*l).shutdown(std::net::Shutdown::Read).is_ok()
    });
    assert!(broken);
    lp.timer(Duration::from_millis(200), |cx, _| cx.stop());
    lp.run().unwrap();
    assert!((1..=5).contains(&errors.get()), "{} errors", errors.get());
    assert!(lp.metrics().turns < 30, "{} turns", lp.metrics().turns);
}

/// A loop that could not be made leaves nothing behind, also no id.
#[test]
fn loops_that_cannot_be_made_use_nothing_up() {
    let _alone = alone();
    // One descriptor is not enough for a poller and its waker; poll(2) itself needs none.
    let enough_for_one = u64::from(!cfg!(mio_unsupported_force_poll_poll));
    let before = set_limit(next_descriptor() + enough_for_one);
    let failed = (0..5_000).filter(|_| Loop::new().is_err()).count();
    set_limit(before);
    assert_eq!(failed, 5_000);
    Loop::new().unwrap();
}

/// Where the descriptors come from that become free.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Freed {
    /// A connection of the loop's closes, then the loop sleeps.
    Now,
    /// One closes in each turn.
    EachTurn,
    /// Those of the first server close before others do.
    OfTheFirst,
    /// Some close at once.
    InBursts,
    /// Something else in the process closes one.
    Outside,
}

/// How many connections each of the servers got, of `rounds` that became free.
fn shares(servers: usize, freed: Freed) -> Vec<u64> {
    const ROUNDS: usize = 60;
    let _alone = alone();
    let mut lp = guarded();
    let open: Rc<RefCell<Vec<(usize, SocketKey)>>> = Rc::default();
    let listening: Vec<ServerKey> = (0..servers)
        .map(|n| {
            let o = open.clone();
            let on_connection = move |conn: Incoming<'_>| {
                let key = conn.accept(On::new().close(|_, _| {})).key();
                o.borrow_mut().push((n, key));
            };
            lp.listen("127.0.0.1:0", on_connection).unwrap()
        })
        .collect();
    let ports: Vec<_> = listening.iter().map(|s| lp.server(*s).local_addr().unwrap()).collect();
    // Nobody is accepted before all wait.
    let clients: Vec<_> = ports.iter().flat_map(|at| [*at; 80].map(client)).collect();
    let mut files: Vec<_> = Vec::new();
    if freed == Freed::Outside {
        files.extend((0..ROUNDS).map(|_| std::fs::File::open("/dev/null").unwrap()));
    }
    let before = set_limit(next_descriptor() + 8);
    run_for(&mut lp, Duration::from_millis(5));
    let accepted = |lp: &mut Loop| -> Vec<u64> {
        listening.iter().map(|s| lp.server(*s).stats().unwrap().accepted).collect()
    };
    let start = accepted(&mut lp);
    let had = start.iter().sum::<u64>() as usize;
    assert!(had >= 4, "{start:?}");
    let mut released = 0;
    while released < ROUNDS {
        let burst = if freed == Freed::InBursts { 4 } else { 1 };
        for _ in 0..burst {
            match freed {
                Freed::Outside => drop(files.pop()),
                _ => {
                    let mut open = open.borrow_mut();
                    let first =
                        open.iter().position(|(n, _)| freed == Freed::OfTheFirst && *n == 0);
                    let at = first.unwrap_or(0);
                    let (_, key) = open.remove(at);
                    lp.socket(key).destroy();
                }
            }
            released += 1;
        }
        if freed == Freed::EachTurn {
            lp.run_nowait().unwrap();
        } else {
            let so_far = (released + had) as u64;
            turn_until(&mut lp, |lp| accepted(lp).iter().sum::<u64>() >= so_far);
        }
    }
    turn_until(&mut lp, |lp| accepted(lp).iter().sum::<u64>() >= (released + had) as u64);
    set_limit(before);
    let end = accepted(&mut lp);
    drop(clients);
    end.iter().zip(start).map(|(end, start)| end - start).collect()
}

/// Servers that wait for descriptors get them in turns: each has a fair share.
#[test]
fn servers_without_descriptors_take_turns() {
    for servers in [2, 3] {
        for freed in
            [Freed::Now, Freed::EachTurn, Freed::OfTheFirst, Freed::InBursts, Freed::Outside]
        {
            if (servers, freed) == (3, Freed::Outside) {
                continue; // 50 ms for each
            }
            let shares = shares(servers, freed);
            let all: u64 = shares.iter().sum();
            let least = if servers == 2 { all * 4 / 10 } else { all / 4 };
            println!("{servers} servers, {freed:?}: {shares:?}");
            assert!(shares.iter().all(|n| *n >= least), "{freed:?}: {shares:?}");
        }
    }
}

const MS: Duration = Duration::from_millis(1);

struct Tell(Log);

impl ServerHandler for Tell {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        self.0.add("connection");
        conn.accept(On::new());
    }
    fn on_overload(&mut self, _: &mut ServerCx<'_>, o: Overload) {
        self.0.add(format!("{o:?}"));
    }
}

#[test]
fn shed_beyond_the_budget() {
    let _a = alone();
    let mut lp = guarded();
    let log = Log::default();
    let server = lp
        .serve(
            ListenOptions::new("127.0.0.1:0")
                .accept_budget(2)
                .out_of_descriptors(OutOfDescriptors::Shed),
            Tell(log.clone()),
        )
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _c: Vec<_> = (0..7).map(|_| client(at)).collect();
    let before = set_limit(next_descriptor());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().shed == 7);
    set_limit(before);
    let _new = client(at);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().connections == 1);
    println!("limit raised, one more client: {:?}", lp.server(server).stats().unwrap());
    assert_eq!(
        lp.server(server).stats().unwrap().shed,
        7,
        "{:?} {:?}",
        log.lines(),
        lp.server(server).stats()
    );
}

#[test]
fn the_spare_comes_back() {
    let _a = alone();
    let mut lp = guarded();
    let log = Log::default();
    let server = lp
        .serve(
            ListenOptions::new("127.0.0.1:0").out_of_descriptors(OutOfDescriptors::Shed),
            Tell(log.clone()),
        )
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _c1 = client(at);
    let before = set_limit(3); // as if another thread had taken the spare's place
    turn_until(&mut lp, |_| log.has("Held"));
    set_limit(before);
    turn_until(&mut lp, |_| log.has("connection"));
    let _more: Vec<_> = (0..3).map(|_| client(at)).collect();
    let before = set_limit(next_descriptor());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().shed == 3);
    set_limit(before);
}

#[test]
fn turns_of_many_told_and_pending() {
    let _a = alone();
    let mut lp = guarded();
    let (_p, ours) = pair();
    let key = lp.adopt(ours, On::new().timeout(|_| {})).unwrap();
    lp.socket(key).set_idle_timeout(10 * MS);
    lp.socket(key).set_lifetime(Duration::from_secs(100));
    let before = lp.metrics().turns;
    run_for(&mut lp, 200 * MS);
    println!(
        "turns in 200 ms with an idle timeout of 10 ms, told once: {}",
        lp.metrics().turns - before
    );
}

#[test]
fn resume_orders() {
    let _a = alone();
    // Random orders of pause, resume, connect, close; at the end everyone must be served.
    let mut seed = 1u64;
    for round in 0..60 {
        let mut lp = guarded();
        let open = Rc::new(RefCell::new(Vec::new()));
        let o = open.clone();
        let server = lp
            .listen(
                ListenOptions::new("127.0.0.1:0")
                    .max_connections(2, AtLimit::Hold)
                    .accept_budget(1 + round % 4),
                move |conn| {
                    o.borrow_mut().push(conn.accept(On::new()).key());
                },
            )
            .unwrap();
        let at = lp.server(server).local_addr().unwrap();
        let mut clients = Vec::new();
        let mut trace = Vec::new();
        let mut paused = false;
        for _ in 0..40 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let n = (seed >> 40) % 5;
            trace.push(n);
            match n {
                0 => {
                    lp.server(server).pause().unwrap();
                    paused = true;
                }
                1 => {
                    lp.server(server).resume().unwrap();
                    paused = false;
                }
                2 => clients.push(client(at)),
                3 => {
                    if let Some(k) = open.borrow_mut().pop() {
                        lp.socket(k).destroy()
                    }
                }
                _ => {}
            }
            let before = open.borrow().len();
            lp.run_nowait().unwrap();
            lp.run_nowait().unwrap();
            assert!(!paused || open.borrow().len() <= before, "accepted while paused: {trace:?}");
            assert!(open.borrow().len() <= 2, "{trace:?}");
        }
        lp.server(server).resume().unwrap();
        let n = clients.len() as u64;
        let start = Instant::now();
        while lp.server(server).stats().unwrap().accepted < n {
            if let Some(k) = open.borrow_mut().pop() {
                lp.socket(k).destroy()
            }
            lp.run_nowait().unwrap();
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "stuck: {trace:?} {:?}",
                lp.server(server).stats()
            );
        }
    }
}

fn two(port: u16) -> ConnectOptions {
    ConnectOptions::new(("tide.example", port)).lookup(|cx, _, a| {
        a.give(cx, Ok(vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()]))
    })
}

#[test]
fn no_descriptor_while_racing() {
    let _a = alone();
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    lp.connect(two(closed_port().port()), On::new().close(move |_, c| l.add(format!("{c}"))));
    let before = set_limit(next_descriptor());
    lp.run_nowait().unwrap();
    lp.run_nowait().unwrap();
    set_limit(before);
    lp.run().unwrap();
    println!("{:?}", log.lines());
    assert_eq!(log.lines().len(), 1);
    assert_eq!(handles(&lp), 0);
}

/// Behaviour 65 of HTTP: requests on connections that are open are answered meanwhile, and the
/// others when a descriptor comes free.
#[test]
fn http_65_a_server_goes_on_without_descriptors() {
    use std::io::Read;
    use tidegate::http::Http;
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let _alone = alone();
    let mut lp = guarded();
    let server = lp.http_listen("127.0.0.1:0", |_, x| x.reply(200, "tide")).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let get = |lp: &mut Loop, mut c: &std::net::TcpStream| {
        let (wanted, mut answer) = (lp.http_metrics().requests + 1, [0; 200]);
        write_all(c, GET);
        turn_until(lp, |lp| lp.http_metrics().requests == wanted);
        let n = c.read(&mut answer).unwrap();
        assert!(answer[..n].ends_with(b"tide"));
    };
    let open = client(at);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
    let waiting = [client(at), client(at)];
    let before = set_limit(next_descriptor());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().held > 0);
    for _ in 0..10 {
        get(&mut lp, &open);
    }
    assert_eq!(lp.server(server).stats().unwrap().accepted, 1);
    // One of them gets its descriptor, or each of them gets one of the two.
    drop(open);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted >= 2);
    get(&mut lp, &waiting[0]);
    set_limit(before);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 3);
    get(&mut lp, &waiting[1]);
}
