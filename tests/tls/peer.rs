//! The other side: rustls on a blocking socket, record by record.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate::prelude::*;
use tidegate::tls::rustls::client::Resumption;
use tidegate::tls::rustls::pki_types::ServerName;
use tidegate::tls::rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
    SupportedProtocolVersion, crypto, version,
};
use tidegate::tls::{Identity, TlsVersion};

use crate::authority::Authority;
use crate::support::{client, turn_until};

/// One side of TLS on a blocking socket.
pub(crate) struct Peer {
    pub(crate) conn: Connection,
    pub(crate) tcp: TcpStream,
}

impl Peer {
    /// The client's side, with its handshake still to come.
    pub(crate) fn client(at: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Peer {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let conn = ClientConnection::new(config, name).unwrap();
        Peer { conn: conn.into(), tcp: client(at) }
    }

    /// The server's side of an accepted connection.
    pub(crate) fn server(tcp: TcpStream, config: Arc<ServerConfig>) -> Peer {
        tcp.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        Peer { conn: ServerConnection::new(config).unwrap().into(), tcp }
    }

    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        while self.conn.is_handshaking() {
            self.conn.complete_io(&mut self.tcp)?;
        }
        self.flush()
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.conn.wants_write() {
            self.conn.write_tls(&mut self.tcp)?;
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.conn.writer().write_all(bytes)?;
        self.flush()
    }

    /// What it would send for these bytes.
    pub(crate) fn records(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.conn.writer().write_all(bytes).unwrap();
        let mut records = Vec::new();
        while self.conn.wants_write() {
            self.conn.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Up to so many bytes: fewer only at the end.
    pub(crate) fn receive(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut got = vec![0; most];
        let mut n = 0;
        while n < most {
            match self.conn.reader().read(&mut got[n..]) {
                Ok(0) => break,
                Ok(more) => n += more,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.conn.complete_io(&mut self.tcp)?;
                }
                Err(e) => return Err(e),
            }
        }
        got.truncate(n);
        Ok(got)
    }

    /// `close_notify` and FIN.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.tcp.shutdown(Shutdown::Write)
    }
}

pub(crate) fn versions(of: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match of {
        TlsVersion::V1_2 => vec![&version::TLS12],
        _ => vec![&version::TLS13],
    }
}

/// What a client trusts and offers.
pub(crate) fn client_config(ca: &Authority, of: TlsVersion, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(crypto::ring::default_provider().into())
        .with_protocol_versions(&versions(of))
        .unwrap()
        .with_root_certificates(ca.store())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(16);
    Arc::new(config)
}

/// A server of another library, as far as we know.
pub(crate) fn server_config(identity: &Identity, of: TlsVersion) -> Arc<ServerConfig> {
    server_config_for(tidegate::tls::TlsServer::builder().identity(identity.clone()), of)
}

pub(crate) fn server_config_for(
    builder: tidegate::tls::TlsServerBuilder,
    of: TlsVersion,
) -> Arc<ServerConfig> {
    builder.versions(&[of]).build_config().unwrap()
}

pub(crate) const BOTH: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

/// Runs `f` on a thread of its own, and the loop meanwhile.
pub(crate) fn beside<T: Send + 'static>(
    lp: &mut Loop,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    /// Wakes the loop also if `f` panics.
    struct Over(Arc<AtomicBool>, tidegate::Remote);
    impl Drop for Over {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
            self.1.wake();
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let over = Over(done.clone(), lp.remote());
    let thread = std::thread::spawn(move || {
        let _over = over;
        f()
    });
    turn_until(lp, |_| done.load(Ordering::SeqCst));
    thread.join().unwrap()
}
