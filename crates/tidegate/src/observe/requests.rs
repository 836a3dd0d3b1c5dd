//! Requests of HTTP as steps of a timeline: on which side they are, and what is said of them.
//!
//! What is said of connections is in `timeline.rs`.
#![forbid(unsafe_code)]

use tidegate_http::{ClientEvent, HttpEvent};
use tidegate_loop::LayerEvent;

use super::Id;

/// A step of a request.
pub(super) struct Request {
    /// A server answers it; else a client has made it.
    pub(super) is_served: bool,
    pub(super) connection: Option<Id>,
    /// The callback that comes of it.
    pub(super) calls: &'static str,
    pub(super) text: String,
}

impl Request {
    /// The step that an event is, if it is one.
    pub(super) fn of(e: &dyn LayerEvent) -> Option<Request> {
        let text = beside(e.name(), e.to_string());
        if let Some(event) = e.as_any().downcast_ref::<HttpEvent>() {
            let (socket, calls) = match event {
                HttpEvent::Request { exchange, .. } => (exchange.socket(), "on_request"),
                HttpEvent::Response { exchange, .. } | HttpEvent::Upgraded { exchange, .. } => {
                    (exchange.socket(), "")
                }
                HttpEvent::Broken { exchange } => (exchange.socket(), "on_close"),
                HttpEvent::Refused { socket, .. } => (*socket, "on_refused"),
                _ => return None,
            };
            let connection = Some(Id::connection(socket));
            return Some(Request { is_served: true, connection, calls, text });
        }
        let (connection, calls) = match e.as_any().downcast_ref::<ClientEvent>()? {
            ClientEvent::Sent { socket, .. } => (Some(Id::connection(*socket)), ""),
            ClientEvent::Head { .. } => (None, "on_head"),
            ClientEvent::Answered { .. } | ClientEvent::Failed { .. } => (None, "on_close"),
            _ => (None, ""),
        };
        Some(Request { is_served: false, connection, calls, text })
    }
}

/// What a text says behind the name that it begins with.
fn beside(name: &str, text: String) -> String {
    match text.strip_prefix(name) {
        Some(rest) => rest.trim_start_matches([':', ' ']).to_owned(),
        None => text,
    }
}
