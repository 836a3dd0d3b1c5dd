//! The timeline and JSON lines: one story for each connection, from both sides.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tidegate::observe::{Id, JsonLines, Side, Timeline};
use tidegate::prelude::*;

use super::scene::*;
use crate::support::*;

/// Names that nobody has, which would be two lines each.
fn odd_names(lp: &mut Loop) {
    use tidegate::net::{LookupAnswer, LookupFault};
    let not_found = |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| {
        answer.give(cx, Err(LookupFault::NotFound.into()));
    };
    let to = ConnectOptions::new(("gate\nexample\x1b", 80)).lookup(not_found);
    lp.connect(to, On::new().close(|_, close| assert_eq!(close.to_string().lines().count(), 1)));
    #[cfg(unix)]
    lp.connect(ConnectOptions::unix("/no/such\npath"), On::new().close(|_, _| {}));
    lp.run().unwrap();
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

/// Each connection's lines tell one story, and the two sides of one agree.
#[test]
fn json_lines_tell_one_story_for_each_connection() {
    let memory = Memory::default();
    let mut lp = guarded();
    lp.observe(JsonLines::new(memory.clone()));
    back_pressure(&mut lp);
    drop(lp);
    let lines: Vec<Value> =
        memory.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |line: &Value| line["at_ns"].as_u64().unwrap();
    assert!(lines.windows(2).all(|w| at(&w[0]) <= at(&w[1])), "time goes on");
    assert!(lines.iter().any(|l| text(l, "layer") == "loop" && text(l, "event") == "polled"));
    let mut stories: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for line in lines.iter().filter(|l| l["conn"].is_string()) {
        stories.entry(text(line, "conn")).or_default().push(line);
    }
    assert_eq!(stories.len(), 2 * CLIENTS);
    let mut ends: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for (id, story) in &stories {
        let names: Vec<&str> = story.iter().map(|l| text(l, "event")).collect();
        let is_server = story[0]["server"].is_string();
        assert_eq!(names[0], if is_server { "accept" } else { "connect start" }, "{id}");
        assert_eq!(names.iter().position(|n| *n == "close"), Some(names.len() - 1), "{names:?}");
        let place = |name: &str| names.iter().position(|n| *n == name);
        for (first, then) in [("first read", "close"), ("first write", "finish"), ("full", "drain")]
        {
            if is_server || first != "full" {
                assert!(place(first).unwrap() < place(then).unwrap(), "{id}: {names:?}");
            }
        }
        if !is_server {
            assert!(place("pause").unwrap() < place("resume").unwrap(), "{id}: {names:?}");
        }
        let closed = story[names.len() - 1];
        assert_eq!(text(closed, "reason"), "ended");
        let all = |field: &str| -> BTreeSet<&str> {
            story.iter().map(|l| text(l, field)).filter(|t| !t.is_empty()).collect()
        };
        assert_eq!((all("local").len(), all("remote").len()), (1, 1), "{id}");
        let bytes = |field: &str| closed[field].as_u64().unwrap();
        let endpoints = (text(closed, "local"), text(closed, "remote"));
        ends.insert(endpoints, (bytes("bytes_read"), bytes("bytes_written")));
    }
    for ((local, remote), (read, written)) in &ends {
        let peer = ends.get(&(*remote, *local)).expect("the other side");
        assert_eq!((peer.1, peer.0), (*read, *written), "{local} and {remote}");
    }
    assert_eq!(ends.values().map(|(read, _)| read).max(), Some(&(ANSWER as u64)));
}

#[test]
fn the_timeline_has_both_sides() {
    let mut lp = guarded();
    let timeline = Timeline::new();
    lp.observe(timeline.clone());
    back_pressure(&mut lp);
    for stage in ["listening", "accept", "first read", "full", "drain", "finish", "close"] {
        assert!(timeline.has(Side::Server, stage), "{stage}");
    }
    for stage in ["connect start", "connect", "pause", "resume", "first read", "end", "close"] {
        assert!(timeline.has(Side::Client, stage), "{stage}");
    }
    let text = timeline.to_string();
    let column = text.lines().next().unwrap().find("| client").unwrap();
    let mut sides = BTreeSet::new();
    for (line, step) in text.lines().skip(2).zip(timeline.steps()) {
        let (left, right) = match step.side {
            Side::Server => (true, false),
            Side::Client => (false, true),
            _ => continue,
        };
        // Beyond the names of phase and callback.
        let at = 39 + line[39..].find(step.stage).unwrap();
        assert_eq!((at < column, at > column), (left, right), "{line}");
        // With several connections each has its name.
        let id = step.connection.map(|id: Id| id.to_string());
        assert!(id.is_none_or(|id| line.contains(&id)), "{line}");
        sides.insert(left);
    }
    assert_eq!(sides.len(), 2);
    assert_eq!(timeline.steps().iter().filter(|s| s.stage == "turn").count() as u64, {
        lp.metrics().turns
    });
}

/// A deadline that ends the connection by itself calls nobody but `on_close`.
#[test]
fn the_timeline_says_which_callback_comes() {
    let mut lp = guarded();
    let timeline = Timeline::new();
    lp.observe(timeline.clone());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = || ConnectOptions::new(silent.local_addr().unwrap());
    let short = Duration::from_millis(5);
    let told: Rc<RefCell<Vec<&str>>> = Rc::default();
    for options in [to().idle_timeout(short), to().lifetime(short)] {
        let (connect, timeout, close) = (told.clone(), told.clone(), told.clone());
        let on = On::new()
            .connect(move |_| connect.borrow_mut().push("on_connect"))
            .timeout(move |s| {
                timeout.borrow_mut().push("on_timeout");
                s.time_out();
            })
            .close(move |_, _| close.borrow_mut().push("on_close"));
        lp.connect(options, on);
        lp.run().unwrap();
    }
    let steps = timeline.steps();
    let said: Vec<&str> = steps.iter().map(|s| s.calls).filter(|c| !c.is_empty()).collect();
    assert_eq!(said, *told.borrow());
    assert_eq!(steps.iter().filter(|s| s.stage == "timeout").count(), 2);
}

/// A name with a line break in it is still one line.
#[test]
fn a_step_is_one_line() {
    let mut lp = guarded();
    let timeline = Timeline::new();
    lp.observe(timeline.clone());
    odd_names(&mut lp);
    let (text, steps) = (timeline.to_string(), timeline.steps());
    assert!(steps.iter().any(|s| s.stage == "lookup start"), "{steps:?}");
    assert_eq!(text.lines().count(), 2 + steps.len(), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn a_timeline_keeps_so_many_steps() {
    let mut lp = guarded();
    let timeline = Timeline::new().limit(5);
    lp.observe(timeline.clone());
    back_pressure(&mut lp);
    assert_eq!(timeline.steps().len(), 5);
    let text = timeline.to_string();
    assert!(text.lines().last().unwrap().contains("steps more, beyond the limit"), "{text}");
}

/// Several observers are one, and get the same events in the same order.
#[test]
fn observers_are_combined() {
    let files = [Memory::default(), Memory::default(), Memory::default()];
    let json = |n: usize| JsonLines::new(files[n].clone()).without_loop();
    let mut lp = guarded();
    lp.observe((json(0), (json(1), Some(json(2)), None::<Timeline>)));
    lp.connect(closed_port(), On::new().close(|_, _| {}));
    lp.run().unwrap();
    drop(lp);
    assert_eq!(files[0].text().lines().count(), 3, "{}", files[0].text());
    assert!(files.iter().all(|f| f.text() == files[0].text()));
}
