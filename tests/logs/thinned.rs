//! What clients cause as often as they like fills no log: of each kind, a line comes at the
//! first and then at each power of two, and says how many were left out since the last.

use std::cell::Cell;
use std::rc::Rc;

use tidegate::net::{AtLimit, Filter, FilterError, Passed};
use tidegate::prelude::*;
use tidegate::stream::{BoxError, ReadableCx, ReadableOptions, Source};

use crate::logged::{Line, Logged};
use crate::support::*;

/// How many a line says were left out before it.
fn left_out(line: &Line) -> u64 {
    let Some((_, rest)) = line.text.split_once(" (and ") else { return 0 };
    let (count, rest) = rest.split_once(' ').unwrap();
    assert_eq!(rest, "more like it since the last line)", "{line:?}");
    count.parse().unwrap()
}

/// The lines of one kind, which come at 1, 2, 4, 8, ...; how many these are lines of.
fn powers_of_two(lines: &[&Line]) -> u64 {
    let mut seen = 0;
    for (n, line) in lines.iter().enumerate() {
        seen += left_out(line) + 1;
        assert_eq!(seen, 1 << n, "{lines:#?}");
    }
    seen
}

struct Refuses;

impl Filter for Refuses {
    fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
        Err("no such record".into())
    }
    fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Ok(user.len())
    }
}

/// The default `on_close` warns of each; a new kind of error is still seen among them.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn resets_write_few_lines_and_hide_no_other_error() {
    const RESETS: u64 = 3000;
    let logged = Logged::begin();
    let mut lp = guarded();
    let refuse = Rc::new(Cell::new(false));
    let filtered = refuse.clone();
    let server = lp.listen("127.0.0.1:0", move |conn| {
        let mut s = conn.accept(On::new());
        if filtered.take() {
            s.set_filter(Refuses);
        }
    });
    let server = server.unwrap();
    let at = lp.server(server).local_addr().unwrap();
    for n in 1..=RESETS {
        reset(client(at));
        if n % 50 == 0 {
            turn_until(&mut lp, |lp| lp.net_metrics().closed == n);
        }
    }
    refuse.set(true);
    let c = client(at);
    write_all(&c, b"x");
    turn_until(&mut lp, |lp| lp.net_metrics().closed == RESETS + 1);
    lp.server(server).close().unwrap();

    assert_eq!(lp.metrics().unhandled_errors, RESETS + 1);
    let lines = logged.warnings();
    let (resets, others): (Vec<&Line>, Vec<&Line>) =
        lines.iter().partition(|l| l.text.contains("ECONNRESET"));
    assert_eq!(powers_of_two(&resets), 2048);
    assert_eq!(others.len(), 1, "{others:#?}");
    assert!(others[0].text.starts_with("unhandled: filter"), "{others:#?}");
}

/// A reset of a connection that we asked for is not one of those that clients cause.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_reset_by_our_own_server_is_another_kind() {
    let logged = Logged::begin();
    let mut lp = guarded();
    let server = lp.listen("127.0.0.1:0", |conn| {
        conn.accept(On::new());
    });
    let server = server.unwrap();
    let at = lp.server(server).local_addr().unwrap();
    for n in 1..=5 {
        reset(client(at));
        turn_until(&mut lp, |lp| lp.net_metrics().closed == n);
    }
    lp.server(server).close().unwrap();
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    lp.connect(there.local_addr().unwrap(), On::new());
    turn_until(&mut lp, |lp| lp.net_metrics().connected == 1);
    reset(there.accept().unwrap().0);
    lp.run().unwrap();
    let lines = logged.warnings();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert_eq!(left_out(&lines[2]), 1, "{lines:#?}");
    assert_eq!(left_out(&lines[3]), 0, "{lines:#?}");
}

#[test]
fn overload_of_each_server_writes_lines_of_its_own() {
    const DROPPED: u64 = 100;
    let logged = Logged::begin();
    let mut lp = guarded();
    for n in 1..=2 {
        let server = lp.listen(
            ListenOptions::new("127.0.0.1:0").max_connections(1, AtLimit::Drop),
            |conn| {
                conn.accept(On::new());
            },
        );
        let server = server.unwrap();
        let at = lp.server(server).local_addr().unwrap();
        let first = client(at);
        for _ in 0..DROPPED {
            drop(client(at));
        }
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().dropped == DROPPED);
        lp.server(server).close().unwrap();
        drop(first);
        let lines = logged.warnings();
        assert_eq!(powers_of_two(&lines.iter().collect::<Vec<_>>()), 64, "server {n}");
    }
}

struct Broken;

impl Source for Broken {
    fn read(&mut self, _: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        Err("the disk is gone".into())
    }
}

#[test]
fn streams_that_fail() {
    const FAILED: u64 = 40;
    let logged = Logged::begin();
    let mut lp = guarded();
    for _ in 0..FAILED {
        lp.open_readable(ReadableOptions::new(), Broken, ()).unwrap();
    }
    turn_until(&mut lp, |lp| lp.metrics().unhandled_errors == FAILED);
    let lines = logged.warnings();
    assert_eq!(powers_of_two(&lines.iter().collect::<Vec<_>>()), 32);
}
