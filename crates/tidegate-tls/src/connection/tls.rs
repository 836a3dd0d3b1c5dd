//! [`Tls`]: the filter of one connection.
//!
//! | state | event | next |
//! |---|---|---|
//! | Asking | the client said what it wants, and it is decided | On |
//! | On, handshaking | bytes came, and threads do handshakes | Away |
//! | Away | the job is done | On |
//! | On | the handshake is over | ready: the user's bytes flow |
//! | any | an error | the alert goes out, the connection fails |
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use tidegate_loop::Remote;
use tidegate_net::{Filter, FilterError, Held, Passed, Stage};

use crate::config::versions::TlsVersion;
use crate::connection::asking::{Asked, Asking};
use crate::connection::choice::Choice;
use crate::connection::offload::{self, Away, Done, Fetched};
use crate::connection::session::Session;
use crate::connection::shared::{ClientShared, ServerShared, UnderWay};
use crate::error::tls_error::TlsError;
use crate::event::{TlsEvent, TlsEventKind};
use crate::stats::{Failure, Stats};

/// The most that waits while a handshake is decided about, or is with another thread.
const KEPT: usize = 128 * 1024;

/// TLS on a connection: what a callback finds by
/// [`SocketCx::filter`](tidegate_net::SocketCx::filter) and
/// [`Incoming::filter`](tidegate_net::Incoming::filter). A [`TlsServer`](crate::TlsServer) or a
/// [`TlsClient`](crate::TlsClient) makes it.
///
/// ```
/// use tidegate_net::SocketCx;
/// use tidegate_tls::Tls;
/// fn show(s: &mut SocketCx<'_>) {
///     let Some(tls) = s.filter::<Tls>() else { return };
///     println!("{:?} {:?} {:?}", tls.version(), tls.cipher_suite(), tls.alpn());
/// }
/// # let _ = show;
/// ```
pub struct Tls {
    state: State,
    side: Side,
    /// Bytes of the peer that wait for the state to change.
    kept: Vec<u8>,
    choice: Option<Choice>,
    began: Option<Instant>,
    is_ready: bool,
    /// `close_notify` was told.
    has_ended: bool,
    /// The peer's FIN came while the session was away.
    fin: bool,
    under_way: Option<UnderWay>,
}

enum State {
    /// Nothing has begun, or it is over.
    Idle,
    Asking(Asking),
    On(Session),
    Away(Away),
}

enum Side {
    Server { shared: Arc<ServerShared>, offload: Option<Remote> },
    Client { shared: Arc<ClientShared>, name: Option<ServerName<'static>> },
}

type Result<T = ()> = std::result::Result<T, FilterError>;

// What users call.
impl Tls {
    /// Whether the handshake is over.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The version, after the handshake.
    pub fn version(&self) -> Option<TlsVersion> {
        self.session()?.state().protocol_version().and_then(TlsVersion::of)
    }

    /// The cipher suite, as `TLS13_AES_256_GCM_SHA384`.
    pub fn cipher_suite(&self) -> Option<&'static str> {
        self.session()?.state().negotiated_cipher_suite()?.suite().as_str()
    }

    /// How the keys were agreed on, as `X25519`.
    pub fn key_exchange(&self) -> Option<String> {
        let group = self.session()?.state().negotiated_key_exchange_group()?;
        Some(format!("{:?}", group.name()))
    }

    /// The protocol above TLS, if both sides named one (ALPN).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session()?.state().alpn_protocol()
    }

    /// Of a server: the name that the client asked for (SNI).
    pub fn server_name(&self) -> Option<&str> {
        self.session()?.server_name()
    }

    /// Whether an earlier session was resumed.
    pub fn is_resumed(&self) -> bool {
        self.session().is_some_and(Session::is_resumed)
    }

    /// The certificates that the peer showed, its own one first. After the handshake they are
    /// verified. Empty if it showed none. [`Certificate::read`](crate::Certificate::read) shows
    /// what is in them.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.session().and_then(|s| s.state().peer_certificates()).unwrap_or_default()
    }

    /// Bytes that both sides of this connection can compute, and nobody else (RFC 5705). `false`
    /// before the handshake is over, or if `output` is empty.
    pub fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> bool {
        let session = self.session().filter(|_| self.is_ready && !output.is_empty());
        session.is_some_and(|s| s.export(output, label, context).is_ok())
    }

    /// Takes new keys for what we write (TLS 1.3). Call
    /// [`poke_filter`](tidegate_net::SocketCx::poke_filter) afterwards. `false` if it cannot be done now.
    pub fn refresh_keys(&mut self) -> bool {
        match &mut self.state {
            State::On(session) if self.is_ready => session.refresh().is_ok(),
            _ => false,
        }
    }

    /// The decision after [`Choice::Later`]. Call
    /// [`poke_filter`](tidegate_net::SocketCx::poke_filter) afterwards.
    pub fn choose(&mut self, choice: Choice) {
        if matches!(&self.state, State::Asking(asking) if asking.is_deciding()) {
            self.choice = Some(choice);
        }
    }
}

// How it is made, and what it is made of.
impl Tls {
    pub(crate) fn server(shared: Arc<ServerShared>, offload: Option<Remote>) -> Tls {
        Tls::new(Side::Server { shared, offload })
    }

    pub(crate) fn client(shared: Arc<ClientShared>, name: Option<ServerName<'static>>) -> Tls {
        Tls::new(Side::Client { shared, name })
    }

    fn new(side: Side) -> Tls {
        Tls {
            state: State::Idle,
            side,
            kept: Vec::new(),
            choice: None,
            began: None,
            is_ready: false,
            has_ended: false,
            fin: false,
            under_way: None,
        }
    }

    fn session(&self) -> Option<&Session> {
        match &self.state {
            State::On(session) => Some(session),
            _ => None,
        }
    }

    fn stats(&self) -> &Stats {
        match &self.side {
            Side::Server { shared, .. } => &shared.stats,
            Side::Client { shared, .. } => &shared.stats,
        }
    }

    fn allows_truncation(&self) -> bool {
        match &self.side {
            Side::Server { shared, .. } => shared.allow_truncation,
            Side::Client { shared, .. } => shared.allow_truncation,
        }
    }
}

// Steps.
impl Tls {
    fn begin(&mut self, out: &mut Passed) -> Result {
        self.began = Some(Instant::now());
        out.no_delay();
        let made = match &self.side {
            Side::Client { name: None, .. } => {
                let text = "the server has no name: `TlsClient::name` gives it one";
                return Err(self.failed(TlsError::text("ERR_TLS_NO_SERVER_NAME", text), out));
            }
            Side::Client { shared, name: Some(name) } => {
                Session::client(shared.config.clone(), name.clone()).map(State::On)
            }
            Side::Server { shared, .. } => {
                self.under_way = UnderWay::begin(shared);
                if self.under_way.is_none() {
                    let text = "there are too many handshakes: `max_handshakes`";
                    return Err(self.failed(TlsError::text("ERR_TLS_TOO_MANY", text), out));
                }
                let current = shared.current();
                let asks = current.names.is_some_and(|names| names.default.is_none());
                match shared.choose.is_some() || asks {
                    true => Ok(State::Asking(Asking::new())),
                    false => Session::server(current.config).map(State::On),
                }
            }
        };
        self.state = made.map_err(|e| self.failed(TlsError::new(e, &[]), out))?;
        if let State::On(session) = &mut self.state {
            session.take_records(&mut out.down);
        }
        Ok(())
    }

    /// Bytes of the peer.
    fn take(&mut self, wire: &[u8], out: &mut Passed) -> Result {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => Ok(()),
            State::Away(away) => {
                self.state = State::Away(away);
                self.keep(wire, out)
            }
            State::Asking(asking) if asking.is_deciding() => {
                self.state = State::Asking(asking);
                self.keep(wire, out)
            }
            State::Asking(asking) => {
                let asked = match &self.side {
                    Side::Server { shared, .. } => {
                        asking.inbound(wire, shared, out.key(), &mut out.down)
                    }
                    Side::Client { .. } => Ok(Asked::Still(asking)),
                };
                self.asked(asked, wire, out)
            }
            State::On(session) => self.step(session, wire, out),
        }
    }

    /// A step of asking; `wire` is what came.
    fn asked(
        &mut self,
        asked: std::result::Result<Asked, TlsError>,
        wire: &[u8],
        out: &mut Passed,
    ) -> Result {
        match asked {
            Err(error) => Err(self.failed(error, out)),
            Ok(Asked::Begun(session, taken)) => self.step(session, &wire[taken..], out),
            Ok(Asked::Still(asking)) => {
                self.state = State::Asking(asking);
                Ok(())
            }
        }
    }

    fn step(&mut self, mut session: Session, wire: &[u8], out: &mut Passed) -> Result {
        if session.state().is_handshaking() {
            if let (Side::Server { offload: Some(remote), .. }, Some(key)) = (&self.side, out.key())
            {
                match offload::send(remote, key, session, wire.to_vec()) {
                    Ok(away) => {
                        self.state = State::Away(away);
                        return Ok(());
                    }
                    Err((back, _)) => session = back,
                }
            }
        }
        let result = session.inbound(wire, &mut out.up, &mut out.down);
        self.came(session, result, out)
    }

    /// A session after a step, which made `out`.
    fn came(
        &mut self,
        session: Session,
        result: std::result::Result<(), rustls::Error>,
        out: &mut Passed,
    ) -> Result {
        let handshaking = session.state().is_handshaking();
        let closed = session.peer_closed;
        self.state = State::On(session);
        if let Err(error) = result {
            let error = TlsError::new(error, &out.down);
            return Err(self.failed(error, out));
        }
        if !handshaking && !self.is_ready {
            self.is_ready = true;
            self.under_way = None;
            self.tell_ready(out);
            out.ready();
        }
        if closed && !self.has_ended {
            self.has_ended = true;
            out.end();
        }
        Ok(())
    }

    fn keep(&mut self, wire: &[u8], out: &mut Passed) -> Result {
        self.kept.extend_from_slice(wire);
        if self.kept.len() > KEPT {
            let text = "the peer sent too much during the handshake";
            return Err(self.failed(TlsError::text("ERR_TLS_HANDSHAKE_TOO_LONG", text), out));
        }
        Ok(())
    }

    /// A job is done.
    fn came_back(&mut self, done: Done, out: &mut Passed) -> Result {
        out.up.extend(done.up);
        out.down.extend(done.down);
        self.came(done.session, done.result, out)
    }

    /// The peer ended without `close_notify`.
    fn cut(&mut self, out: &mut Passed) -> Result {
        if self.has_ended {
            return Ok(());
        }
        if self.is_ready && self.allows_truncation() {
            self.has_ended = true;
            out.end();
            return Ok(());
        }
        let (code, text) = match self.is_ready {
            true => (
                "ERR_TLS_TRUNCATED",
                "the peer ended without close_notify, and bytes may be missing; \
                 `allow_truncation` takes this for an end",
            ),
            false => ("ERR_TLS_HANDSHAKE_EOF", "the peer ended before the handshake was over"),
        };
        Err(self.ended(TlsError::text(code, text), Failure::Truncated, out))
    }

    fn failed(&mut self, error: TlsError, out: &mut Passed) -> FilterError {
        self.ended(error, Failure::Broken, out)
    }

    /// The error of this connection, counted and told.
    fn ended(&mut self, error: TlsError, failure: Failure, out: &mut Passed) -> FilterError {
        let (failure, stage, kind) = match (self.is_ready, failure) {
            (false, Failure::Truncated) => {
                (Failure::Handshake, Stage::Handshake, ErrorKind::UnexpectedEof)
            }
            (false, _) => (Failure::Handshake, Stage::Handshake, ErrorKind::InvalidData),
            (true, Failure::Truncated) => {
                (Failure::Truncated, Stage::Truncated, ErrorKind::UnexpectedEof)
            }
            (true, _) => (Failure::Broken, Stage::Tls, ErrorKind::InvalidData),
        };
        self.under_way = None;
        self.stats().count_failure(failure, error.code());
        let (code, sent, received) = (error.code(), error.alert_sent(), error.alert_received());
        out.emit(|connection| TlsEvent {
            connection,
            what: TlsEventKind::Failed { stage, code, sent, received },
        });
        error.fault(stage, kind)
    }

    fn tell_ready(&mut self, out: &mut Passed) {
        let (version, resumed) = (self.version(), self.is_resumed());
        self.stats().count(version, resumed);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        out.emit(|connection| TlsEvent {
            connection,
            what: TlsEventKind::Handshake {
                version,
                resumed,
                suite: self.cipher_suite(),
                alpn: self.alpn().map(text),
                server_name: self.server_name().map(str::to_owned),
                took: self.began.map_or(Duration::ZERO, |began| began.elapsed()),
            },
        });
    }
}

impl Filter for Tls {
    fn start(&mut self, out: &mut Passed) -> Result {
        self.begin(out)
    }

    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result {
        self.take(wire, out)
    }

    fn inbound_end(&mut self, out: &mut Passed) -> Result {
        if matches!(self.state, State::Away(_)) {
            self.fin = true;
            return Ok(());
        }
        self.cut(out)
    }

    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize> {
        if let State::On(session) = &mut self.state {
            let written = session.outbound(user, &mut out.down);
            if let Err(error) = written {
                let error = TlsError::new(error, &out.down);
                return Err(self.failed(error, out));
            }
        }
        Ok(user.len())
    }

    fn close(&mut self, out: &mut Passed) -> Result {
        if let State::On(session) = &mut self.state {
            session.close(&mut out.down);
        }
        Ok(())
    }

    fn poke(&mut self, out: &mut Passed) -> Result {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Away(away) => match away.fetch() {
                Fetched::NotYet => {
                    self.state = State::Away(away);
                    return Ok(());
                }
                Fetched::Done(done) => self.came_back(*done, out)?,
                Fetched::Lost => {
                    let text = "a thread could not do the handshake";
                    return Err(self.failed(TlsError::text("ERR_TLS_JOB", text), out));
                }
            },
            State::Asking(asking) => {
                let asked = match (self.choice.take(), &self.side) {
                    (Some(choice), Side::Server { shared, .. }) => {
                        asking.decide(choice, shared, &mut out.down)
                    }
                    _ => Ok(Asked::Still(asking)),
                };
                self.asked(asked, &[], out)?;
            }
            State::On(mut session) => {
                session.take_records(&mut out.down);
                self.state = State::On(session);
            }
            State::Idle => {}
        }
        if !self.kept.is_empty() && matches!(self.state, State::On(_)) {
            let kept = std::mem::take(&mut self.kept);
            self.take(&kept, out)?;
        }
        if self.fin && matches!(self.state, State::On(_)) {
            self.fin = false;
            self.cut(out)?;
        }
        Ok(())
    }

    fn held(&self) -> Held {
        Held { user: 0, wire: self.kept.len() }
    }

    fn describe(&self) -> String {
        let since = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        format!("tls handshake {:.1} s", since.as_secs_f64())
    }
}
