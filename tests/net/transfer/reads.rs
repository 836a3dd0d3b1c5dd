//! What one read brings: at most 64 KiB, whatever else the lent memory was made for; and what cuts
//! it short.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use tidegate::kind::{Kind, Owner};
use tidegate::prelude::*;

use crate::support::*;

static MINE: Owner = Owner::new();

static GREEDY: Kind = Kind::new("greedy", &MINE).ready(|d, key, _| {
    assert!(d.lend_scratch(1 << 20).is_some_and(|(memory, _)| memory.len() >= 1 << 20));
    d.driver().handle(&MINE, key).unwrap().close();
});

/// The manual: a pipe keeps "at most what the kernel refused of one read of 64 KiB".
#[test]
fn one_read_is_64_kib_whatever_else_was_lent() {
    let mut lp = guarded();
    let mut cx = lp.cx();
    cx.driver().insert(&GREEDY, 0).unwrap().queue();
    lp.run_nowait().unwrap();
    let (peer, ours) = pair();
    socket2::SockRef::from(&ours).set_recv_buffer_size(1 << 20).unwrap();
    let writes = std::thread::spawn(move || write_all(&peer, &vec![7; 512 << 10]));
    // So that more than one read is there at once.
    let there = |ours: &std::net::TcpStream| {
        let mut bytes = vec![0; 128 << 10];
        ours.peek(&mut bytes).unwrap() > 64 << 10
    };
    let began = Instant::now();
    while !there(&ours) {
        assert!(began.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    let (total, largest) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (t, l) = (total.clone(), largest.clone());
    let on = On::new().data(move |_, chunk| {
        t.set(t.get() + chunk.len());
        l.set(chunk.len().max(l.get()));
    });
    lp.adopt(ours, on).unwrap();
    turn_until(&mut lp, |_| total.get() == 512 << 10);
    writes.join().unwrap();
    assert_eq!(largest.get(), 64 << 10);
}

/// Urgent data cuts a read short although more is there: what follows does not wait.
#[test]
fn libuv_58_urgent_data_holds_nothing_up() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let l = l.clone();
            conn.accept(On::new().data(move |_, chunk| l.add(String::from_utf8_lossy(chunk))));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
    lp.run_nowait().unwrap();
    write_all(&c, b"abc");
    socket2::SockRef::from(&c).send_out_of_band(b"!").unwrap();
    write_all(&c, b"request");
    turn_until(&mut lp, |_| log.lines().concat() == "abcrequest");
}
