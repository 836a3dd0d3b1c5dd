//! Random programs of sources, sinks, transforms, pipes and connections, with filters on the way
//! and protocols at the end of it, brought to their end by
//! `run` alone: nothing else keeps the loop alive. Each byte that was accepted comes out at the
//! other end, in order, or its stream, its pipe or its connection says that it failed; each
//! of these has its last word once; and the loop holds nothing afterwards.
//!
//! `TIDEGATE_PROGRAMS=10000 cargo test --release --test stream programs` runs so many.

mod echoes;
mod program;
mod streams;
mod wires;

use crate::support::*;
use program::*;
use proptest::test_runner::{Config, TestRunner};
use streams::*;
use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::stream::{PipeEvent, StreamEvent, StreamLimits};
use wires::*;

fn start(lp: &mut Loop, line: &Line) -> Shared {
    let l = Shared::default();
    match line {
        Line::Read(from, taking) => {
            let plan = taking.clone();
            let takes =
                Takes { plan, limit: from.limit, chunks: 0, ended: false, known: l.clone() };
            open_from(lp, from, taking.pull.is_some(), takes, &l);
        }
        Line::Write(writes, to) => {
            *l.writing.borrow_mut() = writes.iter().copied().collect();
            let key = open_to(lp, to, false, &l);
            write_on(&mut lp.cx(), key, &l);
        }
        Line::Pipe(from, stages, to, meddle) => {
            let from = open_from(lp, from, false, Piped(l.clone()), &l);
            let to = open_to(lp, to, true, &l);
            piped(lp, from, stages_of(stages, &l), to, true, &l);
            if let Some(Meddle { pause, resume }) = *meddle {
                at(&mut lp.cx(), pause, move |cx| {
                    cx.readable(from).pause();
                    at(cx, resume, move |cx| cx.readable(from).resume());
                });
            }
        }
        Line::Echo { from, up, route, down, to } => {
            echo(lp, (from, up), *route, (down, to), &l);
        }
        Line::Talk(writes, route) => talk(lp, writes, *route, &l),
    }
    l
}

/// Every accepted byte came out, or was said to have failed.
fn check(line: &Line, l: &Known) {
    assert!(
        [l.streams.get(), l.sockets.get(), l.pipes.get()].iter().all(|n| n[0] == n[1]),
        "one last word of each: streams {:?}, sockets {:?}, pipes {:?}",
        l.streams,
        l.sockets,
        l.pipes
    );
    let accepted = some_bytes(0, l.accepted.get()).to_vec();
    let expected = match line {
        Line::Read(..) | Line::Write(..) | Line::Talk(..) => accepted,
        Line::Pipe(_, stages, ..) => through(stages, accepted),
        Line::Echo { up, down, .. } => through(down, through(up, accepted)),
    };
    saw(match (line, l.broken.get()) {
        (Line::Read(..), false) => "a reader to its end",
        (Line::Read(..), true) => "a reader broken",
        (Line::Write(..), false) => "a writer to its end",
        (Line::Write(..), true) => "a writer broken",
        (Line::Pipe(..), false) => "a pipe to its end",
        (Line::Pipe(..), true) => "a pipe broken",
        (Line::Echo { .. }, false) => "a piped echo to its end",
        (Line::Echo { .. }, true) => "a piped echo broken",
        (Line::Talk(..), false) => "a talk to its end",
        (Line::Talk(..), true) => "a talk broken",
    });
    if l.unsent.get() > 0 {
        saw("bytes unsent");
    }
    let out = l.out.borrow();
    assert!(out.len() <= expected.len(), "{} bytes of {}", out.len(), expected.len());
    assert!(*out == expected[..out.len()], "other bytes than were accepted");
    let well = l.well.get().expect("a last word");
    let failed = l.failed.borrow();
    if well {
        assert_eq!(out.len(), expected.len(), "a good end with bytes missing");
    }
    if l.broken.get() {
        assert!(!failed.is_empty(), "nobody said what went wrong");
    } else {
        assert!(well && failed.is_empty(), "nothing was broken, and yet: {failed:?}");
        assert_eq!(l.unsent.get(), 0);
    }
    let ids = l.ids.borrow();
    assert!(ids.iter().all(|(_, told)| told.is_some()), "each write with an id has a completion");
    let written: usize = ids.iter().filter(|(_, told)| *told == Some(true)).map(|(n, _)| n).sum();
    assert!(written <= out.len());
    assert!(!well || ids.iter().all(|(_, told)| *told == Some(true)));
}

struct Watches;

impl Observer for Watches {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        let Event::Layer(event) = event else { return };
        match event.as_any().downcast_ref() {
            Some(StreamEvent::Pipe(_, PipeEvent::Full)) => saw("a pipe full"),
            Some(StreamEvent::Pipe(_, PipeEvent::Flowing)) => saw("a pipe flowing again"),
            _ => {}
        }
    }
}

fn run(program: &Program) {
    POSTED.take();
    let lp = Loop::builder()
        .limits(
            NetLimits::new().read_budget(program.read_budget).write_budget(program.write_budget),
        )
        .limits(
            StreamLimits::new().read_budget(program.read_budget).write_budget(program.write_budget),
        )
        .tick_budget(program.tick_budget);
    let mut lp = guard(lp.build().unwrap());
    if program.observed {
        lp.observe(Watches);
    }
    let known: Vec<_> = program.lines.iter().map(|line| start(&mut lp, line)).collect();
    lp.run().unwrap();
    for (line, known) in program.lines.iter().zip(&known) {
        check(line, known);
    }
    assert_eq!(handles(&lp), 0, "{:?}", lp.walk());
    assert!(!lp.is_alive() && !lp.run_nowait().unwrap(), "nothing is queued");
    assert_eq!(lp.net_metrics().held, 0);
    assert!(POSTED.with_borrow(|(_, actions)| actions.is_empty()));
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: takes minutes")]
fn random_programs_of_streams_lose_no_byte() {
    let cases = std::env::var("TIDEGATE_PROGRAMS").ok().map(|n| n.parse().unwrap());
    let cases = cases.unwrap_or(250);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let done = TestRunner::new(config).run(&program(), |program| {
        run(&program);
        Ok(())
    });
    if let Err(e) = done {
        panic!("{e}");
    }
    let seen = SEEN.take();
    println!("{cases} programs: {seen:#?}");
    assert!(cases < 5_000 || seen.len() == 22, "some of it never came up: {seen:?}");
}
