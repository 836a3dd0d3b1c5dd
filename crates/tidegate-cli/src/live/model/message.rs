//! What the page gets: messages with a name and JSON, the same from a loop and from a file.
//!
//! | name | data |
//! |---|---|
//! | `hello` | first: names of the phases, presets |
//! | `turns` | turns without a gap, but for `skipped` |
//! | `partial` | the turn that a stopped loop is in, or null |
//! | `conns`, `door` | connections with their bytes; servers with their accept queues |
//! | `doing` | what the loop does now: waits, calls a handle, is stopped |
//! | `metrics`, `note` | counters once a second; something that happened, for people |
#![forbid(unsafe_code)]

use serde_json::{Value, json};

use super::ring::Note;
use super::turn::Turn;

/// Bytes of one `turns` message, about.
const MOST: usize = 64 * 1024;

pub(crate) fn turn(turn: &Turn) -> Value {
    let calls: Vec<Value> = turn
        .calls
        .iter()
        .map(|c| json!([c.who.to_string(), c.kind, c.bits.to_string(), c.took, c.place, c.carried]))
        .collect();
    let batches: Vec<Value> =
        turn.batches.iter().map(|b| json!([b.server.to_string(), b.accepted, b.stopped])).collect();
    json!({
        "n": turn.number, "at": turn.began, "took": turn.took, "waited": turn.waited,
        "events": turn.events, "before": turn.before, "queued": turn.queued,
        "ph": turn.phases, "calls": calls, "out": turn.left_out, "batches": batches,
        "places": turn.places,
    })
}

/// As many of these turns as one message has room for, and the number of the last.
pub(crate) fn turns<'a>(after: u64, all: impl Iterator<Item = &'a Turn>) -> Option<(Value, u64)> {
    let (mut list, mut bytes, mut last, mut skipped) = (Vec::new(), 0, after, 0);
    for each in all {
        if list.is_empty() && after > 0 {
            skipped = each.number.saturating_sub(after + 1);
        }
        bytes += 200 + each.calls.len() * 48;
        let is_next = each.number == last + 1;
        if !list.is_empty() && (bytes > MOST || !is_next) {
            break;
        }
        last = each.number;
        list.push(turn(each));
    }
    (!list.is_empty()).then(|| (json!({ "skipped": skipped, "turns": list }), last))
}

pub(crate) fn note(note: &Note) -> Value {
    json!({ "turn": note.turn, "at": note.at, "phase": note.phase, "text": note.text })
}

/// A message as server-sent events write it. JSON has no line breaks.
pub(crate) fn event(into: &mut String, name: &str, id: Option<u64>, data: &Value) {
    into.push_str("event: ");
    into.push_str(name);
    if let Some(id) = id {
        into.push_str(&format!("\nid: {id}"));
    }
    into.push_str("\ndata: ");
    into.push_str(&data.to_string());
    into.push_str("\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_turns_without_a_gap_says_what_it_skipped_and_is_bounded() {
        let made = |number| Turn { number, ..Turn::default() };
        let all: Vec<Turn> = (5..2_000).map(made).collect();
        let (message, last) = turns(2, all.iter()).unwrap();
        assert_eq!(message["skipped"], 2, "turns 3 and 4");
        let listed = message["turns"].as_array().unwrap();
        assert_eq!(listed[0]["n"], 5);
        assert_eq!(last, 4 + listed.len() as u64);
        let length = message.to_string().len();
        assert!((MOST / 2..MOST * 2).contains(&length), "{length} bytes");
        let (next, _) = turns(last, all.iter().skip(listed.len())).unwrap();
        assert_eq!((&next["skipped"], &next["turns"][0]["n"]), (&json!(0), &json!(last + 1)));
        assert!(turns(9, [].iter()).is_none());
        let gap: Vec<Turn> = [5, 6, 9].map(made).into();
        let (message, last) = turns(4, gap.iter()).unwrap();
        assert_eq!((message["turns"].as_array().unwrap().len(), last), (2, 6), "up to the gap");
        assert_eq!(turns(last, gap[2..].iter()).unwrap().0["skipped"], 2);
    }

    #[test]
    fn an_event_is_one_block_of_lines() {
        let mut text = String::new();
        event(&mut text, "note", Some(3), &json!({ "text": "a\nb" }));
        assert_eq!(text, "event: note\nid: 3\ndata: {\"text\":\"a\\nb\"}\n\n");
    }
}
