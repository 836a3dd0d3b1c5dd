//! One loop for each core, all on one port (`reuse_port`): the kernel divides the connections
//! among them. The loops share no data, so the program needs no locks.
//!
//! ```text
//! cargo run --release --example many_loops [LOOPS [CLIENTS]]     # default: cores, 2000
//! ```
//! It ends by itself.

use std::io;
use std::net::SocketAddr;
use std::process::exit;
use std::sync::mpsc;
use std::thread;

use tidegate::Remote;
use tidegate::prelude::*;

/// The thread of one server: sends where it listens, serves until it has to stop, and returns how
/// many connections it had.
fn serve(at: SocketAddr, say: &mpsc::Sender<(SocketAddr, Remote)>) -> io::Result<u64> {
    let mut lp = Loop::new()?;
    let options = ListenOptions::new(at).reuse_port(true).backlog(1024);
    let server = lp.listen(options, |conn| {
        conn.accept(On::new().data(|s, chunk| {
            let _ = s.end_with(chunk);
        }));
    })?;
    let told = (lp.server(server).local_addr()?, lp.remote());
    say.send(told).map_err(io::Error::other)?;
    lp.run()?;
    Ok(lp.server(server).stats()?.accepted)
}

/// Clients, several at a time, each with one question.
fn ask(at: SocketAddr, clients: usize) -> io::Result<usize> {
    let mut lp = Loop::new()?;
    let answered = std::rc::Rc::new(std::cell::Cell::new(0));
    for first in (0..clients).step_by(100) {
        for _ in first..clients.min(first + 100) {
            let a = answered.clone();
            let question = On::new()
                .connect(|s| {
                    let _ = s.write(b"?");
                })
                .data(move |_, _| a.set(a.get() + 1));
            lp.connect(at, question);
        }
        lp.run()?;
    }
    Ok(answered.get())
}

/// Says why a loop could not serve, and ends.
fn give_up(n: usize, why: &io::Error) -> ! {
    eprintln!("loop {n}: {why}");
    exit(1)
}

const USAGE: &str = "usage: many_loops [LOOPS [CLIENTS]]; at least one of each";

fn main() {
    if std::env::args().any(|a| a == "--help") {
        return println!("{USAGE}");
    }
    env_logger::init();
    let cores = thread::available_parallelism().map_or(2, |n| n.get());
    let mut numbers = [cores, 2000];
    for (n, text) in std::env::args().skip(1).enumerate() {
        match (numbers.get_mut(n), text.parse()) {
            (Some(number), Ok(given)) if given > 0 => *number = given,
            _ => {
                eprintln!("{text:?} is not a valid number here\n{USAGE}");
                exit(2)
            }
        }
    }
    let [loops, clients] = numbers;

    let mut at = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut threads, mut remotes) = (Vec::new(), Vec::new());
    for _ in 0..loops {
        let ((say, hear), port) = (mpsc::channel(), at);
        let thread = thread::spawn(move || serve(port, &say));
        let Ok((address, remote)) = hear.recv() else {
            match thread.join() {
                Ok(Err(e)) => give_up(threads.len(), &e),
                _ => give_up(threads.len(), &io::Error::other("the loop panicked")),
            }
        };
        at = address;
        remotes.push(remote);
        threads.push(thread);
    }
    println!("{loops} loops listen on {at}");
    let answered = ask(at, clients).unwrap_or_else(|e| {
        eprintln!("the clients: {e}");
        exit(1)
    });
    println!("{answered} clients were answered");
    for remote in &remotes {
        let _ = remote.post(|cx| cx.stop());
    }
    for (n, thread) in threads.into_iter().enumerate() {
        let served = thread.join().unwrap_or_else(|_| Err(io::Error::other("the loop panicked")));
        let accepted = served.unwrap_or_else(|e| give_up(n, &e));
        println!("  loop {n}: {accepted:>5} connections");
    }
}
