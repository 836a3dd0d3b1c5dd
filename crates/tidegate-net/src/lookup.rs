//! Names to addresses: the system's resolver, on the loop's threads. A separate layer.
//!
//! One lookup runs for all handles that ask for the same name meanwhile. A handle that does
//! not wait any more gets no answer, and a lookup without waiting handles does not keep the
//! loop alive. It knows no sockets: a handle of any kind may ask.
#![forbid(unsafe_code)]

#[cfg(feature = "lookup")]
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

#[cfg(feature = "lookup")]
use tidegate_loop::WorkError;
#[cfg(feature = "lookup")]
use tidegate_loop::kind::LayerId;
use tidegate_loop::{Cx, Key};

#[cfg(feature = "lookup")]
use crate::error::fault::LookupFault;

#[cfg_attr(not(feature = "lookup"), allow(dead_code))]
pub(crate) type Found = io::Result<Vec<SocketAddr>>;

/// A handle that asks for a name, of any kind, and what to call with the answer. For layers; see
/// [`Net::lookup`](crate::Net::lookup).
///
/// ```
/// use tidegate_loop::kind::{Kind, Owner};
/// use tidegate_loop::{AsCx, Loop};
/// use tidegate_net::{Asker, Net};
/// static MINE: Owner = Owner::new();
/// static ASKING: Kind = Kind::new("asking", &MINE);
/// let mut lp = Loop::new()?;
/// let key = lp.cx().driver().insert(&ASKING, 0)?.key();
/// lp.lookup("localhost", Asker {
///     key,
///     waits: |cx, key| cx.is_open(key),
///     answer: |cx, key, found| {
///         println!("{found:?}");
///         if let Some(handle) = cx.driver().handle(&MINE, key) {
///             handle.free();
///         }
///     },
/// })?;
/// lp.run()?; // until the answer is there
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg_attr(not(feature = "lookup"), allow(dead_code))]
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The handle. It keeps the loop alive while it waits.
    pub key: Key,
    /// Whether it still waits for the answer.
    pub waits: fn(&mut Cx<'_>, Key) -> bool,
    /// What to call with the addresses, whose ports are 0, or with the error. It comes from a
    /// callback of the loop, also for a handle that does not wait any more.
    pub answer: fn(&mut Cx<'_>, Key, io::Result<Vec<SocketAddr>>),
}

#[cfg(feature = "lookup")]
static LOOKUPS: LayerId<Lookups> = LayerId::new(Lookups::default);

/// The names that are being looked up: a separate layer.
#[cfg(feature = "lookup")]
#[derive(Default)]
struct Lookups {
    under_way: HashMap<String, Waiting>,
    tickets: u64,
}

/// Those who wait for one name.
#[cfg(feature = "lookup")]
pub(crate) struct Waiting {
    ticket: u64,
    askers: Vec<Asker>,
    /// With so many, those that are over are dropped from the list.
    prune_at: usize,
}

/// A list this short is not pruned.
#[cfg(feature = "lookup")]
const FEW: usize = 64;

/// Looks a name up; the answer comes in a later phase. An error if no thread can do it.
#[cfg(feature = "lookup")]
pub(crate) fn start(cx: &mut Cx<'_>, host: &str, asker: Asker) -> io::Result<()> {
    let (lookups, d) = cx.layer(&LOOKUPS);
    if let Some(waiting) = lookups.under_way.get_mut(host) {
        // Those that are over must not pile up while the resolver is slow.
        if waiting.askers.len() >= waiting.prune_at {
            waiting.askers.retain(|a| d.check(a.key).is_ok());
            waiting.prune_at = 2 * waiting.askers.len() + FEW;
        }
        waiting.askers.push(asker);
        return Ok(());
    }
    let ticket = lookups.tickets;
    lookups.tickets += 1;
    let (asked, host) = (host.to_owned(), host.to_owned());
    let name = host.clone();
    let done = move |cx: &mut Cx<'_>, found: Result<Found, WorkError>| {
        let under_way = &mut cx.layer(&LOOKUPS).0.under_way;
        if under_way.get(&host).is_none_or(|w| w.ticket != ticket) {
            return;
        }
        let Some(Waiting { askers, .. }) = under_way.remove(&host) else { return };
        let found = match found {
            // By `close_all`: handles that asked since then must not be cancelled.
            Err(WorkError::Cancelled) => return again(cx, &host, askers),
            Ok(found) => found,
            Err(e) => Err(io::Error::other(e)),
        };
        for asker in askers {
            (asker.answer)(cx, asker.key, copy(&found));
        }
    };
    let work = cx.slow_work(move || resolve(&asked), done);
    let work = work.map_err(|e| io::Error::other(e.to_string()))?;
    // The handles that wait keep the loop alive.
    let _ = cx.set_ref(work, false);
    let under_way = &mut cx.layer(&LOOKUPS).0.under_way;
    under_way.insert(name, Waiting { ticket, askers: vec![asker], prune_at: FEW });
    Ok(())
}

#[cfg(not(feature = "lookup"))]
pub(crate) fn start(_: &mut Cx<'_>, host: &str, _: Asker) -> io::Result<()> {
    let text = format!("{host:?} is a name, and the feature \"lookup\" is off: give an address");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// A lookup that was cancelled begins anew for those who still wait.
#[cfg(feature = "lookup")]
fn again(cx: &mut Cx<'_>, host: &str, askers: Vec<Asker>) {
    for asker in askers {
        if (asker.waits)(cx, asker.key) {
            if let Err(e) = start(cx, host, asker) {
                (asker.answer)(cx, asker.key, Err(e));
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
