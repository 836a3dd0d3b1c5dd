//! [`ProxyProtocol`]: how a server takes PROXY headers, and its filter, which takes one and leaves.
//!
//! | event | next |
//! |---|---|
//! | accepted from a peer that is not trusted | refused at once |
//! | bytes that can be no header | refused at once |
//! | a part of a header | kept; the server's `handshake_timeout` runs |
//! | a whole header | the peer is the one it names; what follows goes on; the filter leaves |
//! | the peer's end before | refused |
#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::callbacks::filter::{Filter, FilterError, FilterFactory, Held, Passed};
use crate::proxy_protocol::decode::{Accepted, decode};
use crate::proxy_protocol::fault::ProxyFault;
use crate::proxy_protocol::trusted::TrustedProxies;

/// A server's connections begin with a header of the PROXY protocol. Give it to
/// [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol).
///
/// ```
/// use tidegate_net::{ProxyProtocol, TrustedProxies};
/// let balancers: TrustedProxies = "10.0.0.0/24".parse()?;
/// let expected = ProxyProtocol::new(balancers).v2_only();
/// # let _ = expected;
/// # Ok::<(), tidegate_net::TrustedError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    trusted: Arc<TrustedProxies>,
    accepted: Accepted,
}

impl ProxyProtocol {
    /// Headers of both versions, from these peers.
    pub fn new(trusted: TrustedProxies) -> ProxyProtocol {
        let accepted = Accepted { v1: true, v2: true, limit: 4096 };
        ProxyProtocol { trusted: Arc::new(trusted), accepted }
    }

    /// Version 1 alone.
    pub fn v1_only(mut self) -> ProxyProtocol {
        (self.accepted.v1, self.accepted.v2) = (true, false);
        self
    }

    /// Version 2 alone.
    pub fn v2_only(mut self) -> ProxyProtocol {
        (self.accepted.v1, self.accepted.v2) = (false, true);
        self
    }

    /// How many bytes of addresses and values a header of version 2 may have; default 4096. A line
    /// of version 1 has 107 at most.
    pub fn max_header(mut self, bytes: usize) -> ProxyProtocol {
        self.accepted.limit = bytes;
        self
    }
}

impl FilterFactory for ProxyProtocol {
    fn make(&self) -> Box<dyn Filter> {
        let (trusted, accepted) = (self.trusted.clone(), self.accepted);
        Box::new(Accepting { trusted, accepted, partial: Vec::new() })
    }

    /// A header costs little to read.
    fn handshakes_per_turn(&self) -> u32 {
        1024
    }

    fn names_peer(&self) -> bool {
        true
    }
}

struct Accepting {
    trusted: Arc<TrustedProxies>,
    accepted: Accepted,
    partial: Vec<u8>,
}

impl Filter for Accepting {
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        match self.trusted.has_peer(out.peer()) {
            true => Ok(()),
            false => Err(ProxyFault::Untrusted.refusal()),
        }
    }

    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        let bytes = match self.partial.is_empty() {
            true => &*wire,
            false => {
                self.partial.extend_from_slice(wire);
                &self.partial
            }
        };
        match decode(bytes, self.accepted).map_err(ProxyFault::refusal)? {
            Some((header, length)) => {
                out.up.extend_from_slice(&bytes[length..]);
                out.set_header(header);
                out.leave();
            }
            None if self.partial.is_empty() => self.partial = wire.to_vec(),
            None => {}
        }
        Ok(())
    }

    fn inbound_end(&mut self, _: &mut Passed) -> Result<(), FilterError> {
        let fault = match self.partial.is_empty() {
            true => ProxyFault::Missing,
            false => ProxyFault::Truncated,
        };
        Err(fault.refusal())
    }

    fn outbound(&mut self, _: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Ok(0)
    }

    fn held(&self) -> Held {
        Held { user: 0, wire: self.partial.len() }
    }

    fn describe(&self) -> String {
        "PROXY header".into()
    }
}
