//! Futures on tidegate, beside tokio and other executors.
#![forbid(unsafe_code)]

use super::{Scale, small};
use crate::contest::{Contender, Contest, Unit};
use crate::load::PingPong;
use crate::micro::tasks;
use crate::peer::contract::Mode;
use crate::server::{Peer, Server};

type Open = fn(&Server, usize) -> PingPong;

/// A task for each connection, on tidegate and on tokio: hyper's `hello`, and an echo.
fn served(scale: Scale) -> impl Iterator<Item = Contest> {
    let kinds: [(&str, Mode, Open); 2] = [
        ("hyper, hello on", Mode::Hello, PingPong::over_http),
        ("echo by tasks on", Mode::Echo, PingPong::open),
    ];
    let contest = move |(what, mode, open): (&str, Mode, Open), n: usize| {
        let name = format!("{what} {n} connection{}", if n == 1 { "" } else { "s" });
        let measures = [("", Unit::PerSecond), ("by CPU", Unit::Cpu)];
        Contest::new(name, &measures, scale.cycles, move || {
            let one = |(name, peer)| {
                let server = Server::start(peer, mode);
                let mut open = open(&server, n);
                Contender::new(name, move || {
                    let slice = open.slice(&server, scale.slice);
                    vec![slice.wall_each(), slice.cpu_each()]
                })
            };
            [("tidegate", Peer::Tasks), ("tokio", Peer::Tokio)].map(one).into()
        })
    };
    kinds.into_iter().flat_map(move |kind| [1, 64].map(|n| contest(kind, n)))
}

/// What it costs to spawn, to yield, and to wake another task.
fn executed(scale: Scale) -> [Contest; 5] {
    // Whole rounds of all that are there at once.
    let n = (scale.some * 2).next_multiple_of(tasks::MANY);
    [
        small("spawn and await a task", n, scale, tasks::spawn_one),
        small("spawn 1,000 tasks and await them, one of them", n, scale, tasks::spawn_many),
        small("yield of the only task", n, scale, tasks::yield_alone),
        small("yield of one of 1,000 tasks", n, scale, tasks::yield_many),
        small("ping and pong of two tasks", n, scale, tasks::ping_pong),
    ]
}

/// Servers on tasks, and tasks alone.
pub fn futures(scale: Scale) -> Vec<Contest> {
    served(scale).chain(executed(scale)).collect()
}
