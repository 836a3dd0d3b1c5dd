//! [`Pages`]: the browsers that get events, each at its own pace.
//!
//! A page that does not read is `Full`: nothing more is made for it, what it missed is counted, and
//! when it reads again it goes on with the newest turns. So it costs one frame and the high-water
//! mark, however long it sleeps; after 60 seconds the HTTP server resets it.
#![forbid(unsafe_code)]

use std::ops::Deref;

use serde_json::{Value, json};
use tidegate::http::{ExchangeKey, Http};
use tidegate::prelude::*;

use crate::live::model::message;
use crate::live::model::ring::{Notes, Ring};

/// Browsers use up to six connections for one server; a second browser may look, too.
pub(crate) const PAGES: usize = 8;

/// A page that is further behind goes on with the newest turns.
const BEHIND: u64 = 384;
/// With so many turns a new page begins.
const BEFORE: u64 = 200;

#[derive(Default)]
pub(crate) struct Pages {
    list: Vec<Page>,
}

struct Page {
    key: ExchangeKey,
    /// The last turn that it got, and the next note.
    turn: u64,
    note: u64,
    full: bool,
    /// Frames that it missed while it was full.
    missed: u64,
    /// It ends after so many frames.
    frames: Option<u32>,
}

impl Pages {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.list.len() < PAGES
    }

    /// `seen`: the last turn that the browser has already.
    pub(crate) fn add(
        &mut self,
        key: ExchangeKey,
        seen: Option<u64>,
        frames: Option<u32>,
        ring: &Ring,
        notes: &Notes,
    ) {
        let turn = match seen.filter(|n| *n <= ring.last()) {
            Some(n) => n,
            None => ring.last().saturating_sub(BEFORE),
        };
        let note = notes.from(0).1.saturating_sub(8);
        self.list.push(Page { key, turn, note, full: false, missed: 0, frames });
    }

    pub(crate) fn remove(&mut self, key: ExchangeKey) {
        self.list.retain(|page| page.key != key);
    }

    pub(crate) fn drained(&mut self, key: ExchangeKey) {
        for page in self.list.iter_mut().filter(|page| page.key == key) {
            page.full = false;
        }
    }

    /// Sends a frame to each page that reads. `notes` locks them; no call comes back from here.
    pub(crate) fn send<N: Deref<Target = Notes>>(
        &mut self,
        cx: &mut Cx<'_>,
        ring: &Ring,
        notes: impl Fn() -> N,
        frame: &str,
    ) {
        for page in &mut self.list {
            if page.full {
                page.missed += 1;
                continue;
            }
            let mut text = String::new();
            page.news(ring, &notes(), &mut text);
            text.push_str(frame);
            let is_last = page.frames == Some(1);
            page.frames = page.frames.map(|n| n.saturating_sub(1));
            if is_last {
                message::event(&mut text, "bye", None, &Value::Null);
            }
            let mut x = cx.exchange(page.key);
            page.full = x.write(text) == Flow::Full;
            if is_last {
                // The browser may be gone already.
                let _ = x.end();
            }
        }
    }
}

impl Page {
    /// Turns and notes that this page has not yet got.
    fn news(&mut self, ring: &Ring, notes: &Notes, text: &mut String) {
        if self.missed > 0 {
            let missed = json!({ "frames": std::mem::take(&mut self.missed) });
            message::event(text, "missed", None, &missed);
        }
        let from = self.turn;
        if ring.last().saturating_sub(from) > BEHIND {
            self.turn = ring.last() - BEHIND / 2;
        }
        if let Some((mut turns, last)) = message::turns(self.turn, ring.turns_after(self.turn)) {
            let gap = turns["skipped"].as_u64().unwrap_or(0) + (self.turn - from);
            turns["skipped"] = json!(if from == 0 { 0 } else { gap });
            message::event(text, "turns", Some(last), &turns);
            self.turn = last;
        }
        let (notes, next) = notes.from(self.note);
        for note in notes {
            message::event(text, "note", None, &message::note(note));
        }
        self.note = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::model::turn::Turn;

    #[test]
    fn a_page_that_is_far_behind_goes_on_with_the_newest_turns_and_counts_the_gap() {
        let mut lp = Loop::new().unwrap();
        let key = std::rc::Rc::new(std::cell::Cell::new(None));
        let kept = key.clone();
        let server = lp.http_listen("127.0.0.1:0", move |_, x| {
            kept.set(Some(x.key()));
            x.reply(200, "");
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        lp.connect(
            at,
            On::new().connect(|s| {
                let _ = s.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            }),
        );
        while key.get().is_none() {
            lp.run_once().unwrap();
        }
        let mut ring = Ring::default();
        for number in 1..=500 {
            ring.push(&mut Turn { number, ..Turn::default() });
        }
        let mut page = Page {
            key: key.get().unwrap(),
            turn: 10,
            note: 0,
            full: false,
            missed: 14,
            frames: None,
        };
        let mut text = String::new();
        page.news(&ring, &Notes::default(), &mut text);
        assert!(text.contains("event: missed\ndata: {\"frames\":14}"), "{text}");
        let first = 500 - BEHIND / 2 + 1;
        let data = text.split("event: turns\nid: ").nth(1).unwrap();
        let data = data.lines().nth(1).unwrap().strip_prefix("data: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["turns"][0]["n"], first);
        assert_eq!(data["skipped"], first - 11, "turns 11 to the one before the first");
    }
}
