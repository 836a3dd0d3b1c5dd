//! One attempt to connect to one address: begun, looked at, failed.
//!
//! Which addresses have their turn, and when, is in `attempts.rs`.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Handle, Runtime};

use crate::error::net_error::Attempt;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::options::connect::ConnectOptions;
use crate::state::deadlines::clocks::as_nanos;
use crate::state::socket::Socket;
use crate::sys;

/// socket -> options -> bind -> connect, without waiting.
pub(crate) fn open(
    o: &ConnectOptions,
    remote: SocketAddr,
) -> Result<TcpStream, (Stage, io::Error)> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    if o.block_list.as_ref().is_some_and(|list| list.contains(remote.ip())) {
        let text = "the block list forbids this address";
        return Err((Stage::Connect, io::Error::new(io::ErrorKind::PermissionDenied, text)));
    }
    if let Some(local) = o.local_ip.filter(|l| l.is_ipv4() != remote.is_ipv4()) {
        let family = |v4| if v4 { "IPv4" } else { "IPv6" };
        let (l, r) = (family(local.is_ipv4()), family(remote.is_ipv4()));
        let text = format!("the local address {local} is {l}, the target is {r}");
        return Err((Stage::Bind, invalid(text)));
    }
    let at = |stage| move |e| (stage, e);
    let raw = RawSocket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))
        .map_err(at(Stage::Connect))?;
    raw.set_nonblocking(true).map_err(at(Stage::Connect))?;
    o.stream.apply(SockRef::from(&raw)).map_err(at(Stage::Connect))?;
    if o.local_ip.is_some() || o.local_port != 0 {
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = SocketAddr::new(o.local_ip.unwrap_or(any), o.local_port);
        if o.local_port != 0 {
            sys::reuse_address(&raw).map_err(at(Stage::Bind))?;
        }
        raw.bind(&local.into()).map_err(at(Stage::Bind))?;
    }
    let remote = sys::reachable(remote);
    sys::before_connect(&raw, remote);
    match raw.connect(&remote.into()) {
        Err(e) if !sys::is_connecting(&e) => Err((Stage::Connect, e)),
        _ => Ok(TcpStream::from_std(raw.into())),
    }
}

/// Notes a failure; the next address is up to the caller.
pub(crate) fn attempt_failed(
    s: &mut Socket,
    rt: &mut Runtime<'_>,
    stage: Stage,
    remote: SocketAddr,
    since: u64,
    e: io::Error,
) {
    let elapsed = Duration::from_nanos(as_nanos(rt.clock()).saturating_sub(since));
    let attempt = Attempt { remote, stage, elapsed, error: Arc::new(e) };
    s.tell(rt, || SocketEvent::AttemptFailed(attempt.clone()));
    let Some(c) = s.connecting_mut() else { return };
    c.failed.push(attempt);
}

/// What the poller said of a stream that connects.
pub(crate) enum Progress {
    Waits,
    Connected,
    Failed(io::Error),
}

/// Connected means: writable, no error, and a peer, if it can have an address.
pub(crate) fn progress(
    stream: &mut TcpStream,
    remote: Option<SocketAddr>,
    h: &mut Handle<'_>,
) -> Progress {
    if !h.readiness().has(Readiness::WRITABLE) {
        return Progress::Waits;
    }
    match stream.take_error() {
        Ok(None) if remote.is_none() => Progress::Connected,
        Ok(None) => match peer(stream, h) {
            Ok(()) => Progress::Connected,
            Err((e, false)) if e.kind() == io::ErrorKind::NotConnected => {
                // Spurious: ask to be told again.
                h.forget(Readiness::WRITABLE);
                match h.reregister(stream, Handle::READS | Interest::WRITABLE) {
                    Ok(()) => Progress::Waits,
                    Err(e) => Progress::Failed(e),
                }
            }
            Err((e, _)) => Progress::Failed(e),
        },
        Ok(Some(e)) | Err(e) => Progress::Failed(e),
    }
}

/// Whether there is a peer; if not, why, and whether the connection is over.
fn peer(stream: &TcpStream, h: &Handle<'_>) -> Result<(), (io::Error, bool)> {
    let is_over = h.readiness().has(Readiness::ERROR | Readiness::WRITE_CLOSED);
    let peer = stream.peer_addr().map_err(|e| (sys::peer_error(e, is_over), is_over));
    peer.map(drop)
}
