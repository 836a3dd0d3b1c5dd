//! A server's connection until the client has said what it wants, and that is decided.
#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{Accepted, AcceptedAlert, Acceptor};

use crate::connection::choice::{Choice, Hello};
use crate::connection::session::Session;
use crate::connection::shared::ServerShared;
use crate::error::alert::Alert;
use crate::error::tls_error::TlsError;
use tidegate_net::SocketKey;

pub(crate) enum Asking {
    /// The client has not said everything.
    Reading(Box<Acceptor>),
    /// It has, and the decision comes later.
    Deciding(Box<Accepted>),
}

/// What comes of one step.
pub(crate) enum Asked {
    /// Wait.
    Still(Asking),
    /// Go on with this; so many bytes of the peer were taken.
    Begun(Session, usize),
}

impl Asking {
    pub(crate) fn new() -> Asking {
        Asking::Reading(Box::default())
    }

    pub(crate) fn is_deciding(&self) -> bool {
        matches!(self, Asking::Deciding(_))
    }

    /// Bytes of the client. While it is decided none are taken.
    pub(crate) fn inbound(
        self,
        wire: &[u8],
        shared: &ServerShared,
        key: Option<SocketKey>,
        down: &mut Vec<u8>,
    ) -> Result<Asked, TlsError> {
        let Asking::Reading(mut acceptor) = self else { return Ok(Asked::Still(self)) };
        let mut rest = wire;
        while !rest.is_empty() {
            let full = |e: std::io::Error| rustls::Error::General(e.to_string());
            let read = acceptor.read_tls(&mut rest).map_err(full);
            if read.map_err(|e| TlsError::new(e, &[]))? == 0 {
                break;
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let taken = wire.len() - rest.len();
                    let choice = choose(&accepted, shared, key);
                    return decided(Box::new(accepted), choice, shared, taken, down);
                }
                Err((error, alert)) => return Err(refused(error, alert, down)),
            }
        }
        Ok(Asked::Still(Asking::Reading(acceptor)))
    }

    /// The decision came.
    pub(crate) fn decide(
        self,
        choice: Choice,
        shared: &ServerShared,
        down: &mut Vec<u8>,
    ) -> Result<Asked, TlsError> {
        match self {
            Asking::Deciding(accepted) => decided(accepted, choice, shared, 0, down),
            reading => Ok(Asked::Still(reading)),
        }
    }
}

fn choose(accepted: &Accepted, shared: &ServerShared, key: Option<SocketKey>) -> Choice {
    let hello = Hello { hello: accepted.client_hello(), key };
    if let Some(choose) = &shared.choose {
        return choose(&hello);
    }
    let names = shared.current().names;
    match names.is_none_or(|names| names.find(hello.server_name()).is_some()) {
        true => Choice::Default,
        false => Choice::Refuse(Alert::UNRECOGNISED_NAME),
    }
}

fn decided(
    accepted: Box<Accepted>,
    choice: Choice,
    shared: &ServerShared,
    taken: usize,
    down: &mut Vec<u8>,
) -> Result<Asked, TlsError> {
    match choice {
        Choice::Later => Ok(Asked::Still(Asking::Deciding(accepted))),
        Choice::Default => begin(*accepted, shared.current().config, taken, down),
        Choice::Config(config) => begin(*accepted, config, taken, down),
        Choice::Refuse(alert) => {
            down.extend(alert.record());
            let text = "we do not serve what it asked for";
            Err(TlsError::text("ERR_TLS_REFUSED", text).sent(alert))
        }
    }
}

fn begin(
    accepted: Accepted,
    config: Arc<ServerConfig>,
    taken: usize,
    down: &mut Vec<u8>,
) -> Result<Asked, TlsError> {
    match accepted.into_connection(config) {
        Ok(conn) => Ok(Asked::Begun(Session::of(conn), taken)),
        Err((error, alert)) => Err(refused(error, alert, down)),
    }
}

fn refused(error: rustls::Error, mut alert: AcceptedAlert, down: &mut Vec<u8>) -> TlsError {
    // A `Vec` takes everything.
    let _ = alert.write_all(down);
    TlsError::new(error, down)
}
