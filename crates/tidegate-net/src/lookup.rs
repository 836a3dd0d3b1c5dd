//! Names to addresses: the system's resolver, on the loop's threads.
//!
//! One lookup runs for all who ask for the same name meanwhile. Whoever does not wait any
//! more is not told; a lookup that nobody waits for does not keep the loop alive.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

#[cfg(feature = "lookup")]
use tidegate_loop::WorkError;
use tidegate_loop::{AsCx, Cx};

use crate::connect;
use crate::key::SocketKey;
#[cfg(feature = "lookup")]
use crate::layer::Layer;

/// Why a name has no address.
///
/// ```
/// use tidegate_net::LookupFault;
/// assert_eq!(LookupFault::NotFound.to_string(), "there is no such name (ENOTFOUND)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LookupFault {
    /// No such name, or it has no address of the family that was asked for.
    NotFound,
    /// The resolver got no answer: it may have one later.
    TryAgain,
}

impl LookupFault {
    /// What Node calls it.
    pub fn code(self) -> &'static str {
        match self {
            LookupFault::NotFound => "ENOTFOUND",
            LookupFault::TryAgain => "EAI_AGAIN",
        }
    }
}

impl fmt::Display for LookupFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            LookupFault::NotFound => "there is no such name",
            LookupFault::TryAgain => "the resolver got no answer; try again",
        };
        write!(f, "{text} ({})", self.code())
    }
}

impl std::error::Error for LookupFault {}

impl From<LookupFault> for io::Error {
    fn from(fault: LookupFault) -> io::Error {
        let kind = match fault {
            LookupFault::NotFound => io::ErrorKind::NotFound,
            LookupFault::TryAgain => io::ErrorKind::ResourceBusy,
        };
        io::Error::new(kind, fault)
    }
}

#[cfg(feature = "lookup")]
type Found = io::Result<Vec<SocketAddr>>;

type Lookup = dyn Fn(&mut Cx<'_>, &str, LookupAnswer);

/// A lookup of the user's own.
#[derive(Clone)]
pub(crate) struct CustomLookup(pub(crate) Rc<Lookup>);

impl fmt::Debug for CustomLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomLookup")
    }
}

/// Who waits for the answer of a lookup of your own. An answer that is dropped is none: the
/// connect timeout ends the wait.
///
/// ```
/// use tidegate_loop::Cx;
/// use tidegate_net::{LookupAnswer, LookupFault};
/// fn nobody_is_known(cx: &mut Cx<'_>, _host: &str, answer: LookupAnswer) {
///     answer.give(cx, Err(LookupFault::NotFound.into()));
/// }
/// # let _ = nobody_is_known;
/// ```
#[derive(Debug)]
pub struct LookupAnswer(pub(crate) SocketKey);

impl LookupAnswer {
    /// The addresses, in the order in which to try them. Nothing happens if nobody waits
    /// any more, or in another loop than that of the connection.
    pub fn give(self, cx: &mut impl AsCx, found: io::Result<Vec<IpAddr>>) {
        let port_to_come = |ip| SocketAddr::new(ip, 0);
        let found = found.map(|ips| ips.into_iter().map(port_to_come).collect());
        connect::looked_up(&mut cx.as_cx(), self.0, found);
    }
}

/// Who waits for a name that is being looked up.
#[cfg(feature = "lookup")]
pub(crate) struct Waiting {
    pub(crate) ticket: u64,
    pub(crate) sockets: Vec<SocketKey>,
}

/// Begins, or joins, a lookup for this connection.
#[cfg(feature = "lookup")]
pub(crate) fn start(cx: &mut Cx<'_>, host: &str, socket: SocketKey) -> io::Result<()> {
    let (layer, d) = cx.parts::<Layer>();
    if let Some(waiting) = layer.lookups.get_mut(host) {
        // Those that are over must not pile up while the resolver is slow.
        if waiting.sockets.len() > 2 * layer.sockets.len() + 64 {
            waiting.sockets.retain(|key| d.check((*key).into()).is_ok());
        }
        waiting.sockets.push(socket);
        return Ok(());
    }
    let ticket = layer.lookup_tickets;
    layer.lookup_tickets += 1;
    let (asked, host) = (host.to_owned(), host.to_owned());
    let name = host.clone();
    let done = move |cx: &mut Cx<'_>, found: Result<Found, WorkError>| {
        let lookups = &mut cx.parts::<Layer>().0.lookups;
        if lookups.get(&host).is_none_or(|w| w.ticket != ticket) {
            return;
        }
        let Some(Waiting { sockets, .. }) = lookups.remove(&host) else { return };
        let found = match found {
            // By `close_all`: whoever asked since then did not mean to be cancelled.
            Err(WorkError::Cancelled) => return again(cx, &host, sockets),
            Ok(found) => found,
            Err(e) => Err(io::Error::other(e)),
        };
        for socket in sockets {
            connect::looked_up(cx, socket, copy(&found));
        }
    };
    let work = cx.slow_work(move || resolve(&asked), done);
    let work = work.map_err(|e| io::Error::other(e.to_string()))?;
    // Whoever waits keeps the loop alive.
    let _ = cx.set_ref(work, false);
    let lookups = &mut cx.parts::<Layer>().0.lookups;
    lookups.insert(name, Waiting { ticket, sockets: vec![socket] });
    Ok(())
}

#[cfg(not(feature = "lookup"))]
pub(crate) fn start(_: &mut Cx<'_>, host: &str, _: SocketKey) -> io::Result<()> {
    let text = format!("{host:?} is a name, and the feature \"lookup\" is off: give an address");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// A lookup that was cancelled begins anew for those who still wait.
#[cfg(feature = "lookup")]
fn again(cx: &mut Cx<'_>, host: &str, sockets: Vec<SocketKey>) {
    for socket in sockets {
        if connect::waits_for_lookup(cx, socket) {
            if let Err(e) = start(cx, host, socket) {
                connect::looked_up(cx, socket, Err(e));
            }
        }
    }
}

/// The answer for one of those who wait.
#[cfg(feature = "lookup")]
fn copy(found: &Found) -> Found {
    match found {
        Ok(found) => Ok(found.clone()),
        Err(e) => Err(match (e.raw_os_error(), e.get_ref().and_then(|e| e.downcast_ref())) {
            (Some(code), _) => io::Error::from_raw_os_error(code),
            (None, Some(fault)) => LookupFault::clone(fault).into(),
            (None, None) => io::Error::new(e.kind(), e.to_string()),
        }),
    }
}

/// Asks the system. Blocks. Without the feature by the standard library, which keeps the
/// resolver's codes to itself.
#[cfg(not(feature = "lookup"))]
pub(crate) fn resolve(host: &str) -> io::Result<Vec<SocketAddr>> {
    use std::net::ToSocketAddrs;

    Ok((host, 0).to_socket_addrs()?.collect())
}

/// Asks the system. Blocks.
#[cfg(feature = "lookup")]
pub(crate) fn resolve(host: &str) -> Found {
    use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};

    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    match getaddrinfo(Some(host), None, Some(hints)) {
        Ok(found) => found.map(|info| info.map(|info| info.sockaddr)).collect(),
        Err(e) => Err(match e.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData => LookupFault::NotFound.into(),
            LookupErrorKind::Again => LookupFault::TryAgain.into(),
            _ => e.into(),
        }),
    }
}
