//! Taking over a connection that is there already.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::TcpStream as StdStream;

use mio::net::TcpStream;
use socket2::{SockRef, Type};
use tidegate_loop::Cx;
use tidegate_loop::event::Readiness;

use crate::callbacks::upper::Upper;
use crate::event::SocketEvent;
use crate::key::SocketKey;
use crate::options::adopt::AdoptOptions;
use crate::options::stream::{StreamOptions, refuse};
use crate::socket::expire;
use crate::socket::pass::SOCKET;
use crate::state::layer::NET;
use crate::state::remote::new_bits;
use crate::state::socket::Life;
use crate::sys;

pub(crate) fn adopt(cx: &mut Cx<'_>, options: AdoptOptions, upper: Upper) -> io::Result<SocketKey> {
    let (layer, mut d) = cx.layer(&NET);
    let AdoptOptions { adopted, stream: mut options } = options;
    let ready = prepare(&adopted, &options).and_then(|remote| {
        let handle = d.insert(&SOCKET, layer.sockets.next() as u64)?;
        Ok((remote, handle))
    });
    let (remote, mut h) = match ready {
        Ok(ready) => ready,
        Err(e) => {
            if let Upper::User(handler) = upper {
                d.bury(handler);
            }
            return Err(e);
        }
    };
    let key = h.key();
    options.complete(&layer.shared.limits);
    let s = layer.sockets.make(SocketKey(key), Life::Open, &options, &h);
    s.upper = upper;
    s.steer_reads();
    s.set_remote(remote);
    s.stream = Some(TcpStream::from_std(adopted));
    if h.is_observed() {
        s.note_local();
        s.tell(&mut h, || SocketEvent::Adopted);
    }
    h.assume(new_bits(remote) | Readiness::READABLE);
    h.queue();
    expire::arm(cx, SocketKey(key));
    Ok(SocketKey(key))
}

/// Whether it is a connected stream, of TCP or of a Unix domain socket, and the options fit: its
/// peer's address, if it can have one.
fn prepare(
    stream: &StdStream,
    options: &StreamOptions,
) -> io::Result<Option<std::net::SocketAddr>> {
    let socket = SockRef::from(stream);
    let peer = match socket.peer_addr() {
        // There may still be bytes to read.
        Err(e) if sys::lost_its_peer(&e) => None,
        peer => Some(peer?),
    };
    if socket.r#type()? != Type::STREAM {
        let text = "only a stream socket can be adopted";
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    socket.set_nonblocking(true)?;
    let Some(peer) = peer else { return Ok(None) };
    let remote = peer.as_socket();
    if remote.is_none() {
        refuse(options.only_tcp(), "a Unix domain socket")?;
    }
    sys::without_signal(&socket)?;
    options.apply(socket)?;
    Ok(remote)
}
