//! Out of descriptors: no spin, nothing lost, and on it goes when one comes
//! free. One test in a process of its own, because it lowers the limit.
#![cfg(target_os = "linux")]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use support::*;
use tidegate::prelude::*;

#[allow(unsafe_code)]
fn set_limit(soft: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid pointer to a local rlimit.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = soft;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        before
    }
}

/// The lowest descriptor number that is free.
fn next_descriptor() -> u64 {
    use std::os::fd::AsRawFd;
    std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64
}

#[test]
fn out_of_descriptors_holds_without_a_spin_and_loses_nobody() {
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
    let at = lp.local_addr(server).unwrap();
    let keep = client(at);
    turn_until(&mut lp, |lp| lp.server_stats(server).unwrap().accepted == 1);
    let clients: Vec<_> = (0..20).map(|_| client(at)).collect();

    let before = set_limit(next_descriptor());
    let (start, turns) = (Instant::now(), lp.metrics().turns);
    lp.as_cx().timer(Duration::from_millis(400), |cx, _| cx.stop());
    lp.run().unwrap();
    let held = lp.server_stats(server).unwrap();
    assert_eq!(held.accepted, 1);
    assert!(held.held >= 2, "tried again by the timer: {held:?}");
    let turns = lp.metrics().turns - turns;
    assert!(turns <= 40, "{turns} turns in {:?} are a spin", start.elapsed());

    // Any close on this loop gives one of them its descriptor, at once.
    let start = Instant::now();
    lp.socket(first.get().unwrap()).destroy();
    turn_until(&mut lp, |lp| lp.server_stats(server).unwrap().accepted == 2);
    assert!(start.elapsed() < Duration::from_millis(40), "{:?}", start.elapsed());
    drop(keep);

    // And with the limit up again, all of them, by the timer.
    set_limit(before);
    turn_until(&mut lp, |lp| lp.server_stats(server).unwrap().accepted == 21);
    for c in &clients {
        write_all(c, b"served");
        c.shutdown(std::net::Shutdown::Write).unwrap();
    }
    turn_until(&mut lp, |lp| lp.server_stats(server).unwrap().connections == 0);
    assert!(clients.iter().all(|c| read_to_end(c) == b"served"));
    lp.close_server(server).unwrap();
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}
