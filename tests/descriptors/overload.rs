//! 500 clients, and a server that may have 64 descriptors: it does not spin, everybody gets
//! an answer, an end or a reset, and it serves on when a descriptor comes free. And a loop
//! that was held up until 1,000 connections waited.
#![cfg(target_os = "linux")]

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::net::*;
use tidegate::prelude::*;

use crate::rlimit::{alone, raise_limit, set_limit};
use crate::support::*;

const CLIENTS: usize = 500;
const POLICY: &str = "TIDEGATE_TEST_POLICY";

/// Counts the callbacks of the server.
struct Counts {
    log: Rc<RefCell<(u32, u64)>>,
}

impl ServerHandler for Counts {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        conn.accept(On::new().data(|s, chunk| {
            let _ = s.write(chunk);
        }));
    }
    fn on_overload(&mut self, _: &mut ServerCx<'_>, overload: Overload) {
        let mut log = self.log.borrow_mut();
        match overload {
            Overload::Shed { connections } => log.0 += connections,
            Overload::Held => log.1 += 1,
            _ => {}
        }
    }
}

/// The server's process: it is this test again, with the policy in its environment. It ends
/// with its standard input.
#[test]
fn the_server_of_the_others() {
    let Ok(policy) = std::env::var(POLICY) else { return };
    set_limit(64);
    let policy = match &policy[..] {
        "shed" => OutOfDescriptors::Shed,
        _ => OutOfDescriptors::Hold,
    };
    let mut lp = Loop::new().unwrap();
    let log = Rc::new(RefCell::new((0, 0)));
    let options = ListenOptions::new("127.0.0.1:0").out_of_descriptors(policy);
    let server = lp.serve(options, Counts { log: log.clone() }).unwrap();
    println!("PORT {}", lp.server(server).local_addr().unwrap().port());
    let remote = lp.remote();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = remote.post(|cx| cx.stop());
    });
    lp.run().unwrap();
    let stats = lp.server(server).stats().unwrap();
    let (told_shed, told_held) = *log.borrow();
    println!(
        "STATS {} {} {} {told_shed} {told_held}",
        stats.accepted - stats.shed,
        stats.shed,
        stats.held
    );
}

struct Server {
    child: Child,
    at: SocketAddr,
    lines: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(policy: &str) -> Server {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "overload::the_server_of_the_others", "--nocapture"])
            .env(POLICY, policy)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let port: u16 = value(&mut lines, "PORT ")[0].try_into().unwrap();
        Server { child, at: ([127, 0, 0, 1], port).into(), lines }
    }

    /// Processor time so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Accepted and served, shed, held, and the last two as the handler was told.
    fn stop(mut self) -> Vec<u64> {
        drop(self.child.stdin.take());
        let stats = value(&mut self.lines, "STATS ");
        self.child.wait().unwrap();
        stats
    }
}

fn value(lines: &mut impl BufRead, of: &str) -> Vec<u64> {
    loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "no line {of}");
        if let Some(at) = line.find(of) {
            return line[at + of.len()..].split_whitespace().map(|n| n.parse().unwrap()).collect();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Waits,
    Answered,
    Closed,
}

/// What became of this client so far.
fn fate(mut c: &TcpStream) -> Fate {
    match c.read(&mut [0; 8]) {
        Ok(0) => Fate::Closed,
        Ok(_) => Fate::Answered,
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Fate::Waits,
        Err(_) => Fate::Closed,
    }
}

fn clients(at: SocketAddr) -> Vec<TcpStream> {
    (0..CLIENTS)
        .map(|_| {
            let c = client(at);
            // One that is shed may be gone already.
            let _ = (&c).write_all(b"x");
            c.set_nonblocking(true).unwrap();
            c
        })
        .collect()
}

fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + DEADLINE;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn held_connections_wait_and_are_served_when_there_is_room() {
    let _alone = alone();
    if raise_limit() < 600 {
        return println!("skipped: not enough descriptors for the clients");
    }
    let server = Server::start("hold");
    let clients = clients(server.at);
    let mut fates = vec![Fate::Waits; CLIENTS];
    let look = |fates: &mut Vec<Fate>| {
        for (c, f) in clients.iter().zip(fates.iter_mut()).filter(|(_, f)| **f == Fate::Waits) {
            *f = fate(c);
        }
        fates.iter().filter(|f| **f == Fate::Answered).count()
    };
    assert!(wait_until(|| look(&mut fates) >= 40));
    // Exhausted: as many as it has descriptors for, and then it rests.
    let before = server.cpu();
    std::thread::sleep(Duration::from_secs(1));
    let spent = server.cpu() - before;
    assert!(spent <= Duration::from_millis(50), "{spent:?} of processor time in a second");
    let served = look(&mut fates);
    assert!(served < 64 && !fates.contains(&Fate::Closed), "{served} served");
    // A place comes free.
    let first = fates.iter().position(|f| *f == Fate::Answered).unwrap();
    clients[first].shutdown(std::net::Shutdown::Both).unwrap();
    assert!(wait_until(|| look(&mut fates) > served));
    // Each peer that was answered leaves: in the end all were.
    let mut left = vec![false; CLIENTS];
    assert!(wait_until(|| {
        let answered = look(&mut fates);
        for (i, c) in clients.iter().enumerate() {
            if fates[i] == Fate::Answered && !left[i] {
                left[i] = true;
                let _ = c.shutdown(std::net::Shutdown::Both);
            }
        }
        answered == CLIENTS
    }));
    let stats = server.stop();
    assert_eq!((stats[0], stats[1]), (CLIENTS as u64, 0));
    assert!(stats[2] > 0 && stats[4] == stats[2], "held, and told: {stats:?}");
}

#[test]
fn shed_connections_are_closed_at_once() {
    let _alone = alone();
    if raise_limit() < 600 {
        return println!("skipped: not enough descriptors for the clients");
    }
    let server = Server::start("shed");
    let clients = clients(server.at);
    let mut fates = vec![Fate::Waits; CLIENTS];
    assert!(wait_until(|| {
        for (c, f) in clients.iter().zip(fates.iter_mut()).filter(|(_, f)| **f == Fate::Waits) {
            *f = fate(c);
        }
        !fates.contains(&Fate::Waits)
    }));
    let answered = fates.iter().filter(|f| **f == Fate::Answered).count();
    assert!((40..64).contains(&answered), "{answered} answered");
    let before = server.cpu();
    std::thread::sleep(Duration::from_secs(1));
    let spent = server.cpu() - before;
    assert!(spent <= Duration::from_millis(50), "{spent:?} of processor time in a second");
    let first = fates.iter().position(|f| *f == Fate::Answered).unwrap();
    clients[first].shutdown(std::net::Shutdown::Both).unwrap();
    // As soon as the server has seen that, the next is served.
    assert!(wait_until(|| {
        let c = client(server.at);
        let _ = (&c).write_all(b"y");
        matches!((&c).read(&mut [0]), Ok(1))
    }));
    let stats = server.stop();
    let [served, shed, held, told_shed, _] = stats[..] else { panic!() };
    assert_eq!(served, answered as u64 + 1);
    assert!(shed >= (CLIENTS - answered) as u64 && shed == told_shed, "{stats:?}");
    assert_eq!(held, 0, "{stats:?}");
}

/// 1,000 connections wait: they are drained in ceil(1000 / budget) turns and at most one
/// more, and an echo beside them is served at most two turns after its byte came. So it is
/// with a millisecond of work in each turn.
#[test]
fn a_queue_of_1_000_is_drained_by_budget_and_an_echo_beside_it_is_served() {
    const QUEUED: usize = 1000;
    let _alone = alone();
    if raise_limit() < 2_200 {
        return println!("skipped: not enough descriptors for the clients");
    }
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    if most.trim().parse::<usize>().unwrap_or(0) < 1024 {
        return println!("skipped: net.core.somaxconn is {}", most.trim());
    }
    for (budget, work) in [(64, 0), (64, 1), (10, 0), (1000, 0)] {
        let mut lp = guarded();
        let accepted_in = Rc::new(RefCell::new(Vec::new()));
        let echoed_in = Rc::new(Cell::new(0));
        let (a, e) = (accepted_in.clone(), echoed_in.clone());
        let options = ListenOptions::new("127.0.0.1:0").backlog(1024).accept_budget(budget);
        let server = lp
            .listen(options, move |mut conn| {
                a.borrow_mut().push(conn.cx().turn());
                let e = e.clone();
                conn.accept(On::new().data(move |s, chunk| {
                    e.set(s.cx().turn());
                    let _ = s.write(chunk);
                }));
            })
            .unwrap();
        if work > 0 {
            lp.prepare(move |_, _| {
                let end = Instant::now() + Duration::from_millis(work);
                while Instant::now() < end {}
            });
        }
        let at = lp.server(server).local_addr().unwrap();
        let echo = client(at);
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
        // The loop is held up: it does not run while they come.
        let queued: Vec<_> = (0..QUEUED).map(|_| client(at)).collect();
        write_all(&echo, b"x");
        let start = lp.metrics().turns;
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1 + QUEUED as u64);
        let accepted = accepted_in.borrow();
        let turns = accepted[QUEUED] - accepted[1] + 1;
        let full = QUEUED.div_ceil(budget as usize) as u64;
        assert!(turns <= full + 1, "{turns} turns with a budget of {budget}, {full} full ones");
        turn_until(&mut lp, |_| echoed_in.get() > 0);
        let waited = echoed_in.get() - start;
        assert!(waited <= 2, "the echo waited {waited} turns (budget {budget}, work {work} ms)");
        let mut byte = [0];
        (&echo).read_exact(&mut byte).unwrap();
        drop(queued);
    }
}
