//! All contests, by subject. Each bench runs some of them, the report runs all.
#![forbid(unsafe_code)]

mod futures;

pub use self::futures::futures;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::contest::{Contender, Contest, Unit};
use crate::load::{self, PingPong, Slice, Talk};
use crate::micro::{Sides, lookup, post, timers, turns, work};
use crate::peer::contract::{Mode, Options, Stamps};
use crate::server::{Peer, Server};
use crate::stats::quantile;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Cycles of a contest of short slices.
    pub cycles: usize,
    /// Cycles of one in which a slice takes about a second.
    pub long_cycles: usize,
    /// How long a slice of connections or messages takes.
    pub slice: Duration,
    /// Connections that queue.
    pub queued: usize,
    /// Bytes that are pumped.
    pub pumped: usize,
    /// The many: timers, small writes.
    pub many: u32,
    /// Operations of the smaller kinds.
    pub some: u64,
    /// Rounds of an echo behind a flood.
    pub rounds: usize,
}

impl Scale {
    /// Everything once, to see that it works.
    pub const TEST: Scale = Scale {
        cycles: 1,
        long_cycles: 1,
        slice: Duration::from_millis(2),
        queued: 200,
        pumped: 4 << 20,
        many: 10_000,
        some: 200,
        rounds: 2,
    };
    /// For a quick look: half a minute for all.
    pub const QUICK: Scale = Scale {
        cycles: 3,
        long_cycles: 1,
        slice: Duration::from_millis(20),
        queued: 2000,
        pumped: 64 << 20,
        many: 100_000,
        some: 2_000,
        rounds: 20,
    };
    /// To be quoted.
    pub const FULL: Scale = Scale {
        cycles: 21,
        long_cycles: 4,
        slice: Duration::from_millis(50),
        queued: 4000,
        pumped: 256 << 20,
        many: 1_000_000,
        some: 20_000,
        rounds: 100,
    };

    /// Between the two counts, for slices that are neither short nor long.
    pub(crate) fn some_cycles(&self) -> usize {
        (self.cycles / 3).max(self.long_cycles)
    }
}

/// Accept budgets that are compared; the last is unlimited.
pub const BUDGETS: [u32; 4] = [1, 8, 64, u32::MAX];

/// A budget in words.
pub fn budget_name(budget: u32) -> String {
    match budget {
        u32::MAX => "budget unlimited".to_owned(),
        n => format!("budget {n}"),
    }
}

fn by_budget(budgets: &[u32]) -> Vec<(String, Peer)> {
    let one = |n: &u32| (format!("tidegate {}", budget_name(*n)), Peer::tidegate(Some(*n)));
    budgets.iter().map(one).collect()
}

fn named(peers: Vec<(&str, Peer)>) -> impl Iterator<Item = (String, Peer)> {
    peers.into_iter().map(|(name, peer)| (name.to_owned(), peer))
}

/// One server each, and what a slice does with it.
fn serving(
    peers: impl Iterator<Item = (String, Peer)>,
    options: impl Into<Options>,
    slice: impl Fn(&Server) -> Vec<f64> + Clone + 'static,
) -> Vec<Contender> {
    let options = options.into();
    peers
        .map(|(name, peer)| {
            let (server, slice) = (Server::start(peer, options.clone()), slice.clone());
            Contender::new(name, move || slice(&server))
        })
        .collect()
}

fn at_once(n: usize) -> String {
    if n == 1 { "one after another".to_owned() } else { format!("{n} at once") }
}

const CPU: &[(&str, Unit)] = &[("", Unit::Cpu)];

/// Connections that come and go, against every peer.
pub fn accept(scale: Scale) -> Vec<Contest> {
    let kinds = [
        ("accept and close", Mode::Accept, Talk::Nothing),
        ("connect, answer, close", Mode::Answer, Talk::Answer),
        ("connect, echo, close", Mode::Echo, Talk::Echo),
    ];
    let mut all = Vec::new();
    for (what, mode, talk) in kinds {
        for n in [1, 64, 512] {
            let name = format!("{what}, {}", at_once(n));
            all.push(Contest::new(name, CPU, scale.cycles, move || {
                serving(named(Peer::all()), mode, move |s| {
                    vec![load::connections(s, n, talk, scale.slice).cpu_each()]
                })
            }));
        }
    }
    all
}

/// Accept budgets against the floor.
pub fn accept_budgets(scale: Scale) -> Vec<Contest> {
    let kinds = [
        ("accept and close", Mode::Accept, Talk::Nothing),
        ("connect, answer, close", Mode::Answer, Talk::Answer),
    ];
    let mut all = Vec::new();
    for (what, mode, talk) in kinds {
        for n in [1, 64, 512] {
            let name = format!("{what}, {}", at_once(n));
            let measures = [("", Unit::Cpu), ("rate", Unit::PerSecond)];
            all.push(Contest::new(name, &measures, scale.cycles.min(11), move || {
                let peers = by_budget(&BUDGETS)
                    .into_iter()
                    .chain(named(vec![("floor", Peer::Floor(None))]));
                serving(peers, mode, move |s| {
                    let slice = load::connections(s, n, talk, scale.slice);
                    vec![slice.cpu_each(), slice.wall_each()]
                })
            }));
        }
    }
    all
}

const QUEUED: &[(&str, Unit)] =
    &[("rate", Unit::PerSecond), ("p50", Unit::Time), ("p99", Unit::Time)];

/// By contender: the last waiting times, in ns, by place in the queue.
pub type Positions = Rc<RefCell<BTreeMap<String, Vec<f64>>>>;

type QueueLoad = fn(&Server, usize, &Stamps) -> Slice;

/// Connections that queued while the server was held up.
fn queue(
    peers: impl IntoIterator<Item = (String, Peer)>,
    n: usize,
    work: Duration,
    (mode, load): (Mode, QueueLoad),
    positions: &Positions,
) -> Vec<Contender> {
    peers
        .into_iter()
        .map(|(name, peer)| {
            let stamps = Stamps::new(n);
            let options = Options { work, stamps: Some(stamps.clone()), ..mode.into() };
            let server = Server::start(peer, options);
            let (positions, key) = (positions.clone(), name.clone());
            Contender::new(name, move || {
                let slice = load(&server, n, &stamps);
                let waited = slice.latencies.as_slice();
                assert_eq!(waited.len(), n, "a callback for each");
                let costs = vec![slice.wall_each(), quantile(waited, 0.5), quantile(waited, 0.99)];
                positions.borrow_mut().insert(key.clone(), slice.latencies);
                costs
            })
        })
        .collect()
}

/// How many of `wanted` the kernel lets queue here.
fn room(wanted: usize) -> usize {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    let most = most.ok().and_then(|n| n.trim().parse::<usize>().ok());
    wanted.min(most.unwrap_or(wanted))
}

/// A queue that is drained, each connection answered by a close.
pub fn queued(scale: Scale) -> Vec<Contest> {
    let n = room(scale.queued);
    let name = format!("{n} queued connections, accept and close");
    vec![Contest::new(name, QUEUED, scale.cycles, move || {
        let load: (Mode, QueueLoad) = (Mode::Accept, load::drained);
        queue(named(Peer::all()), n, Duration::ZERO, load, &Positions::default())
    })]
}

/// A queue of connections that are kept, by accept budget, beside the floor, libuv, and an epoll
/// loop that accepts one in each turn, as libuv does since 1.45. With `work` in every turn tokio
/// cannot take part: it has none.
pub fn queued_budgets(
    scale: Scale,
    work: Duration,
    budgets: &[u32],
    positions: &Positions,
) -> Vec<Contest> {
    let n = room(scale.queued);
    let busy = !work.is_zero();
    let doing = if busy { ", 1 ms of work in each turn" } else { "" };
    let cycles = if busy { scale.long_cycles } else { scale.some_cycles() };
    let (positions, budgets) = (positions.clone(), budgets.to_vec());
    vec![Contest::new(format!("{n} queued connections{doing}"), QUEUED, cycles, move || {
        let mut peers: Vec<(String, Peer)> = by_budget(&budgets);
        peers.push(("floor".into(), Peer::Floor(None)));
        if cfg!(libuv) {
            peers.push(("libuv".into(), Peer::Libuv));
        }
        peers.push(("one a turn".into(), Peer::Floor(Some(1))));
        queue(peers, n, work, (Mode::Discard, load::called), &positions)
    })]
}

/// An established connection while others queue.
pub fn fairness(scale: Scale) -> Vec<Contest> {
    let n = room(scale.queued / 16);
    let measures = [("p50", Unit::Time), ("p99", Unit::Time)];
    let name = format!("echo behind {n} new connections");
    vec![Contest::new(name, &measures, scale.long_cycles, move || {
        let peers = by_budget(&BUDGETS)
            .into_iter()
            .chain(named(Peer::all()).filter(|(name, _)| name != "tidegate"));
        serving(peers, Mode::Echo, move |s| {
            let slice = load::echo_behind(s, n, scale.rounds);
            vec![quantile(&slice.latencies, 0.5), quantile(&slice.latencies, 0.99)]
        })
    })]
}

/// Messages there and back.
pub fn ping_pong(scale: Scale) -> Vec<Contest> {
    let contest = move |n: usize| {
        let name = format!("ping-pong on {n} connection{}", if n == 1 { "" } else { "s" });
        let measures = [("", Unit::PerSecond), ("by CPU", Unit::Cpu)];
        Contest::new(name, &measures, scale.cycles, move || {
            let open = |(name, peer): (&str, Peer)| {
                let server = Server::start(peer, Mode::Echo);
                let mut open = PingPong::open(&server, n);
                Contender::new(name, move || {
                    let slice = open.slice(&server, scale.slice);
                    vec![slice.wall_each(), slice.cpu_each()]
                })
            };
            Peer::all().into_iter().map(open).collect()
        })
    };
    [1, 50, 500].map(contest).into()
}

/// Bytes in bulk.
pub fn pump(scale: Scale) -> Vec<Contest> {
    let contest = move |n: usize| {
        let name = format!("pump over {n} connection{}", if n == 1 { "" } else { "s" });
        let measures = [("", Unit::GibPerSecond)];
        // Windows grow differently from connection to connection.
        Contest::new(name, &measures, scale.cycles * 2 - 1, move || {
            serving(named(Peer::all()), Mode::Discard, move |s| {
                vec![load::pump(s, n, scale.pumped).wall_each() * (1 << 30) as f64]
            })
        })
    };
    [1, 8].map(contest).into()
}

/// Many small writes without a pause.
pub fn write_batch(scale: Scale) -> Vec<Contest> {
    let name = format!("each of {} small writes", crate::contest::thousands(scale.many.into()));
    let measures = [("", Unit::Time), ("by CPU", Unit::Cpu)];
    vec![Contest::new(name, &measures, scale.long_cycles.max(scale.cycles / 4), move || {
        serving(named(Peer::all()), Mode::Batch(scale.many), move |s| {
            let slice = load::receive(s, scale.many, 13);
            vec![slice.wall_each(), slice.cpu_each()]
        })
    })]
}

/// Contenders by plain functions of how often, which return ns in all.
fn counting(n: u64, who: Sides) -> Vec<Contender> {
    let one = |(name, f): &(&'static str, fn(u64) -> u64)| {
        let f = *f;
        Contender::new(*name, move || vec![f(n) as f64 / n as f64])
    };
    who.iter().map(one).collect()
}

fn small(name: &str, n: u64, scale: Scale, who: fn() -> Sides) -> Contest {
    Contest::new(name, &[("", Unit::Time)], scale.cycles, move || counting(n, who()))
}

/// Timers: start, fire, stop, restart.
pub fn timers(scale: Scale) -> Vec<Contest> {
    let n = scale.many;
    let measures = [("start", Unit::Time), ("fire", Unit::Time), ("stop", Unit::Time)];
    let name = format!("timer, one of {}", crate::contest::thousands(n.into()));
    let cycles = scale.long_cycles.max(scale.cycles / 4);
    let many = Contest::new(name, &measures, cycles, move || {
        let one = move |(name, f): &(&'static str, timers::Side)| {
            let f = *f;
            let load = timers::Load::new(n);
            Contender::new(*name, move || {
                let [start, fire] = f(&load, true);
                let [_, stop] = f(&load, false);
                [start, fire, stop].map(|ns| ns as f64 / f64::from(n)).into()
            })
        };
        timers::sides().iter().map(one).collect()
    });
    let measures = [
        ("start in new memory", Unit::Time),
        ("start in used memory", Unit::Time),
        ("restart to later", Unit::Time),
    ];
    let idle = Contest::new("timer, rising deadlines", &measures, cycles, move || {
        let one = move |(name, f): &(&'static str, timers::Idle)| {
            let f = *f;
            Contender::new(*name, move || f(n).map(|ns| ns as f64 / f64::from(n)).into())
        };
        timers::idle_sides().iter().map(one).collect()
    });
    vec![many, idle]
}

/// From other threads.
pub fn posts(scale: Scale) -> Vec<Contest> {
    let n = scale.some;
    vec![
        small("wake from another thread", n * 50, scale, post::wakes),
        small("post from 1 thread", n * 10, scale, post::from_one),
        small("post from 2 threads", n * 10, scale, post::from_two),
        small("post from 4 threads", n * 10, scale, post::from_four),
        small("post and answer", n / 10, scale, post::round_trips),
    ]
}

/// The loop itself.
pub fn turns(scale: Scale) -> Vec<Contest> {
    let n = scale.some * 10;
    vec![
        small("turn with nothing due", n, scale, turns::empty),
        small("turn with an idle hook", n, scale, turns::idle),
        small("next tick", n * 5, scale, turns::ticks),
    ]
}

/// Jobs for other threads, one after another.
pub fn works(scale: Scale) -> Vec<Contest> {
    vec![small("work round trip", scale.some / 5, scale, work::sides)]
}

/// Connections by name, one after another.
pub fn lookups(scale: Scale) -> Vec<Contest> {
    let n = (scale.some / 50).max(4);
    vec![Contest::new(
        "connect to localhost by name",
        &[("", Unit::Time)],
        scale.cycles,
        move || {
            let server = Rc::new(Server::start(Peer::Floor(None), Mode::Discard));
            let one = |(name, f): &(&'static str, lookup::Side)| {
                let f = *f;
                let server = server.clone();
                Contender::new(*name, move || vec![f(n, server.at().port()) as f64 / n as f64])
            };
            lookup::sides().iter().map(one).collect()
        },
    )]
}
