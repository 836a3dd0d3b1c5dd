//! The server that one writes by hand with mio and rustls: it echoes. No runtime is in it.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mio::event::Event;
use mio::{Events, Interest, Poll, Registry, Token};
use tidegate::tls::rustls::{ServerConfig, ServerConnection};

use crate::peer::contract::obey;

const LISTENER: Token = Token(0);
const CONTROL: Token = Token(1);

struct Connection {
    tcp: mio::net::TcpStream,
    tls: ServerConnection,
    /// The poller says when there is room.
    watches_room: bool,
}

impl Connection {
    /// Reads until there is nothing more, echoes, writes. Whether it stays open.
    fn ready(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let mut open = true;
        while open {
            match self.tls.read_tls(&mut self.tcp) {
                Ok(0) => open = false,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            while let Ok(n @ 1..) = self.tls.reader().read(buffer) {
                self.tls.writer().write_all(&buffer[..n])?;
            }
            if state.peer_has_closed() && open {
                self.tls.send_close_notify();
                open = false;
            }
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(open)
    }
}

struct Server {
    config: Arc<ServerConfig>,
    connections: HashMap<Token, Connection>,
    next: usize,
}

impl Server {
    fn accept(&mut self, listener: &mio::net::TcpListener, registry: &Registry) -> io::Result<()> {
        while let Ok((mut tcp, _)) = listener.accept() {
            let token = Token(self.next);
            self.next += 1;
            registry.register(&mut tcp, token, Interest::READABLE)?;
            tcp.set_nodelay(true)?;
            let mut tls = ServerConnection::new(self.config.clone()).map_err(io::Error::other)?;
            tls.set_buffer_limit(None);
            self.connections.insert(token, Connection { tcp, tls, watches_room: false });
        }
        Ok(())
    }

    fn serve(&mut self, event: &Event, registry: &Registry, buffer: &mut [u8]) -> io::Result<()> {
        let Some(c) = self.connections.get_mut(&event.token()) else { return Ok(()) };
        let open = c.ready(buffer).unwrap_or(false);
        if c.tls.wants_write() && !c.watches_room {
            c.watches_room = true;
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.reregister(&mut c.tcp, event.token(), both)?;
        }
        if !open {
            self.connections.remove(&event.token());
        }
        Ok(())
    }
}

/// Serves until the other end of `control` is dropped.
pub fn serve(listener: TcpListener, control: UnixStream, config: Arc<ServerConfig>) {
    let mut poll = Poll::new().expect("a poller");
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut control = mio::net::UnixStream::from_std(control);
    let registry = poll.registry();
    registry.register(&mut listener, LISTENER, Interest::READABLE).expect("it can be watched");
    registry.register(&mut control, CONTROL, Interest::READABLE).expect("it can be watched");
    let mut server = Server { config, connections: HashMap::new(), next: 2 };
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 16 * 1024]);
    loop {
        match poll.poll(&mut events, None) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => panic!("the poller works: {e}"),
        }
        for event in &events {
            let done = match event.token() {
                LISTENER => server.accept(&listener, poll.registry()),
                CONTROL if obey(&control) => return,
                CONTROL => Ok(()),
                _ => server.serve(event, poll.registry(), &mut buffer),
            };
            done.expect("the poller takes connections");
        }
    }
}
