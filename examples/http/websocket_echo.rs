//! WebSocket: a request becomes another protocol, and what comes is sent back.
//!
//! ```text
//! cargo run --release --example websocket_echo
//! python -m websockets ws://127.0.0.1:3000/
//! ```
//! tidegate has the upgrade and the bytes; `tungstenite` makes messages of them, in memory. A client
//! that sends and does not read is not read any more: the echo stops at `Full`. A message may have
//! 1 MiB. A client that is silent for a minute is pinged, and closed after another one.

mod arguments;

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use tidegate::http::{Exchange, Head, Http, HttpError, Response};
use tidegate::prelude::*;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error, Message};

use crate::arguments::{address, refuse};

const USAGE: &str = "usage: websocket_echo [HOST:PORT]    # 127.0.0.1:3000; Ctrl-C stops it";
const LARGEST: usize = 1 << 20;
const SILENCE: Duration = Duration::from_secs(60);

/// What `tungstenite` reads from and writes to: bytes that came, and bytes that are to go out.
struct Wire<'c> {
    came: &'c [u8],
    out: Vec<u8>,
}

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.came.is_empty() {
            true => Err(ErrorKind::WouldBlock.into()),
            false => self.came.read(into),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One connection after its upgrade.
struct Echo {
    frames: WebSocketContext,
    /// A ping is on its way.
    pinged: bool,
}

impl Echo {
    fn new() -> Echo {
        let limits = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .max_message_size(Some(LARGEST))
            .max_frame_size(Some(LARGEST));
        Echo { frames: WebSocketContext::new(Role::Server, Some(limits)), pinged: false }
    }

    /// Answers every message of these bytes. An error is the end: both sides have closed, or what
    /// came is no WebSocket.
    fn answer(&mut self, wire: &mut Wire<'_>) -> Result<(), Error> {
        loop {
            match self.frames.read(wire) {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    self.frames.write(wire, message)?;
                }
                // Pings and closes are answered by `tungstenite`.
                Ok(_) => {}
                Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => {
                    return self.frames.flush(wire);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Says that this side closes, and why.
    fn close(&mut self, s: &mut SocketCx<'_>, code: CloseCode) {
        let mut wire = Wire { came: &[], out: Vec::new() };
        let why = CloseFrame { code, reason: "".into() };
        let _ = self.frames.close(&mut wire, Some(why));
        let _ = self.frames.flush(&mut wire);
        let _ = s.write(wire.out);
    }
}

impl Handler for Echo {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.pinged = false;
        let mut wire = Wire { came: chunk, out: Vec::new() };
        let answered = self.answer(&mut wire);
        if s.write(wire.out) == Flow::Full {
            s.pause();
        }
        let code = match answered {
            Ok(()) => return,
            Err(Error::ConnectionClosed) => return s.end(),
            Err(Error::Capacity(_)) => CloseCode::Size,
            Err(Error::Utf8(_)) => CloseCode::Invalid,
            Err(_) => CloseCode::Protocol,
        };
        self.close(s, code);
        s.end();
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        s.resume();
    }

    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        if self.pinged {
            return s.destroy();
        }
        self.pinged = true;
        let mut wire = Wire { came: &[], out: Vec::new() };
        let _ = self.frames.write(&mut wire, Message::Ping(Bytes::new()));
        let _ = self.frames.flush(&mut wire);
        let _ = s.write(wire.out);
    }

    /// The server stops: the client answers that, and then the connection ends.
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        self.close(s, CloseCode::Away);
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        println!("{}: {close}", s.peer_addr().map_or("?".to_owned(), |at| at.to_string()));
    }
}

fn answer(head: &Head<'_>, mut x: Exchange<'_>) -> Result<(), HttpError> {
    let is = |name, value: &[u8]| head.get(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
    let key = head.get("sec-websocket-key").filter(|key| key.len() == 24);
    match key {
        Some(key) if head.method == "GET" && head.upgrade && is("upgrade", b"websocket") => {
            if !is("sec-websocket-version", b"13") {
                let wanted = [("sec-websocket-version", "13")];
                return x.respond(Response::new(426).headers(&wanted), "");
            }
            let accept = derive_accept_key(key);
            let fields = [("upgrade", "websocket"), ("sec-websocket-accept", &accept)];
            x.socket().set_idle_timeout(SILENCE);
            x.upgrade(Response::new(101).headers(&fields), Echo::new())
        }
        _ => x.respond(426, "this is a WebSocket\n"),
    }
}

fn main() -> io::Result<()> {
    let at = address(USAGE).unwrap_or_else(|| "127.0.0.1:3000".into());
    env_logger::init();
    let mut lp = Loop::new()?;
    let server = lp.http_listen(at, |head, x| {
        if let Err(e) = answer(head, x) {
            eprintln!("{e}");
        }
    });
    let server = server.unwrap_or_else(|e| refuse(USAGE, e));
    lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()
}
