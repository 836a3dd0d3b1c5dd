//! What the page gets: turns without gaps, sums that are right, queues that move while the loop
//! blocks.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{DEADLINE, Message, Program};

fn number(v: &Value) -> u64 {
    v.as_u64().unwrap_or_else(|| panic!("{v} is no number"))
}

/// Turns of a message, checked against the last number.
fn follow(message: &Message, last: &mut Option<u64>) -> Vec<Value> {
    let turns = message.data["turns"].as_array().unwrap().clone();
    let skipped = number(&message.data["skipped"]);
    for (n, turn) in turns.iter().enumerate() {
        let (now, gap) = (number(&turn["n"]), if n == 0 { skipped } else { 0 });
        if let Some(last) = *last {
            assert_eq!(now, last + 1 + gap, "a gap that nobody told");
        }
        *last = Some(now);
    }
    assert_eq!(message.id, *last, "the id is the last turn");
    turns
}

#[test]
fn turns_come_without_gaps_and_their_sums_are_right() {
    let program = Program::run(&["demo"]);
    let mut events = program.events(&[]);
    let first = events.next();
    assert_eq!(first.name, "hello");
    assert_eq!(first.data["presets"].as_array().unwrap().len(), 7);
    let (mut last, mut seen, mut began) = (None, 0, 0);
    while seen < 100 {
        let message = events.next();
        if message.name != "turns" {
            continue;
        }
        for turn in follow(&message, &mut last) {
            let phases: u64 = turn["ph"].as_array().unwrap().iter().map(number).sum();
            let (took, waited) = (number(&turn["took"]), number(&turn["waited"]));
            // The observer's own time is between the phases.
            assert!(phases <= took, "{turn}");
            assert!(waited <= number(&turn["ph"][3]), "the wait is in the poll: {turn}");
            assert!(number(&turn["at"]) >= began, "{turn}");
            began = number(&turn["at"]) + took;
            let calls: u64 = turn["calls"].as_array().unwrap().iter().map(|c| number(&c[3])).sum();
            assert!(calls <= took - waited, "calls are in the turn, not in the wait: {turn}");
            assert_eq!(turn["places"], 9);
            seen += 1;
        }
    }
}

#[test]
fn a_browser_that_comes_back_goes_on_after_the_last_turn_it_has() {
    let program = Program::run(&["demo"]);
    let mut events = program.events(&[]);
    let mut last = None;
    while last.is_none_or(|n| n < 30) {
        let message = events.next();
        if message.name == "turns" {
            follow(&message, &mut last);
        }
    }
    drop(events);
    let id = last.unwrap().to_string();
    let mut events = program.events(&[("Last-Event-ID", &id)]);
    let again = events.find("turns", |data| Some(number(&data["turns"][0]["n"])));
    assert_eq!(again, last.unwrap() + 1);
}

fn tells_accept_queues(program: &Program) -> bool {
    let door = program.events(&[]).find("door", |door| Some(door.clone()));
    let tells = door[0]["depth"].is_u64();
    if !tells {
        eprintln!("skipped: this system does not tell its accept queues");
    }
    tells
}

#[test]
fn the_accept_queue_rises_while_the_loop_is_blocked_and_the_verdict_names_who_and_how_many() {
    let program = Program::run(&["demo", "--preset", "blocked"]);
    if !tells_accept_queues(&program) {
        return;
    }
    let mut events = program.events(&[]);
    // Visitors come, and no block of the preset is near.
    events.find("verdict", |verdict| verdict["who"].is_string().then_some(()));
    program.press("block?ms=300");
    let (mut depths, mut first_turn) = (Vec::new(), None);
    let (mut blocked, mut notes) = (false, Vec::new());
    let verdict = loop {
        let message = events.next();
        match message.name.as_str() {
            "doing" => {
                blocked = message.data["state"] == "calls" && number(&message.data["ms"]) > 20
            }
            "door" if blocked => depths.push(number(&message.data[0]["depth"])),
            "turns" if blocked && first_turn.is_none() => {
                first_turn = Some(message.data["turns"][0].clone());
            }
            "note" => notes.push(message.data["text"].as_str().unwrap().to_owned()),
            "verdict" if first_turn.is_some() => break message.data,
            "verdict" => panic!("a verdict before its turn: {}", message.data),
            _ => {}
        }
    };
    assert!(depths.len() >= 3, "looks while it was blocked: {depths:?}");
    assert!(depths.windows(2).all(|w| w[0] <= w[1]), "it rises: {depths:?}");
    assert!(*depths.last().unwrap() >= 3, "20 clients connect each second: {depths:?}");
    // The next turn that the page hears of is the one that was blocked.
    let turn = first_turn.expect("the turn that was blocked");
    assert!(number(&turn["took"]) >= 300_000_000, "a blocked loop takes no turn: {turn}");
    assert!(number(&verdict["took_ms"]) >= 300, "{verdict}");
    assert!(number(&verdict["waited"]) >= *depths.last().unwrap(), "{verdict} and {depths:?}");
    assert_eq!((&verdict["kind"], &verdict["place"]), (&"socket".into(), &"echo".into()));
    let who = verdict["who"].as_str().unwrap();
    assert!(who.starts_with('c'), "a connection: {verdict}");
    let told = |note: &String| note.starts_with(who) && note.contains("work()");
    assert!(notes.iter().any(told), "{notes:?}");
}

#[test]
fn the_doctor_says_on_the_page_what_mends_it() {
    let program = Program::run(&["demo", "--preset", "blocked"]);
    let mut events = program.events(&[]);
    let said = events.find("note", |note| {
        let text = note["text"].as_str()?;
        text.starts_with("doctor: blocked loop").then(|| text.to_owned())
    });
    assert!(said.contains("`work`"), "{said}");
}

#[test]
fn the_bytes_of_a_slow_reader_wait_in_our_queue_and_it_stops_at_full() {
    let program = Program::run(&["demo", "--preset", "slow"]);
    let mut events = program.events(&[]);
    let conn = events.find("conns", |conns| {
        let list = conns["list"].as_array().unwrap();
        list.iter().find(|c| c["server"] == "source" && c["full"] == true).cloned()
    });
    let ours = number(&conn["ours"]);
    // The high-water mark, and the piece that passed it.
    assert!((64 * 1024..=80 * 1024).contains(&ours), "{conn}");
    if conn["unsent"].is_u64() {
        assert!(number(&conn["unsent"]) + number(&conn["unacked"]) > 0, "{conn}");
    }
}

#[test]
fn a_burst_takes_turns_of_64_and_with_budget_1_turns_of_one() {
    let program = Program::run(&["demo", "--preset", "burst"]);
    if !tells_accept_queues(&program) {
        return;
    }
    for (preset, budget) in [("burst", 64), ("budget1", 1)] {
        program.press(&format!("preset?name={preset}"));
        let mut events = program.events(&[]);
        let mut accepted = 0;
        let mut spent = 0;
        while spent < 3 {
            let batches = events.find("turns", |data| {
                let turns = data["turns"].as_array().unwrap().iter();
                let all: Vec<_> =
                    turns.flat_map(|t| t["batches"].as_array().unwrap().clone()).collect();
                (!all.is_empty()).then_some(all)
            });
            for batch in batches {
                let count = number(&batch[1]);
                assert!(count <= 64, "{batch}");
                if batch[2] == "budget" && count == budget {
                    spent += 1;
                }
                accepted += count;
            }
        }
        assert!(accepted >= 3 * budget);
    }
}

#[test]
fn a_stopped_loop_goes_on_phase_by_phase() {
    let program = Program::run(&["demo"]);
    let mut events = program.events(&[]);
    program.press("stop");
    events.find("doing", |doing| (doing["state"] == "stopped").then_some(()));
    let mut places = Vec::new();
    // A turn has nine phases; the poll may wait up to 50 ms.
    for _ in 0..12 {
        program.press("step");
        let before = places.last().copied();
        let place = events.find("partial", |turn| {
            let at = turn["places"].as_u64().map(|places| (number(&turn["n"]), places));
            (at.is_none() || at != before).then_some(at)
        });
        places.extend(place);
    }
    assert!(places.windows(2).all(|w| w[0] < w[1]), "turn and place: {places:?}");
    let same_turn = places.windows(2).find(|w| w[0].0 == w[1].0 && w[1].1 == w[0].1 + 1);
    assert!(same_turn.is_some(), "one phase at a time: {places:?}");
    program.press("run");
    events.find("doing", |doing| (doing["state"] == "waits").then_some(()));
}

/// Memory of a process that is its own, in KiB.
fn resident(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_browser_that_stops_reading_costs_no_memory_and_is_told_what_it_missed() {
    let program = Program::run(&["demo", "--preset", "greedy"]);
    let target = format!("/events?token={}", program.token());
    // With a small window, so that it is full soon.
    let stalled = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    stalled.set_recv_buffer_size(4096).unwrap();
    let at: std::net::SocketAddr = program.host().parse().unwrap();
    stalled.connect(&at.into()).unwrap();
    let mut stalled: std::net::TcpStream = stalled.into();
    stalled.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", program.host());
    std::io::Write::write_all(&mut stalled, head.as_bytes()).unwrap();
    let mut other = program.events(&[]);
    // It is behind by far more than its buffers hold.
    let mut frames = 0;
    let mut bytes = 0;
    let mut early = None;
    while frames < 160 {
        let message = other.next();
        bytes += message.data.to_string().len();
        if message.name == "doing" {
            frames += 1;
            if frames == 60 {
                early = resident(program.id());
            }
        }
    }
    assert!(bytes > 1 << 19, "the other page got {bytes} bytes meanwhile");
    if let (Some(before), Some(after)) = (early, resident(program.id())) {
        assert!(after < before + 4 * 1024, "{before} KiB, then {after} KiB");
    }
    let mut late = crate::program::Events::new(stalled);
    let missed = late.find("missed", |missed| Some(number(&missed["frames"])));
    assert!(missed > 5, "{missed} frames");
    let after = late.find("turns", |data| Some(data.clone()));
    let newest = other.find("turns", |data| Some(number(&data["turns"].as_array()?.last()?["n"])));
    assert!(number(&after["turns"][0]["n"]) + 2_048 > newest, "it goes on with what is new");
}

#[test]
fn eight_pages_are_served_and_the_ninth_is_told() {
    let program = Program::run(&["demo"]);
    let mut pages: Vec<_> = (0..8).map(|_| program.events(&[])).collect();
    for page in &mut pages {
        page.next();
    }
    let target = format!("/events?token={}", program.token());
    let host = [("Host", program.host())];
    assert_eq!(program.status("GET", &target, &host), 503);
    pages.pop();
    let ends = Instant::now() + DEADLINE;
    loop {
        let mut answer = [0; 12];
        program.send("GET", &target, &host).read_exact(&mut answer).unwrap();
        if answer.ends_with(b"200") {
            return;
        }
        assert!(Instant::now() < ends, "a page that is gone makes room");
        std::thread::sleep(Duration::from_millis(10));
    }
}
