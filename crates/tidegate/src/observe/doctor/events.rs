//! What the rules need of the events of a running loop.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use super::super::Id;
use super::rules::Rules;
use crate::net::{BatchEnd, NetEvent, Overload, ServerEvent, SocketEvent, SocketKey};
use tidegate_loop::Event;

/// A handle of the loop; of a connection also the key to ask by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Handle {
    pub(super) id: Id,
    pub(super) socket: Option<SocketKey>,
}

impl From<Id> for Handle {
    fn from(id: Id) -> Handle {
        Handle { id, socket: None }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// Whether the rules need this event. A turn has many that they do not.
#[inline]
pub(super) fn says_something(event: &Event<'_>) -> bool {
    use Event::{Called, Layer, Poll, Polled, TurnEnd};
    matches!(event, Poll { .. } | Polled { .. } | Called { .. } | TurnEnd { .. } | Layer(_))
}

pub(super) fn take(rules: &mut Rules<Handle>, at: Duration, event: &Event<'_>) {
    match event {
        Event::Poll { timeout, .. } => rules.poll(at, *timeout),
        Event::Polled { waited, .. } => rules.polled(*waited),
        Event::Called { key, kind, took } => {
            rules.called(at, || Id::of(kind, *key).into(), kind, *took);
        }
        Event::TurnEnd { took } => rules.turn_end(at, *took),
        Event::Layer(e) => match e.as_any().downcast_ref() {
            Some(NetEvent::Server(of, event)) => {
                server(rules, at, &Id::server(of.key).into(), event)
            }
            Some(NetEvent::Socket(of, event)) => {
                let of = Handle { id: Id::connection(of.key), socket: Some(of.key) };
                socket(rules, at, &of, event);
            }
            _ => {}
        },
        _ => {}
    }
}

fn server(rules: &mut Rules<Handle>, at: Duration, of: &Handle, event: &ServerEvent) {
    match event {
        ServerEvent::AcceptBatch { accepted, stopped } => {
            rules.accepted(at, of, (*accepted).into(), *stopped == BatchEnd::Budget);
        }
        ServerEvent::Overload(Overload::Held) => rules.no_descriptors(at, of, None),
        ServerEvent::Overload(Overload::Shed { connections }) => {
            rules.no_descriptors(at, of, Some((*connections).into()));
        }
        ServerEvent::Closed => rules.server_is_over(of),
        _ => {}
    }
}

fn socket(rules: &mut Rules<Handle>, at: Duration, of: &Handle, event: &SocketEvent) {
    match event {
        SocketEvent::Full { queued } => rules.full(at, of, *queued as u64),
        SocketEvent::Queued { bytes } => rules.queued(of, *bytes as u64),
        SocketEvent::Drain => rules.not_full(of),
        SocketEvent::Closed { reason, .. } => {
            rules.not_full(of);
            if reason.is_error() {
                rules.failed(of, reason.to_string());
            }
        }
        event if event.is_last() => rules.not_full(of),
        _ => {}
    }
}
