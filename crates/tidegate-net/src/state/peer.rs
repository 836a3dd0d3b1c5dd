//! Who the peer of a connection is: the other end of its socket, or whom a header named.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use tidegate_loop::kind::Runtime;

use crate::callbacks::filter::Named;
use crate::event::SocketEvent;
use crate::state::rare::Proxied;
use crate::state::remote::Counted;
use crate::state::socket::Socket;

impl Socket {
    /// The address at the other end of its socket, if it has one: the peer's, or that of a proxy.
    pub(crate) fn transport(&self) -> Option<SocketAddr> {
        match self.proxied() {
            Some(proxied) => proxied.transport,
            None => self.remote(),
        }
    }

    /// Whose connections it counts to.
    pub(crate) fn counted(&self) -> Option<IpAddr> {
        let peer = match self.counted {
            Counted::No => None,
            Counted::Transport => self.transport(),
            Counted::Peer => self.remote(),
        };
        peer.map(|peer| peer.ip())
    }

    /// What a header said of the peer.
    pub(crate) fn proxied(&self) -> Option<&Proxied> {
        self.rare.as_deref()?.proxied.as_deref()
    }

    /// A header said who the peer is.
    #[cold]
    pub(crate) fn set_named(&mut self, rt: &mut Runtime<'_>, named: Named) {
        let transport = self.transport();
        if named.peer.is_some() {
            self.set_remote(named.peer);
        }
        let proxied = Proxied { transport, named: named.peer.is_some(), header: named.header };
        self.rare_or_new().proxied = Some(Box::new(proxied));
        self.tell(rt, || SocketEvent::Proxied { transport });
    }
}
