//! [`Verdict`]: which callback blocked the loop, for how long, and how many clients waited meanwhile.
//!
//! The observer says which call took long; the accept queues are read on this thread while it runs.
#![forbid(unsafe_code)]

use std::time::Duration;

use serde_json::{Value, json};

use crate::live::loops::shared::{Now, Shared};
use crate::live::model::ring::Note;

/// A call that takes so long already is one whose queues are watched.
const LONG: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(crate) struct Verdict {
    /// The longest accept queues during the call that runs.
    peaks: Vec<u32>,
    last: Option<Value>,
}

impl Verdict {
    /// What was said last.
    pub(crate) fn last(&self) -> Option<&Value> {
        self.last.as_ref()
    }

    /// Looks on: `depths` are the accept queues of now. Returns a new verdict, if there is one.
    pub(crate) fn tick(
        &mut self,
        shared: &Shared,
        depths: &[(&'static str, Option<u32>)],
    ) -> Option<Value> {
        let now = shared.now();
        let slow = shared.doing().slow.take();
        self.peaks.resize(depths.len(), 0);
        let Some(slow) = slow else {
            if matches!(now, Now::Calls(_, _, since) if since.elapsed() >= LONG) {
                for (peak, (_, depth)) in self.peaks.iter_mut().zip(depths) {
                    *peak = (*peak).max(depth.unwrap_or(0));
                }
            } else {
                self.peaks.fill(0);
            }
            return None;
        };
        let waited: u32 = self.peaks.iter().sum();
        let most = self.peaks.iter().zip(depths).max_by_key(|(peak, _)| **peak);
        let place = most.filter(|(peak, _)| **peak > 0).map(|(_, (name, _))| *name);
        self.peaks.fill(0);
        let millis = slow.took.as_millis();
        let meanwhile = match place {
            Some(place) => format!("{waited} clients waited at the door meanwhile (`{place}`)"),
            None => "no client waited at the door".to_owned(),
        };
        let who = slow.who.to_string();
        let text = format!(
            "{who} ({}) blocked the loop for {millis} ms; {meanwhile}. Move such work to `work()`, \
             or split it with `next_tick`.",
            slow.kind
        );
        shared.note(Note { turn: slow.turn, at: 0, phase: "", text: text.clone() });
        let verdict = json!({
            "turn": slow.turn, "who": who, "kind": slow.kind, "took_ms": millis as u64,
            "waited": waited, "place": place, "text": text,
        });
        self.last = Some(verdict.clone());
        Some(verdict)
    }
}
