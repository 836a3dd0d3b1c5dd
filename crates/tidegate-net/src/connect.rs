//! Making a connection: numeric addresses, one attempt.
//!
//! Every failure, also of the address, arrives at `on_close`: one path to
//! handle. Lookup and racing are not here yet.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mio::Interest;
use mio::net::TcpStream;
use tidegate_loop::{Bits, Cx, Driver};

use crate::error::{Close, NetError, Reason, Stage};
use crate::event::NetEvent;
use crate::handler::Handler;
use crate::key::SocketKey;
use crate::layer::Layer;
use crate::options::{ConnectOptions, Target};
use crate::socket::{Life, SOCKET, Socket};
use crate::socket_cx::SocketCx;

pub(crate) fn start(
    cx: &mut Cx<'_>,
    options: ConnectOptions,
    handler: Box<dyn Handler>,
) -> SocketKey {
    let (layer, mut d) = cx.parts::<Layer>();
    let entry = layer.sockets.vacant_entry();
    let key = match d.insert(&SOCKET, entry.key() as u64) {
        Ok(key) => SocketKey(key),
        Err(full) => {
            let key = SocketKey(d.stale_key());
            refuse(cx, key, handler, full.into());
            return key;
        }
    };
    let mut s = Socket::new(key, Life::Connecting, &options.stream, &d);
    s.handler = Some(handler);
    let s = entry.insert(s);
    match address(&options) {
        Ok(remote) => attempt(s, &mut d, remote),
        Err(e) => s.fail(&mut d, Stage::Lookup, e),
    }
    s.tell_busy(&mut d);
    key
}

/// There is no slot to close, so the one event comes from a tick.
fn refuse(cx: &mut Cx<'_>, key: SocketKey, mut handler: Box<dyn Handler>, e: io::Error) {
    let reason = Reason::Failed(Arc::new(NetError::new(Stage::Connect, e)));
    cx.next_tick(move |cx| {
        use tidegate_loop::AsCx;
        let close =
            Close { reason, peer: None, unsent: 0, bytes_read: 0, bytes_written: 0, piped: false };
        handler.on_close(&mut SocketCx::new(cx.as_cx(), key), close);
    });
}

fn address(options: &ConnectOptions) -> io::Result<SocketAddr> {
    match options.to.target()? {
        Target::Addr(addr) => Ok(addr),
        Target::AnyHost(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Target::Name(name, port) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "{name:?} is a name; look it up first and give an address, as 127.0.0.1:{port}"
            ),
        )),
    }
}

fn attempt(s: &mut Socket, d: &mut Driver<'_>, remote: SocketAddr) {
    s.remote = Some(remote);
    d.emit(|| NetEvent::ConnectStart { socket: s.key, remote });
    match TcpStream::connect(remote) {
        Ok(stream) => {
            s.stream = Some(stream);
            s.watch(d);
        }
        Err(e) => s.fail(d, Stage::Connect, e),
    }
}

/// The poller spoke of a connecting socket. `true`: it is connected now, and
/// `on_connect` is due. Connected means: writable, no error, and a peer.
pub(crate) fn complete(s: &mut Socket, d: &mut Driver<'_>) -> bool {
    if !d.bits(s.key.into()).has(Bits::WRITABLE) {
        return false;
    }
    let Some(stream) = &mut s.stream else { return false };
    let refused = match stream.take_error() {
        Ok(None) => match stream.peer_addr() {
            Ok(_) => None,
            Err(e)
                if e.kind() == io::ErrorKind::NotConnected
                    && !d.bits(s.key.into()).has(Bits::ERROR | Bits::WRITE_CLOSED) =>
            {
                // Spurious: ask to be told again.
                d.forget(s.key.into(), Bits::WRITABLE);
                let both = Driver::READS | Interest::WRITABLE;
                match d.reregister(s.key.into(), stream, both) {
                    Ok(()) => return false,
                    Err(e) => Some(e),
                }
            }
            Err(e) => Some(e),
        },
        Ok(Some(e)) | Err(e) => Some(e),
    };
    if let Some(e) = refused {
        s.fail(d, Stage::Connect, e);
        return false;
    }
    s.life = Life::Open;
    if let Some(remote) = s.remote {
        let socket = s.key;
        d.emit(|| NetEvent::Connected { socket, local: stream.local_addr().ok(), remote });
    }
    true
}
