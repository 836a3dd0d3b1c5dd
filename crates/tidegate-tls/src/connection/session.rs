//! [`Session`]: a connection of rustls. Records go in, bytes for the user and records for the peer
//! come out, and nothing stays inside but an incomplete record.
#![forbid(unsafe_code)]

use std::io::{BufRead, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, CommonState, Connection, Error, HandshakeKind, ServerConfig,
    ServerConnection,
};

pub(crate) struct Session {
    conn: Box<Connection>,
    /// The peer's `close_notify` came.
    pub(crate) peer_closed: bool,
}

// Inputs.
impl Session {
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Session, Error> {
        Ok(Session::of(ServerConnection::new(config)?))
    }

    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Session, Error> {
        Ok(Session::of(ClientConnection::new(config, name)?))
    }

    pub(crate) fn of(conn: impl Into<Connection>) -> Session {
        let mut conn = Box::new(conn.into());
        // What is queued is counted by the connection, which asks for pauses.
        conn.set_buffer_limit(None);
        Session { conn, peer_closed: false }
    }

    /// Records of the peer. With an error `down` has the alert that says so.
    pub(crate) fn inbound(
        &mut self,
        mut wire: &[u8],
        up: &mut Vec<u8>,
        down: &mut Vec<u8>,
    ) -> Result<(), Error> {
        loop {
            if !wire.is_empty() {
                let all_taken = |e: std::io::Error| Error::General(e.to_string());
                if self.conn.read_tls(&mut wire).map_err(all_taken)? == 0 {
                    // What comes after `close_notify`.
                    wire = &[];
                }
            }
            let processed = self.conn.process_new_packets();
            // At once: rustls takes no more records while there is more than one to be read.
            self.take_plain(up);
            match processed {
                Ok(state) => self.peer_closed |= state.peer_has_closed(),
                Err(e) => {
                    self.take_records(down);
                    return Err(e);
                }
            }
            if wire.is_empty() || self.peer_closed {
                self.take_records(down);
                return Ok(());
            }
        }
    }

    /// Bytes of the user, after the handshake.
    pub(crate) fn outbound(&mut self, plain: &[u8], down: &mut Vec<u8>) -> Result<(), Error> {
        let written = self.conn.writer().write_all(plain);
        self.take_records(down);
        written.map_err(|e| Error::General(e.to_string()))
    }

    /// Our end.
    pub(crate) fn close(&mut self, down: &mut Vec<u8>) {
        self.conn.send_close_notify();
        self.take_records(down);
    }

    /// Takes new keys for what we write.
    pub(crate) fn refresh(&mut self) -> Result<(), Error> {
        self.conn.refresh_traffic_keys()
    }

    /// What rustls has for the peer.
    pub(crate) fn take_records(&mut self, down: &mut Vec<u8>) {
        while self.conn.wants_write() {
            // A `Vec` takes everything.
            if self.conn.write_tls(down).is_err() {
                return;
            }
        }
    }

    fn take_plain(&mut self, up: &mut Vec<u8>) {
        let mut reader = self.conn.reader();
        while let Ok(chunk) = reader.fill_buf() {
            let len = chunk.len();
            if len == 0 {
                return;
            }
            up.extend_from_slice(chunk);
            reader.consume(len);
        }
    }
}

// Queries.
impl Session {
    pub(crate) fn state(&self) -> &CommonState {
        &self.conn
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What the client asked for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match &*self.conn {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    pub(crate) fn export(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.conn.export_keying_material(output, label, context).map(|_| ())
    }
}
