//! A process to be traced: the loop on its first thread, clients on another, in step: the
//! loop turns when they have done their part, so that the calls are the same each time.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use socket2::SockRef;
use tidegate::prelude::*;

const MESSAGE: [u8; 64] = [7; 64];

/// Connections that are served in one turn.
pub(super) const CROWD: u64 = 16;

/// What each client does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Connect,
    Ask,
    TakeAnswer,
    /// Sees the server's end.
    SeeEnd,
    Close,
}

/// What the clients do before each turn of the loop.
type Turns = &'static [&'static [Act]];

struct Plan {
    name: &'static str,
    /// The server keeps its connections, and echoes.
    echoes: bool,
    before: Turns,
    again: Turns,
}

const PLANS: [Plan; 3] = [
    Plan {
        name: "accept_and_close",
        echoes: false,
        before: &[],
        again: &[&[Act::Connect], &[Act::SeeEnd]],
    },
    Plan {
        name: "connect_echo_close",
        echoes: true,
        before: &[],
        again: &[&[Act::Connect, Act::Ask], &[Act::TakeAnswer, Act::Close]],
    },
    Plan {
        name: "echo",
        echoes: true,
        before: &[&[Act::Connect, Act::Ask]],
        again: &[&[Act::TakeAnswer, Act::Ask]],
    },
];

/// The operations that can be traced.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PLANS.iter().map(|plan| plan.name)
}

fn act(act: Act, at: SocketAddr, open: &mut Vec<TcpStream>) -> io::Result<()> {
    match act {
        Act::Connect => {
            for _ in 0..CROWD {
                open.push(TcpStream::connect(at)?);
            }
        }
        Act::Ask => open.iter().try_for_each(|mut c| c.write_all(&MESSAGE))?,
        Act::TakeAnswer => {
            open.iter().try_for_each(|mut c| c.read_exact(&mut [0; MESSAGE.len()]))?;
        }
        Act::SeeEnd => {
            for mut c in open.drain(..) {
                while c.read(&mut [0; 1])? > 0 {}
                // No TIME_WAIT.
                SockRef::from(&c).set_linger(Some(Duration::ZERO))?;
            }
        }
        Act::Close => open.clear(),
    }
    Ok(())
}

/// The clients' thread: does what the main thread asks for, and answers.
fn clients(at: SocketAddr, orders: &mpsc::Receiver<&[Act]>, done: &mpsc::Sender<io::Result<()>>) {
    let mut open = Vec::new();
    for acts in orders {
        if done.send(acts.iter().try_for_each(|a| act(*a, at, &mut open))).is_err() {
            return;
        }
    }
}

/// Does an operation [`CROWD`] times in a turn or two, and that so many times.
pub(crate) fn operate(name: &str, rounds: u64) -> io::Result<()> {
    let unknown = || io::Error::new(io::ErrorKind::InvalidInput, name.to_owned());
    let plan = PLANS.iter().find(|plan| plan.name == name).ok_or_else(unknown)?;
    let mut lp = Loop::new()?;
    let echoes = plan.echoes;
    let server = lp.listen("127.0.0.1:0", move |conn| {
        if echoes {
            conn.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
            }));
        } else {
            conn.reject();
        }
    })?;
    let at = lp.server(server).local_addr()?;
    let (order, orders) = mpsc::channel();
    let (done, was_done) = mpsc::channel();
    let thread = std::thread::spawn(move || clients(at, &orders, &done));
    let mut turns = |turns: Turns| {
        for acts in turns {
            let sent = order.send(*acts).is_ok();
            was_done.recv().map_err(io::Error::other)??;
            // The end that clients see needs no turn.
            if sent && *acts != [Act::SeeEnd] {
                lp.run_once()?;
            }
        }
        Ok::<(), io::Error>(())
    };
    turns(plan.before)?;
    for _ in 0..rounds {
        turns(plan.again)?;
    }
    drop(order);
    thread.join().map_err(|_| io::Error::other("the clients panicked"))
}
