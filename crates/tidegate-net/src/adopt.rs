//! Taking over a connection that is there already.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::TcpStream as StdStream;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{SockRef, Type};
use tidegate_loop::{Bits, Cx};

use crate::event::SocketEvent;
use crate::handler::Handler;
use crate::key::SocketKey;
use crate::layer::Layer;
use crate::options::{KeepAlive, StreamOptions, refuse, stream_options};
use crate::socket::{Life, SOCKET, Socket, new_bits};
use crate::sys;
use crate::timeout::{self, millis};

/// How to take over a connection that is there already: the stream, which turns into it, and
/// the options of a connection. Those of the server or client that made it do not come along.
///
/// ```
/// use std::time::Duration;
/// use tidegate_loop::Loop;
/// use tidegate_net::{AdoptOptions, Net, On};
/// let there = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let stream = std::net::TcpStream::connect(there.local_addr()?)?;
/// let mut lp = Loop::new()?;
/// let options = AdoptOptions::new(stream)
///     .allow_half_open(true)
///     .high_water_mark(16 * 1024)
///     .idle_timeout(Duration::from_secs(30));
/// let key = lp.adopt(options, On::new())?;
/// assert_eq!(lp.socket(key).peer_addr(), Some(there.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AdoptOptions {
    adopted: StdStream,
    stream: StreamOptions,
}

stream_options!(AdoptOptions);

impl AdoptOptions {
    /// Takes it over with the default options.
    pub fn new(stream: impl Into<AdoptOptions>) -> AdoptOptions {
        stream.into()
    }
}

impl From<StdStream> for AdoptOptions {
    fn from(adopted: StdStream) -> AdoptOptions {
        AdoptOptions { adopted, stream: StreamOptions::default() }
    }
}

sys::from_unix_stream!(AdoptOptions);

pub(crate) fn adopt(
    cx: &mut Cx<'_>,
    options: AdoptOptions,
    handler: Box<dyn Handler>,
) -> io::Result<SocketKey> {
    let (layer, mut d) = cx.parts::<Layer>();
    let entry = layer.sockets.vacant_entry();
    let AdoptOptions { adopted, stream: options } = options;
    let ready = prepare(&adopted, &options).and_then(|remote| {
        let key = d.insert(&SOCKET, entry.key() as u64)?;
        Ok((remote, key))
    });
    let (remote, key) = match ready {
        Ok(ready) => ready,
        Err(e) => {
            d.bury(handler);
            return Err(e);
        }
    };
    let mut s = Socket::new(SocketKey(key), &SOCKET, Life::Open, &options, &d);
    s.handler = Some(handler);
    s.remote = remote;
    s.stream = Some(TcpStream::from_std(adopted));
    if d.is_observed() {
        s.note_local();
        s.tell(&mut d, || SocketEvent::Adopted);
    }
    entry.insert(s);
    d.assume(key, new_bits(remote) | Bits::READABLE);
    d.queue(key);
    timeout::arm(cx, SocketKey(key));
    Ok(SocketKey(key))
}

/// Whether it is a connected stream, of TCP or of a Unix domain socket, and the options fit: its
/// peer's address, if it can have one.
fn prepare(
    stream: &StdStream,
    options: &StreamOptions,
) -> io::Result<Option<std::net::SocketAddr>> {
    let socket = SockRef::from(stream);
    let peer = socket.peer_addr()?;
    if socket.r#type()? != Type::STREAM {
        let text = "only a stream socket can be adopted";
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    let remote = peer.as_socket();
    if remote.is_none() {
        refuse(options.only_tcp(), "a Unix domain socket")?;
    }
    socket.set_nonblocking(true)?;
    options.apply(socket)?;
    Ok(remote)
}
