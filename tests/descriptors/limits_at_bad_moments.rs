//! Descriptors and memory at bad moments. One test at a time, because the limit is the whole
//! process's.
#![cfg(target_os = "linux")]

use crate::allocation;
use crate::rlimit::{alone, next_descriptor, set_limit};
use crate::support::*;
use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tidegate::net::*;
use tidegate::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn two(port: u16) -> ConnectOptions {
    ConnectOptions::new(("tide.example", port)).lookup(|cx, _, a| {
        a.give(cx, Ok(vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()]))
    })
}

#[test]
fn deadlines_of_closed_connections_are_forgotten() {
    let _a = alone();
    let mut lp = guarded();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").idle_timeout(Duration::from_secs(3600)), |conn| {
            conn.accept(On::new()).destroy();
        })
        .unwrap();
    let at = lp.local_addr(server).unwrap();
    let one_thousand = |lp: &mut Loop| {
        let n = lp.server_stats(server).unwrap().accepted;
        for i in 1..=1000u64 {
            let c = TcpStream::connect(at).unwrap();
            turn_until(lp, |lp| lp.server_stats(server).unwrap().accepted == n + i);
            reset(c);
        }
        lp.run_nowait().unwrap();
    };
    one_thousand(&mut lp);
    let before = allocation::live();
    for _ in 0..8 {
        one_thousand(&mut lp);
    }
    let grown = allocation::live() - before;
    println!("8000 connections opened and closed, none open: {grown} bytes more");
    assert!(grown < 16 * 1024, "{grown} bytes for connections that are over");
}

struct Tell(Log);
impl ServerHandler for Tell {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        self.0.add("connection");
        conn.accept(On::new());
    }
    fn on_overload(&mut self, _: &mut Cx<'_>, _: ServerKey, o: Overload) {
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
    let at = lp.local_addr(server).unwrap();
    let _c: Vec<_> = (0..7).map(|_| client(at)).collect();
    let before = set_limit(next_descriptor());
    turn_until(&mut lp, |lp| lp.server_stats(server).unwrap().shed == 7);
    set_limit(before);
    let _new = client(at);
    turn_until(&mut lp, |lp| lp.server_stats(server).unwrap().connections == 1);
    println!("limit raised, one more client: {:?}", lp.server_stats(server).unwrap());
    assert_eq!(
        lp.server_stats(server).unwrap().shed,
        7,
        "{:?} {:?}",
        log.lines(),
        lp.server_stats(server)
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
    let at = lp.local_addr(server).unwrap();
    let _c1 = client(at);
    let before = set_limit(3); // as if another thread had taken the spare's place
    turn_until(&mut lp, |_| log.has("Held"));
    set_limit(before);
    turn_until(&mut lp, |_| log.has("connection"));
    let _more: Vec<_> = (0..3).map(|_| client(at)).collect();
    let before = set_limit(next_descriptor());
    turn_until(&mut lp, |lp| lp.server_stats(server).unwrap().shed == 3);
    set_limit(before);
}

#[test]
fn winner_panics() {
    let _a = alone();
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |mut c| {
            let s = c.server();
            c.close_server(s).unwrap();
            c.accept(On::new());
        })
        .unwrap();
    let port = lp.local_addr(server).unwrap().port();
    let log = Log::default();
    let l = log.clone();
    let key = lp.connect(
        two(port),
        On::new()
            .connect(|_| std::panic::resume_unwind(Box::new(1)))
            .close(move |_, c| l.add(format!("{c}"))),
    );
    let _ = lp.socket(key).write_id("abc", 1);
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
    assert!(run.is_err());
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    assert_eq!(handles(&lp), 0);
}

#[test]
fn write_and_end_before_a_race() {
    let _a = alone();
    for how in 0..5 {
        let mut lp = guarded();
        let log = Log::default();
        let (l, l2) = (log.clone(), log.clone());
        let server = lp
            .listen("127.0.0.1:0", move |mut c| {
                let s = c.server();
                c.close_server(s).unwrap();
                let l = l.clone();
                c.accept(
                    On::new().data(move |_, b| l.add(format!("got {}", b.len()))).close(|_, _| {}),
                );
            })
            .unwrap();
        let port = lp.local_addr(server).unwrap().port();
        let key = lp.connect(
            two(port),
            On::new()
                .connect(move |s| match how {
                    1 => s.destroy(),
                    2 => s.reset(),
                    3 => s.end(),
                    4 => {
                        let k = s.key();
                        s.close(k).unwrap()
                    }
                    _ => {}
                })
                .close(move |_, c| l2.add(format!("{c}"))),
        );
        let _ = lp.socket(key).write(b"abc");
        lp.socket(key).end();
        lp.run().unwrap();
        println!("{how}: {:?}", log.lines());
        assert_eq!(handles(&lp), 0);
        assert_eq!(log.lines().iter().filter(|l| !l.starts_with("got")).count(), 1);
    }
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

#[test]
fn timeout_panics() {
    let _a = alone();
    let mut lp = guarded();
    let (_p, ours) = pair();
    let log = Log::default();
    let l = log.clone();
    let key = lp
        .adopt(
            ours,
            On::new()
                .timeout(|_| std::panic::resume_unwind(Box::new(1)))
                .close(move |_, c| l.add(format!("{c}"))),
        )
        .unwrap();
    lp.socket(key).set_idle_timeout(5 * MS);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["a callback panicked"]);
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
fn resume_accept_orders() {
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
        let at = lp.local_addr(server).unwrap();
        let mut clients = Vec::new();
        let mut trace = Vec::new();
        let mut paused = false;
        for _ in 0..40 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let n = (seed >> 40) % 5;
            trace.push(n);
            match n {
                0 => {
                    lp.pause_accept(server).unwrap();
                    paused = true;
                }
                1 => {
                    lp.resume_accept(server).unwrap();
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
        lp.resume_accept(server).unwrap();
        let n = clients.len() as u64;
        let start = Instant::now();
        while lp.server_stats(server).unwrap().accepted < n {
            if let Some(k) = open.borrow_mut().pop() {
                lp.socket(k).destroy()
            }
            lp.run_nowait().unwrap();
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "stuck: {trace:?} {:?}",
                lp.server_stats(server)
            );
        }
    }
}
