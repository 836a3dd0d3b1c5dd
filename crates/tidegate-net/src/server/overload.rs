//! An accept gave no connection: what the failure means, and which callback hears of it.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::TcpStream;
use tidegate_loop::kind::{Dispatch, Trigger};

use crate::key::ServerKey;
use crate::server::call::call;
use crate::server::held::{hold, shed};
use crate::server_event::{BatchEnd, Overload, ServerEvent};
use crate::state::layer::NET;
use crate::sys::{self, AcceptFailure};

/// Why an accept gave no connection.
pub(crate) enum Refused {
    /// This one is lost; the next may be fine.
    Connection,
    /// The turn is over.
    Batch(BatchEnd),
}

/// Closes a connection beyond `max_connections`.
#[cold]
pub(crate) fn turned_away(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    stream: TcpStream,
    peer: Option<SocketAddr>,
) -> Refused {
    drop(stream);
    let (layer, driver) = d.layer(&NET);
    if let Some(l) = layer.listener(&driver, server) {
        l.stats.dropped += 1;
        let overload = Overload::MaxConnections { peer, dropped: l.stats.dropped };
        overloaded(d, server, overload);
    }
    Refused::Connection
}

/// There was no room: calls `on_overload`.
fn overloaded(d: &mut Dispatch<'_>, server: ServerKey, overload: Overload) {
    let (layer, mut driver) = d.layer(&NET);
    if let Some(l) = layer.listener(&driver, server) {
        l.tell(&mut driver, || ServerEvent::Overload(overload));
    }
    call(d, server, |h, s| h.on_overload(s, overload));
}

/// What an accept that failed means.
#[cold]
pub(crate) fn failed(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    accepted: u32,
    e: io::Error,
) -> Refused {
    let (layer, driver) = d.layer(&NET);
    let Some(l) = layer.listener(&driver, server) else {
        return Refused::Batch(BatchEnd::Closed);
    };
    if e.kind() == ErrorKind::WouldBlock {
        return Refused::Batch(BatchEnd::WouldBlock);
    }
    match sys::accept_failure(&e) {
        AcceptFailure::Aborted => {
            l.stats.aborted += 1;
            Refused::Connection
        }
        AcceptFailure::Connection => {
            tell_failed(d, server, e);
            Refused::Connection
        }
        // The system says so even if nobody waits. Ask the poller.
        AcceptFailure::Resources if accepted > 0 && l.trigger == Trigger::Level => {
            Refused::Batch(BatchEnd::Enough)
        }
        AcceptFailure::Resources => match shed(d, server) {
            Some((connections, end)) => {
                if connections > 0 {
                    overloaded(d, server, Overload::Shed { connections });
                }
                Refused::Batch(end)
            }
            None => {
                hold(d, server);
                overloaded(d, server, Overload::Held);
                Refused::Batch(BatchEnd::Held)
            }
        },
        AcceptFailure::Listener => {
            hold(d, server);
            tell_failed(d, server, e);
            Refused::Batch(BatchEnd::Held)
        }
    }
}

/// Accepting failed: calls `on_error`.
fn tell_failed(d: &mut Dispatch<'_>, server: ServerKey, e: io::Error) {
    let (layer, mut driver) = d.layer(&NET);
    let Some(l) = layer.listener(&driver, server) else { return };
    l.stats.errors += 1;
    let error = l.error(e);
    l.tell(&mut driver, || {
        let text = error.in_words();
        ServerEvent::AcceptFailed { error: text, code: error.code() }
    });
    call(d, server, |h, s| h.on_error(s, error));
}
