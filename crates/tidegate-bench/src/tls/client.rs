//! The client of the contests of TLS: rustls on a blocking socket, the same for every server.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tidegate::tls::rustls::pki_types::ServerName;
use tidegate::tls::rustls::{ClientConfig, ClientConnection, HandshakeKind};

/// No server needs so long for anything here.
const STUCK: Duration = Duration::from_secs(10);

/// One connection.
pub struct Client {
    tls: ClientConnection,
    tcp: TcpStream,
}

impl Client {
    /// Connects. The handshake comes with the first bytes.
    pub fn connect(at: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Client> {
        let tcp = TcpStream::connect(at)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(STUCK))?;
        let name = ServerName::try_from(super::NAME).map_err(io::Error::other)?;
        let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Client { tls, tcp })
    }

    /// Sends a message, and reads until so many bytes came.
    pub fn ask(&mut self, message: &[u8], answer: &mut [u8]) -> io::Result<()> {
        self.tls.writer().write_all(message)?;
        let mut n = 0;
        while n < answer.len() {
            match self.tls.reader().read(&mut answer[n..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(more) => n += more,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.tls.complete_io(&mut self.tcp)?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Whether an earlier session was resumed.
    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Ends in good order; then no port stays in TIME_WAIT.
    pub fn end(mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        let ended = loop {
            match self.tls.reader().read(&mut [0; 64]) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.tls.complete_io(&mut self.tcp)?;
                }
                Err(e) => break Err(e),
            }
        };
        SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO))?;
        ended
    }
}
