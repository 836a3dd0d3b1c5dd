//! A timeline in text: the server's side and the client's, side by side.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::Id;
use super::record::{Plain, Record};
use crate::net::{ConnectionInfo, NetEvent, ServerEvent, SocketEvent, Timeout};
use tidegate_loop::Phase;
use tidegate_loop::{Event, LayerEvent, Moment, Observer, OneLine};

/// How many steps are kept, unless it was said otherwise.
const LIMIT: usize = 10_000;

/// Collects the steps of servers and clients in one loop, to show them side by side afterwards. A
/// clone is the same timeline: the loop owns one, and you print the other.
///
/// Each line is one step: microseconds since the loop was made, the turn and the phase that it
/// happened in, the callback that it leads to, and in the column of its side the stage and details.
/// With the feature `http`, requests and answers are steps of their sides, too.
/// After the lines of a turn comes a line with the times of its phases. It keeps 10,000 steps, see
/// [`limit`](Timeline::limit).
///
/// ```
/// use tidegate::observe::{Side, Timeline};
/// use tidegate::prelude::*;
/// let mut lp = Loop::new()?;
/// let timeline = Timeline::new();
/// lp.observe(timeline.clone());
/// lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
/// lp.run()?;
/// assert!(timeline.has(Side::Client, "connect start"));
/// assert!(!timeline.has(Side::Client, "connect"));
/// println!("{timeline}");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Timeline(Rc<RefCell<State>>);

struct State {
    steps: Vec<Step>,
    limit: usize,
    left_out: usize,
    /// Of the turn that runs.
    phases: Vec<(Phase, Duration)>,
    waited: Duration,
}

/// Whose step it is.
///
/// ```
/// assert_ne!(tidegate::observe::Side::Server, tidegate::observe::Side::Client);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Side {
    /// A turn's of the loop.
    Loop,
    /// A server's, or one of its connections'.
    Server,
    /// A client connection's.
    Client,
}

/// What a step is made of: side, connection, stage, callback, details.
type Of = (Side, Option<Id>, &'static str, &'static str, String);

/// One step. See [`Timeline::steps`].
///
/// ```
/// fn line(s: &tidegate::observe::Step) -> String { format!("{}: {}", s.stage, s.text) }
/// # let _ = line;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// When.
    pub at: Moment,
    /// Whose.
    pub side: Side,
    /// Which connection, if it is one's.
    pub connection: Option<Id>,
    /// What happened: a name that does not change, such as `connect start`.
    pub stage: &'static str,
    /// The callback that it leads to, such as `on_connect`; empty if there is none.
    pub calls: &'static str,
    /// Details on one line: the other endpoint, bytes, an error.
    pub text: String,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline::new()
    }
}

impl Timeline {
    /// An empty one.
    pub fn new() -> Timeline {
        let state = State {
            steps: Vec::new(),
            limit: LIMIT,
            left_out: 0,
            phases: Vec::new(),
            waited: Duration::ZERO,
        };
        Timeline(Rc::new(RefCell::new(state)))
    }

    /// How many steps it keeps; those after are counted and left out.
    pub fn limit(self, steps: usize) -> Timeline {
        self.0.borrow_mut().limit = steps;
        self
    }

    /// What happened so far.
    pub fn steps(&self) -> Vec<Step> {
        self.0.borrow().steps.clone()
    }

    /// Whether a side has come to this stage.
    pub fn has(&self, side: Side, stage: &str) -> bool {
        self.0.borrow().steps.iter().any(|s| s.side == side && s.stage == stage)
    }
}

impl Observer for Timeline {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        let mut state = self.0.borrow_mut();
        let step = match event {
            Event::Turn { .. } => {
                state.phases.clear();
                state.waited = Duration::ZERO;
                None
            }
            Event::Polled { waited, events, .. } => {
                state.waited = *waited;
                let text = format!("{events} ready, after {waited:.1?}");
                Some((Side::Loop, None, "polled", "", text))
            }
            Event::PhaseEnd { phase, took } => {
                state.phases.push((*phase, *took));
                None
            }
            Event::TurnEnd { took } => Some((Side::Loop, None, "turn", "", state.turn(*took))),
            Event::Layer(e) => match e.as_any().downcast_ref() {
                Some(NetEvent::Server(of, event)) => {
                    let text = match event {
                        ServerEvent::Listening => format!("on {}", of.local),
                        ServerEvent::AcceptBatch { .. } => return,
                        _ => beside(event.name(), event.to_string()),
                    };
                    Some((Side::Server, None, event.name(), of_server(event), text))
                }
                Some(NetEvent::Socket(of, event)) => {
                    let side = if of.server.is_some() { Side::Server } else { Side::Client };
                    let id = Some(Id::connection(of.key));
                    Some((side, id, event.name(), of_socket(event), text(of, event)))
                }
                _ => Some(of_request(*e).unwrap_or_else(|| {
                    let record = Record::new(at, event);
                    (Side::Loop, None, record.name, "", in_words(record))
                })),
            },
            _ => None,
        };
        let Some((side, connection, stage, calls, text)) = step else { return };
        if state.steps.len() < state.limit {
            let text = OneLine(text).to_string();
            state.steps.push(Step { at: *at, side, connection, stage, calls, text });
        } else {
            state.left_out += 1;
        }
    }
}

impl State {
    /// The turn that ends: its phases that took a microsecond or more.
    fn turn(&self, took: Duration) -> String {
        let mut text = format!("{took:.1?}");
        for (phase, took) in &self.phases {
            let (note, took) = match phase {
                Phase::Poll => (" beside the wait", took.saturating_sub(self.waited)),
                _ => ("", *took),
            };
            if took >= Duration::from_micros(1) {
                text.push_str(&format!(", {phase} {took:.1?}{note}"));
            }
        }
        text
    }
}

/// What a text says that the name does not.
fn beside(name: &str, text: String) -> String {
    if text == name { String::new() } else { text }
}

/// What is to be said of a step, beside its name.
fn text(of: &ConnectionInfo, event: &SocketEvent) -> String {
    let from = || of.remote.map_or(String::new(), |r| format!("from {r}"));
    let to = || of.remote.map_or(String::new(), |r| format!("to {r}"));
    match event {
        SocketEvent::LookupStart { host } => host.clone(),
        SocketEvent::AttemptStart { to } => format!("to {to}"),
        SocketEvent::AttemptFailed(attempt) => attempt.to_string(),
        SocketEvent::LookedUp { addresses, left_out, took } => {
            let all: Vec<String> = addresses.iter().map(|a| a.to_string()).collect();
            let more = if *left_out > 0 { format!(" and {left_out} more") } else { String::new() };
            format!("{}{more} ({took:.1?})", all.join(", "))
        }
        SocketEvent::Connected { elapsed } => format!("{} ({elapsed:.1?})", to()),
        SocketEvent::Accepted | SocketEvent::End => from(),
        SocketEvent::Adopted | SocketEvent::Finish => to(),
        SocketEvent::FirstRead { bytes } => format!("{bytes} B {}", from()),
        SocketEvent::FirstWritten { bytes } => format!("{bytes} B {}", to()),
        SocketEvent::Queued { bytes } | SocketEvent::Full { queued: bytes } => format!("{bytes} B"),
        SocketEvent::Closed { reason, unsent: 0, .. } => reason.to_string(),
        SocketEvent::Closed { reason, unsent, .. } => format!("{reason} ({unsent} B unsent)"),
        SocketEvent::TryFailed { .. }
        | SocketEvent::LookupFailed { .. }
        | SocketEvent::Reset { .. }
        | SocketEvent::TimedOut(_) => event.to_string(),
        _ => String::new(),
    }
}

/// A step of a request of HTTP, if the event is one.
fn of_request(e: &dyn LayerEvent) -> Option<Of> {
    #[cfg(feature = "http")]
    {
        let r = super::requests::Request::of(e)?;
        let side = if r.is_served { Side::Server } else { Side::Client };
        Some((side, r.connection, e.name(), r.calls, r.text))
    }
    #[cfg(not(feature = "http"))]
    {
        let _ = e;
        None
    }
}

fn in_words(record: Record) -> String {
    let word = |(name, value): (Cow<'static, str>, Plain)| match value {
        Plain::Uint(v) => format!("{name} {v}"),
        Plain::Int(v) => format!("{name} {v}"),
        Plain::Bool(v) => format!("{name} {v}"),
        Plain::Text(v) => v,
    };
    record.into_plain().map(word).collect::<Vec<_>>().join(" ")
}

/// The callback that comes of it; none of a deadline that ends the connection by itself.
fn of_socket(event: &SocketEvent) -> &'static str {
    match event {
        SocketEvent::Accepted => "on_connection",
        SocketEvent::Connected { .. } => "on_connect",
        SocketEvent::FirstRead { .. } => "on_data",
        SocketEvent::Drain => "on_drain",
        SocketEvent::End => "on_end",
        SocketEvent::Finish => "on_finish",
        SocketEvent::TimedOut(Timeout::Idle) => "on_timeout",
        SocketEvent::Closed { .. } => "on_close",
        _ => "",
    }
}

fn of_server(event: &ServerEvent) -> &'static str {
    match event {
        ServerEvent::Overload(_) => "on_overload",
        ServerEvent::AcceptFailed { .. } => "on_error",
        ServerEvent::Closed => "on_close",
        _ => "",
    }
}

/// The table. Connections are named where a side has more than one.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.borrow();
        let many = |side| {
            let mut of_it = state.steps.iter().filter(|s| s.side == side);
            let first = of_it.find_map(|s| s.connection);
            of_it.any(|s| s.connection.is_some() && s.connection != first)
        };
        let named = [many(Side::Server), many(Side::Client)];
        let cells: Vec<String> = state
            .steps
            .iter()
            .map(|s| match s.connection {
                Some(id) if named[usize::from(s.side == Side::Client)] => {
                    format!("{id} {:<14} {}", s.stage, s.text)
                }
                _ => format!("{:<14} {}", s.stage, s.text),
            })
            .map(|cell| cell.trim_end().to_owned())
            .collect();
        let on_the_left = cells.iter().zip(&state.steps).filter(|(_, s)| s.side == Side::Server);
        let width = on_the_left.map(|(cell, _)| cell.chars().count()).max().unwrap_or(0).max(6);
        writeln!(
            f,
            "{:>8} {:>5}  {:<8} {:<14}| {:<width$} | client",
            "us", "turn", "phase", "calls", "server"
        )?;
        let rule = width + 2;
        writeln!(f, "{:-<39}+{:-<rule$}+{:-<rule$}", "", "", "")?;
        for (step, cell) in state.steps.iter().zip(&cells) {
            let Step { at, side, stage, calls, .. } = step;
            let us = at.elapsed.as_micros();
            let phase = if *stage == "turn" { String::new() } else { at.phase.to_string() };
            write!(f, "{us:>8} {:>5}  {phase:<8} {calls:<14}", at.turn)?;
            match side {
                Side::Loop => writeln!(f, ": {cell}")?,
                Side::Server => writeln!(f, "| {cell:<width$} |")?,
                Side::Client => writeln!(f, "| {:<width$} | {cell}", "")?,
            }
        }
        if state.left_out > 0 {
            writeln!(f, "and {} steps more, beyond the limit", state.left_out)?;
        }
        Ok(())
    }
}
