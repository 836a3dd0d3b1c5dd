//! [`Tickets`]: what lets clients come back with a short handshake.
#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::server::ProducesTickets;

use crate::error::config_error::TlsConfigError;

/// The keys of the tickets by which clients resume: a server with the same keys takes them, so
/// servers in several loops and configurations one after the other share a clone of this. The keys
/// change every 6 hours; a ticket is good for up to 12.
///
/// ```
/// use tidegate_tls::{Tickets, TlsServer};
/// let tickets = Tickets::new()?;
/// let (one, other) = (TlsServer::builder(), TlsServer::builder());
/// let (one, other) = (one.tickets(tickets.clone()), other.tickets(tickets));
/// # let _ = (one, other);
/// # Ok::<(), tidegate_tls::TlsConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tickets(pub(crate) Option<Arc<dyn ProducesTickets>>);

impl Tickets {
    /// New keys, at random.
    pub fn new() -> Result<Tickets, TlsConfigError> {
        Ok(Tickets(Some(rustls::crypto::ring::Ticketer::new()?)))
    }

    /// No tickets: each handshake is a full one.
    pub fn off() -> Tickets {
        Tickets(None)
    }

    /// Tickets of your own.
    pub fn with(ticketer: Arc<dyn ProducesTickets>) -> Tickets {
        Tickets(Some(ticketer))
    }
}
