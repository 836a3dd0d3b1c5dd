//! The stages of a connection as lines on standard error, each with the time since the beginning.
#![forbid(unsafe_code)]

use std::fmt;

use tidegate::net::{NetEvent, SocketEvent};
use tidegate::observe::{Event, Moment, Observer, OneLine};

use crate::terminal::{Tone, note, toned_note};

/// Shows every stage of every connection.
pub(super) struct Stages;

impl Observer for Stages {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        let Event::Layer(e) = event else { return };
        let Some(NetEvent::Socket(of, event)) = e.as_any().downcast_ref() else { return };
        let (tone, text) = match event {
            // What moves bytes is not a stage.
            SocketEvent::Queued { .. }
            | SocketEvent::Pause
            | SocketEvent::Resume
            | SocketEvent::Drain => return,
            SocketEvent::Connected { .. } => {
                let from = of.local.map_or(String::new(), |local| format!(", from {local}"));
                let to = of.remote.map_or(String::new(), |remote| format!(" to {remote}"));
                (Tone::Good, format!("connected{to}{from}"))
            }
            SocketEvent::Closed { reason, bytes_read, bytes_written, .. } => {
                let tone = if reason.is_error() { Tone::Bad } else { Tone::Good };
                (tone, format!("{event}; {bytes_read} B read, {bytes_written} B written"))
            }
            SocketEvent::AttemptFailed(_) | SocketEvent::Reset { .. } => {
                (Tone::Bad, event.to_string())
            }
            _ => (Tone::Strong, event.to_string()),
        };
        stage(at.elapsed.as_secs_f64(), tone, text);
    }
}

fn stage(seconds: f64, tone: Tone, text: impl fmt::Display) {
    let ms = format!("* {:>8.1} ms ", seconds * 1e3);
    note(format_args!("{} {}", toned_note(Tone::Faint, ms), toned_note(tone, OneLine(text))));
}

/// More of the same stage, under its line.
pub(super) fn more(text: impl fmt::Display) {
    note(format_args!("{:15}{}", "", OneLine(text)));
}
