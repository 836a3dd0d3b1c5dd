//! What the options of a server do to connections that come: one small table each, through
//! tidegate's own options.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt::Write;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use tidegate::net::{AtLimit, ListenOptions};
use tidegate_bench::contest::{Outcome, thousands, time};
use tidegate_bench::load::{self, MESSAGE, Talk};
use tidegate_bench::peer::contract::{BACKLOG, Mode, Options, Stamps};
use tidegate_bench::server::{Peer, Server};
use tidegate_bench::stats::{median, quantile};
use tidegate_bench::suite::{BUDGETS, budget_name};
use tidegate_bench::sys::cores::Core;
use tidegate_bench::sys::epoll::{self, Epoll, Events};

fn listen() -> ListenOptions {
    ListenOptions::new("127.0.0.1:0").backlog(BACKLOG)
}

fn serve(listen: ListenOptions, options: impl Into<Options>) -> Server {
    Server::start(Peer::Tidegate(Box::new(listen)), options)
}

/// An option, and what was measured of it: a sentence or two, and a table. The manual's
/// chapter has each in its place.
pub(crate) struct Tuned {
    pub(crate) option: &'static str,
    pub(crate) text: String,
}

/// Puts each text into its place in the chapter: between two comments, the first of which names
/// the option. Without a chapter below the folder of the report there is nothing to do.
pub(crate) fn into_chapter(tuned: &[Tuned], chapter: &Path) -> io::Result<()> {
    let mut page = match std::fs::read_to_string(chapter) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    for Tuned { option, text } in tuned {
        let begin = format!("<!-- measured: {option} -->\n\n");
        let place = page.find(&begin).map(|at| at + begin.len());
        let place = place.and_then(|at| Some(at..at + page[at..].find("\n<!-- end -->")?));
        let Some(place) = place else {
            return Err(io::Error::other(format!(
                "{} has no place for {option}",
                chapter.display()
            )));
        };
        page.replace_range(place, text);
    }
    std::fs::write(chapter, page)
}

fn table(option: &'static str, about: &str, header: &str, rows: &[Vec<String>]) -> Tuned {
    let mut out = format!("{about}\n\n| {header} |\n");
    let columns = header.split('|').count();
    let _ = writeln!(out, "|{}", "---:|".repeat(columns));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    Tuned { option, text: out }
}

/// What a budget trades: the wait of new connections against that of established ones.
pub(crate) fn budget(busy: &[Outcome], fair: &[Outcome]) -> Option<Tuned> {
    let ([busy], [fair]) = (busy, fair) else { return None };
    let row = |budget: &u32| {
        let name = format!("tidegate {}", budget_name(*budget));
        let (b, f) = (busy.place(&name)?, fair.place(&name)?);
        let name = if *budget == u32::MAX { "unlimited".into() } else { budget.to_string() };
        let times = [busy.cost(b, 1), busy.cost(b, 2), fair.cost(f, 0), fair.cost(f, 1)];
        Some(std::iter::once(name).chain(times.map(time)).collect())
    };
    let rows: Vec<Vec<String>> = BUDGETS.iter().filter_map(row).collect();
    let about = format!(
        "A larger `accept_budget` lets new connections in sooner when turns are long ({}), and \
         makes established ones wait for it ({}).",
        busy.name, fair.name
    );
    let header = "accept_budget | new: p50 | new: p99 | echo: p50 | echo: p99";
    Some(table("accept_budget", &about, header, &rows))
}

/// The others, measured here.
pub(crate) fn rest(quick: bool, tell: impl Fn(&str)) -> Vec<Tuned> {
    let mut all = Vec::new();
    tell("tuning: backlog");
    all.push(backlog());
    tell("tuning: reuse_port");
    all.push(reuse_port(if quick { 3 } else { 11 }));
    tell("tuning: defer_accept");
    all.push(defer_accept(if quick { 50 } else { 400 }));
    tell("tuning: max_connections");
    all.push(max_connections());
    all
}

const CROWD: usize = 256;

fn backlog() -> Tuned {
    let row = |backlog: u32| {
        let server = serve(listen().backlog(backlog), Mode::Accept);
        let epoll = Epoll::new().expect("an epoll instance");
        let mut events = Events::with_capacity(1024);
        server.hold();
        let begin = Instant::now();
        let open: Vec<OwnedFd> = (0..CROWD)
            .map(|n| {
                let fd = epoll::connect(server.at()).expect("a connection");
                epoll.add(&fd, epoll::OUT | epoll::EDGE, n as u64).expect("it can be watched");
                fd
            })
            .collect();
        let mut took: Vec<Option<Duration>> = vec![None; CROWD];
        let mut held = true;
        while took.contains(&None) && begin.elapsed() < Duration::from_secs(8) {
            for i in 0..epoll.wait(&mut events, 10) {
                let (n, ready) = events.get(i);
                if ready & epoll::OUT != 0 {
                    took[n as usize].get_or_insert(begin.elapsed());
                }
            }
            if held && begin.elapsed() > Duration::from_millis(100) {
                server.go_on();
                held = false;
            }
        }
        if held {
            server.go_on();
        }
        drop(open);
        let soon = took.iter().flatten().filter(|t| **t < Duration::from_millis(500)).count();
        let slowest = match took.iter().copied().collect::<Option<Vec<_>>>() {
            Some(all) => time(all.into_iter().max().unwrap_or_default().as_nanos() as f64),
            None => "more than 8 s".into(),
        };
        vec![backlog.to_string(), soon.to_string(), (CROWD - soon).to_string(), slowest]
    };
    let rows: Vec<Vec<String>> = [16, 128, 1024].map(row).into();
    let about = format!(
        "{CROWD} clients connect while the loop is busy for 100 ms. What does not fit into \
         `backlog` is not refused: the kernel drops the SYN, and the client sends it again after \
         a second."
    );
    let header = "backlog | connected at once | after another SYN | slowest connect";
    table("backlog", &about, header, &rows)
}

fn reuse_port(cycles: usize) -> Tuned {
    let row = |loops: usize| {
        let mut servers: Vec<(Server, std::sync::Arc<Stamps>)> = Vec::new();
        for n in 0..loops {
            let at = servers.first().map(|(s, _)| ListenOptions::new(s.at()).backlog(BACKLOG));
            let at = at.unwrap_or_else(listen).reuse_port(true);
            let stamps = Stamps::new(1 << 18);
            let options = Options { stamps: Some(stamps.clone()), ..Mode::Accept.into() };
            let core = if n == 0 { Core::Server } else { Core::Any };
            let peer = Peer::Tidegate(Box::new(at));
            servers.push((Server::start_on(core, peer, options), stamps));
        }
        let (mut rates, mut shares, mut costs) = (vec![], vec![], vec![]);
        for _ in 0..cycles {
            let before: Duration = servers.iter().map(|(s, _)| s.cpu()).sum();
            let during = Duration::from_millis(50);
            let slice = load::connections(&servers[0].0, 64, Talk::Nothing, during);
            servers.iter().for_each(|(s, _)| s.settle());
            let after: Duration = servers.iter().map(|(s, _)| s.cpu()).sum();
            let counts: Vec<f64> =
                servers.iter().map(|(_, stamps)| stamps.take().len() as f64).collect();
            let (all, most) =
                (counts.iter().sum::<f64>(), counts.iter().copied().fold(0.0, f64::max));
            rates.push(1e9 / slice.wall_each());
            shares.push(100.0 * most / all);
            costs.push((after - before).as_nanos() as f64 / slice.ops as f64);
        }
        vec![
            loops.to_string(),
            thousands(median(&rates)),
            format!("{:.0} %", median(&shares)),
            time(median(&costs)),
        ]
    };
    let rows: Vec<Vec<String>> = [1, 2].map(row).into();
    let about = "Loops that share a port with `reuse_port`, each in its thread, 64 clients at \
                 once: the kernel deals connections out by a hash, not by who is idle. The \
                 client takes one core for itself, so a gain in rate needs more than two.";
    let header = "loops | connections/s | of the busiest loop | server CPU for each";
    table("reuse_port", about, header, &rows)
}

fn defer_accept(connections: u64) -> Tuned {
    let row = |deferred: bool| {
        let listen = listen();
        let listen = if deferred { listen.defer_accept(Duration::from_secs(5)) } else { listen };
        let server = serve(listen, Mode::Echo);
        let mut answered = Vec::new();
        let mut one = || {
            let fd = epoll::connect(server.at()).expect("a connection");
            // The request comes when the connection was noticed, or not.
            std::thread::sleep(Duration::from_millis(1));
            let sent = Instant::now();
            epoll::write(&fd, &[7; MESSAGE]).expect("a connection");
            epoll::wait_readable(&fd);
            epoll::read(&fd, &mut [0; MESSAGE]).expect("an echo");
            answered.push(sent.elapsed().as_nanos() as f64);
            drop(fd);
            std::thread::sleep(Duration::from_millis(1));
        };
        (0..10).for_each(|_| one());
        let (turns, cpu) = (server.turns(), server.cpu());
        (0..connections).for_each(|_| one());
        server.settle();
        let cpu = server.cpu() - cpu;
        // Those of asking are two.
        let turns = (server.turns() - turns).saturating_sub(2);
        vec![
            if deferred { "5 s" } else { "off" }.to_owned(),
            format!("{:.1}", turns as f64 / connections as f64),
            time(cpu.as_nanos() as f64 / connections as f64),
            time(quantile(&answered, 0.5)),
        ]
    };
    let rows: Vec<Vec<String>> = [false, true].map(row).into();
    let about = "Clients that connect, and send 1 ms later. With `defer_accept` the kernel keeps \
                 a connection until its first bytes are here, and the loop wakes up once for \
                 both.";
    let header = "defer_accept | turns for each | server CPU for each | p50 of the answer";
    table("defer_accept", about, header, &rows)
}

const PLACES: usize = 64;
const STAY: Duration = Duration::from_millis(20);

fn max_connections() -> Tuned {
    let row = |(name, beyond): (&str, AtLimit)| {
        let server = serve(listen().max_connections(PLACES, beyond), Mode::Echo);
        let epoll = Epoll::new().expect("an epoll instance");
        let mut events = Events::with_capacity(1024);
        let begin = Instant::now();
        let mut open: Vec<Option<OwnedFd>> = (0..CROWD)
            .map(|n| {
                let fd = epoll::connect(server.at()).expect("a connection");
                let interest = epoll::IN | epoll::END | epoll::EDGE;
                epoll.add(&fd, interest, n as u64).expect("it can be watched");
                // One that was dropped at once says so below.
                let _ = epoll::write(&fd, &[7; MESSAGE]);
                Some(fd)
            })
            .collect();
        let (mut answered, mut dropped, mut slowest) = (0, 0, Duration::ZERO);
        let mut leaving: VecDeque<(Instant, usize)> = VecDeque::new();
        while answered + dropped < CROWD && begin.elapsed() < Duration::from_secs(5) {
            for i in 0..epoll.wait(&mut events, 1) {
                let n = events.get(i).0 as usize;
                let Some(fd) = &open[n] else { continue };
                if matches!(epoll::read(fd, &mut [0; MESSAGE]), Ok(MESSAGE)) {
                    answered += 1;
                    slowest = begin.elapsed();
                    leaving.push_back((Instant::now() + STAY, n));
                } else {
                    dropped += 1;
                    open[n] = None;
                }
            }
            while leaving.front().is_some_and(|(when, _)| *when <= Instant::now()) {
                leaving.pop_front().into_iter().for_each(|(_, n)| open[n] = None);
            }
        }
        let slowest = time(slowest.as_nanos() as f64);
        vec![name.to_owned(), answered.to_string(), dropped.to_string(), slowest]
    };
    let kinds = [("Drop", AtLimit::Drop), ("Hold", AtLimit::Hold)];
    let rows: Vec<Vec<String>> = kinds.map(row).into();
    let about = format!(
        "`max_connections({PLACES}, ..)`, {CROWD} clients at once, each of which stays for {} ms \
         after its answer. `Drop` tells the others at once; `Hold` lets them wait in the \
         kernel's queue until there is room.",
        STAY.as_millis()
    );
    let header = "beyond the limit | answered | closed unanswered | slowest answer";
    table("max_connections", &about, header, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_replaces_the_last_one_in_the_chapter() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let before = std::fs::read_to_string(root.join("docs/manual/tuning_accept.md")).unwrap();
        let copy = std::env::temp_dir().join(format!("tuning-{}.md", std::process::id()));
        std::fs::write(&copy, &before).unwrap();
        let all = ["accept_budget", "backlog", "reuse_port", "defer_accept", "max_connections"];
        let all = all.map(|option| table(option, "what it does.", "a | b", &[]));
        into_chapter(&all, &copy).unwrap();
        let once = std::fs::read_to_string(&copy).unwrap();
        assert_eq!(once.matches("what it does.\n\n| a | b |").count(), all.len());
        into_chapter(&all, &copy).unwrap();
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), once, "nothing piles up");
        let unknown = table("no_such_option", "", "a", &[]);
        assert!(into_chapter(&[unknown], &copy).is_err());
        std::fs::remove_file(&copy).unwrap();
    }
}
