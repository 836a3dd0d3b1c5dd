//! User memory of idle connections: what the server's thread has allocated, by how many are
//! open. The kernel's part is not in it.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::os::fd::OwnedFd;

use tidegate_bench::contest::thousands;
use tidegate_bench::load::MESSAGE;
use tidegate_bench::peer::contract::{Mode, Options};
use tidegate_bench::server::{Peer, Server};
use tidegate_bench::sys::{allocator, epoll};

/// What each peer held: how many were open, and bytes for each.
pub(crate) type Memory = Vec<(&'static str, Vec<(usize, f64)>)>;

/// The read buffer of a connection, of peers that have one for each.
pub(crate) const BUFFER: usize = 4096;

/// One message there and back, as every connection has seen some.
fn greet(fd: &OwnedFd) {
    let sent = epoll::write(fd, &[7; MESSAGE]);
    assert_eq!(sent.ok(), Some(MESSAGE));
    epoll::wait_readable(fd);
    assert_eq!(epoll::read(fd, &mut [0; MESSAGE]).ok(), Some(MESSAGE));
}

/// What a peer holds for each connection, by how many are open.
pub(crate) fn of(peer: Peer, counts: &[usize]) -> Vec<(usize, f64)> {
    let before = allocator::held();
    let options = Options { counted: true, buffer: BUFFER, ..Mode::Echo.into() };
    let server = Server::start(peer, options);
    // What the first one needs belongs to the server.
    let first = epoll::connect(server.at()).expect("a connection");
    greet(&first);
    server.settle();
    let base = allocator::held();
    let mut open = Vec::new();
    let mut held = Vec::new();
    for count in counts {
        while open.len() < *count {
            let fd = epoll::connect(server.at()).expect("a connection");
            greet(&fd);
            open.push(fd);
        }
        server.settle();
        held.push((*count, (allocator::held() - base) as f64 / *count as f64));
    }
    drop(open);
    drop(first);
    server.settle();
    drop(server);
    // What was allocated is freed, or the counting is wrong.
    let left = allocator::held() - before;
    assert!(left.abs() < 64 * 1024, "{left} bytes are left over");
    held
}

/// Opens more and more, each peer by itself.
pub(crate) fn measure(quick: bool, descriptors: u64) -> Memory {
    let counts: &[usize] =
        if quick { &[250, 500, 1000] } else { &[250, 500, 1000, 2000, 4000, 6000, 8000] };
    // Both ends are here.
    let room = (descriptors.saturating_sub(200) / 2) as usize;
    let counts: Vec<usize> = counts.iter().copied().filter(|n| *n <= room).collect();
    Peer::all().into_iter().map(|(name, peer)| (name, of(peer, &counts))).collect()
}

/// As a table.
pub(crate) fn page(memory: &Memory) -> String {
    let mut out = format!(
        "Bytes of user memory for each connection that has echoed one message and is idle, the \
         handler included; tables double as they grow, so some counts leave more of them unused \
         than others. tidegate, the floor and libuv read into one buffer for all; tokio's task \
         has one of {} bytes.\n\n| connections |",
        thousands(BUFFER as f64)
    );
    for (name, _) in memory {
        let _ = write!(out, " {name} |");
    }
    let _ = writeln!(out, "\n|---:|{}", "---:|".repeat(memory.len()));
    for (row, (count, _)) in memory.first().map_or(&[][..], |(_, held)| held).iter().enumerate() {
        let _ = write!(out, "| {} |", thousands(*count as f64));
        for (_, held) in memory {
            let _ = write!(out, " {} |", thousands(held[row].1));
        }
        out.push('\n');
    }
    out
}
