//! The trace file of `Perfetto`: it parses, its slices nest, its counters add up, and it is whole
//! also when it is cut off, full, or cannot be written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;
use tidegate::observe::{JsonLines, Perfetto};
use tidegate::prelude::*;

use super::scene::*;
use crate::support::*;

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

/// In nanoseconds: exact, and with no rounding between ends that meet.
fn nanos(event: &Value, field: &str) -> u64 {
    (event[field].as_f64().unwrap() * 1000.0).round() as u64
}

fn track(event: &Value) -> (u64, u64) {
    (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap())
}

fn parse(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn traced(run: impl FnOnce(&mut Loop)) -> (Vec<Value>, u64) {
    let memory = Memory::default();
    let mut lp = guarded();
    let trace = Perfetto::new(memory.clone());
    let written = trace.written();
    lp.observe(trace);
    run(&mut lp);
    let turns = lp.metrics().turns;
    drop(lp);
    written.check().unwrap();
    assert_eq!(written.bytes(), memory.0.borrow().len() as u64);
    (parse(&memory.text()), turns)
}

/// Whether the loop's slices lie in each other, and how many there are of each category.
fn nested(events: &[Value]) -> BTreeMap<&str, u64> {
    let mut slices: Vec<(u64, u64, &str, &str)> = events
        .iter()
        .filter(|e| text(e, "ph") == "X")
        .map(|e| {
            assert_eq!(track(e), (1, 1));
            let from = nanos(e, "ts");
            (from, from + nanos(e, "dur"), text(e, "cat"), text(e, "name"))
        })
        .collect();
    slices.sort_by_key(|(from, to, cat, _)| (*from, u64::MAX - to, *cat != "turn"));
    let mut counts = BTreeMap::new();
    let mut open: Vec<(u64, u64, &str, &str)> = Vec::new();
    for slice in &slices {
        while open.last().is_some_and(|o| o.1 <= slice.0 && o != slice) {
            open.pop();
        }
        if let Some(around) = open.last() {
            assert!(slice.1 <= around.1, "{slice:?} ends after {around:?} around it");
        }
        let parent = open.last().map(|o| o.2);
        match slice.2 {
            "turn" => assert_eq!(parent, None, "{slice:?}"),
            "phase" => assert_eq!(parent, Some("turn"), "{slice:?}"),
            "poll" => assert_eq!(parent, Some("phase"), "{slice:?}"),
            // `run` has due timers before the first turn; a panic leaves a phase without an end.
            "call" => assert!(matches!(parent, Some("phase" | "turn") | None), "{slice:?}"),
            other => panic!("{other}"),
        }
        *counts.entry(slice.2).or_default() += 1;
        open.push(*slice);
    }
    counts
}

#[test]
fn slices_of_the_loop_nest() {
    let (events, turns) = traced(back_pressure);
    let of = nested(&events);
    assert_eq!(of["turn"], turns);
    assert_eq!(of["phase"], 9 * turns, "every phase of every turn");
    assert_eq!(of["poll"], turns, "one wait a turn");
    assert!(of["call"] >= 4 * CLIENTS as u64);
}

/// So they do if timers are due before the first turn, if turns are made phase by phase with
/// something else between, and after a panic.
#[test]
fn slices_nest_whatever_happens() {
    let (events, turns) = traced(|lp| {
        lp.timer(Duration::ZERO, |_, _| {});
        lp.timer(Duration::ZERO, |_, _| std::panic::resume_unwind(Box::new("on purpose")));
        lp.timer(Duration::ZERO, |cx, _| {
            cx.timer(Duration::ZERO, |_, _| std::panic::resume_unwind(Box::new("and again")));
        });
        lp.check(|cx, me| {
            cx.close(me).unwrap();
            std::panic::resume_unwind(Box::new("a hook"));
        });
        let mut panics = 0;
        while lp.is_alive() {
            let run = std::panic::AssertUnwindSafe(|| lp.run().unwrap());
            panics += u32::from(std::panic::catch_unwind(run).is_err());
        }
        assert_eq!(panics, 3);
        for _ in 0..30 {
            lp.timer(Duration::ZERO, |_, _| {});
            lp.run_phase().unwrap();
        }
    });
    assert!(nested(&events)["turn"] <= turns);
}

#[test]
fn connections_are_named_tracks_with_their_stages() {
    let (events, _) = traced(back_pressure);
    let mut names: BTreeMap<(u64, u64), &str> = BTreeMap::new();
    for e in events.iter().filter(|e| text(e, "ph") == "M") {
        let name = text(&e["args"], "name");
        assert!(!name.is_empty());
        names.insert(track(e), name);
    }
    let mut stacks: BTreeMap<(u64, u64), Vec<&str>> = BTreeMap::new();
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut last = 0;
    for e in &events {
        let ph = text(e, "ph");
        if !matches!(ph, "B" | "E" | "i") {
            continue;
        }
        let name = names.get(&track(e)).unwrap_or_else(|| panic!("no name for the track of {e}"));
        assert!(nanos(e, "ts") >= last, "time goes back at {e}");
        last = nanos(e, "ts");
        let stack = stacks.entry(track(e)).or_default();
        match ph {
            "B" => {
                seen.insert((name, text(e, "name")));
                stack.push(text(e, "name"));
            }
            "E" => assert!(stack.pop().is_some(), "{e} ends nothing"),
            _ => {}
        }
    }
    assert!(stacks.values().all(Vec::is_empty), "a slice is left open: {stacks:?}");
    let with = |part: &str, stage: &str| {
        seen.iter().filter(|(name, s)| name.contains(part) && *s == stage).count()
    };
    assert_eq!(with(" client to 127.0.0.1:", "connecting"), CLIENTS);
    assert_eq!(with(" client to 127.0.0.1:", "open"), CLIENTS);
    assert_eq!(with(" of server s", "open"), CLIENTS);
    assert_eq!(with(": reading", "paused"), CLIENTS);
    assert_eq!(with(": writing", "full"), CLIENTS);
}

#[test]
fn counters_go_with_time_and_add_up() {
    let (events, _) = traced(back_pressure);
    let mut counters: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for e in events.iter().filter(|e| text(e, "ph") == "C") {
        let value = e["args"]["value"].as_u64().unwrap();
        counters.entry(text(e, "name")).or_default().push((nanos(e, "ts"), value));
    }
    for (name, values) in &counters {
        assert!(values.windows(2).all(|w| w[0].0 <= w[1].0), "{name}: {values:?}");
    }
    let last = |name: &str| counters[name].last().unwrap().1;
    let most = |name: &str| counters[name].iter().map(|v| v.1).max().unwrap();
    assert_eq!((last("queued bytes"), last("connections")), (0, 0));
    assert_eq!(most("connections"), 2 * CLIENTS as u64);
    let each: Vec<&&str> = counters.keys().filter(|name| name.ends_with(" queued bytes")).collect();
    assert_eq!(each.len(), CLIENTS, "{each:?}");
    assert!(each.iter().all(|name| most(name) > 64 << 10 && last(name) == 0));
    assert!(most("queued bytes") <= each.iter().map(|name| most(name)).sum());
}

/// What is on the disk when a program ends early opens as well: a bracket may be missing,
/// nothing else.
#[test]
fn a_trace_that_was_cut_off_opens() {
    let memory = Memory::default();
    let mut lp = guarded();
    lp.observe(Perfetto::new(memory.clone()));
    let mut left = 500;
    lp.idle(move |cx, me| {
        left -= 1;
        if left == 0 {
            cx.close(me).unwrap();
        }
    });
    lp.run().unwrap();
    let cut = memory.text();
    assert!(cut.len() >= 64 << 10, "{} bytes", cut.len());
    let events = parse(&format!("{cut}]"));
    assert!(events.len() > 500, "{}", events.len());
    drop(lp);
    assert!(parse(&memory.text()).len() >= events.len());
}

/// What a turn told is there when the turn is over: for `tail -f`, and for a process that is killed.
#[test]
fn a_file_has_all_turns_that_are_over() {
    let (trace, json) = (Memory::default(), Memory::default());
    let mut lp = guarded();
    lp.observe((Perfetto::new(trace.clone()), JsonLines::new(json.clone()).without_loop()));
    let server = lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    let _client = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().rejected == 1);
    let lines = json.text();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((text(&last, "event"), lines.ends_with('\n')), ("accept batch", true));
    let events = parse(&format!("{}]", trace.text()));
    assert_eq!(text(events.last().unwrap(), "cat"), "turn");
    assert!(events.iter().any(|e| text(e, "name") == "reject"));
}

#[test]
fn a_file_ends_at_its_limit_and_is_whole() {
    let memory = Memory::default();
    let mut lp = guarded();
    let trace = Perfetto::new(memory.clone()).limit(10_000);
    let written = trace.written();
    lp.observe(trace);
    back_pressure(&mut lp);
    drop(lp);
    assert!((10_000..11_000).contains(&written.bytes()), "{written:?}");
    assert!(written.lost() > 0 && written.check().is_ok());
    parse(&memory.text());
}

/// A disk that is full: the loop goes on, and the error is there to be asked for.
#[test]
fn a_write_error_is_kept_and_nothing_panics() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut lp = guarded();
    let (trace, json) = (Perfetto::new(Full(0)), JsonLines::new(Full(100_000)));
    let written = [trace.written(), json.written()];
    lp.observe((trace, json));
    for _ in 0..1_000 {
        lp.timer(Duration::ZERO, |_, _| {});
    }
    back_pressure(&mut lp);
    assert_eq!(lp.metrics().panics, 0);
    drop(lp);
    for written in &written {
        let e = written.check().unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull);
    }
    assert!(written.iter().all(|w| w.bytes() <= 100_000));
    assert!(written[0].lost() > 0, "{written:?}");
}

/// What was lost with the piece that failed is counted as well.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_what_is_lost() {
    let mut lp = guarded();
    let json = JsonLines::create("/dev/full").unwrap();
    let written = json.written();
    lp.observe(json.without_loop());
    lp.connect(closed_port(), On::new().close(|_, _| {}));
    lp.run().unwrap();
    drop(lp);
    assert_eq!(written.check().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((written.bytes(), written.lost()), (0, 3), "start, failure, close");
}

/// Clients one after the other, in the same slots, whose connections end in every way.
fn every_end(lp: &mut Loop) {
    const EACH: u32 = 10;
    fn next(cx: &mut Cx<'_>, at: std::net::SocketAddr, left: u32, server: ServerKey) {
        let Some(left) = left.checked_sub(1) else { return cx.server(server).close().unwrap() };
        let on = On::new().close(move |s, _| next(&mut s.cx(), at, left, server));
        cx.connect(at, on);
    }
    let mut count = 0;
    let server = lp.listen("127.0.0.1:0", move |conn| {
        count += 1;
        match count % 5 {
            0 => conn.reject(),
            1 => drop(conn.detach().unwrap()),
            2 => {}
            3 => conn.accept(On::new().close(|_, _| {})).reset(),
            _ => conn.accept(On::new()).end(),
        }
    });
    let server = server.unwrap();
    let at = lp.server(server).local_addr().unwrap();
    next(&mut lp.cx(), at, 5 * EACH, server);
    lp.run().unwrap();
    assert_eq!(lp.server(server).stats().map(|s| s.accepted).ok(), None, "it is closed");
    assert_eq!(handles(lp), 0);
}

/// A slot that is used again is another connection: each name begins once and ends once, and
/// nothing is kept of those that are over.
#[test]
fn a_name_is_one_connection_only() {
    let memory = Memory::default();
    let mut lp = guarded();
    lp.observe(JsonLines::new(memory.clone()).without_loop());
    every_end(&mut lp);
    drop(lp);
    let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in memory.text().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(conn) = line["conn"].as_str() {
            stories.entry(conn.into()).or_default().push(text(&line, "event").into());
        }
    }
    assert_eq!(stories.len(), 100);
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for (id, story) in &stories {
        let is_last = |name: &String| ["close", "reject", "detach"].contains(&&name[..]);
        let begins = |name: &String| ["accept", "connect start"].contains(&&name[..]);
        assert!(begins(&story[0]) && !story[1..].iter().any(begins), "{id}: {story:?}");
        assert_eq!(story.iter().position(is_last), Some(story.len() - 1), "{id}: {story:?}");
        *ends.entry(story[story.len() - 1].clone()).or_default() += 1;
    }
    assert_eq!((ends["reject"], ends["detach"], ends["close"]), (20, 10, 70), "{ends:?}");

    let (events, _) = traced(every_end);
    let last = |name: &str| events.iter().rev().find(|e| text(e, "name") == name).unwrap();
    assert_eq!(last("connections")["args"]["value"], 0);
    let is_track = |e: &&Value| text(e, "name") == "thread_name" && track(e).0 == 2;
    let names: Vec<&str> =
        events.iter().filter(is_track).map(|e| text(&e["args"], "name")).collect();
    assert_eq!(names.len(), 100);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 100, "{names:?}");
}
