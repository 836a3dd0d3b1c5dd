//! [`TlsServerBuilder`]: every option of a server, with its default.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{KeyLog, ServerConfig};

use crate::config::identity::Identity;
use crate::config::names::Names;
use crate::config::roots::Roots;
use crate::config::server::TlsServer;
use crate::config::tickets::Tickets;
use crate::config::versions::{Base, TlsVersion};
use crate::connection::choice::{Choice, Hello};
use crate::connection::shared::{Chooser, Current, ServerShared};
use crate::error::config_error::TlsConfigError;
use crate::stats::Stats;

/// Whether a server asks clients for a certificate.
///
/// ```
/// use tidegate_tls::{ClientAuth, Roots, TlsServer};
/// fn only_ours(ours: Roots) -> tidegate_tls::TlsServerBuilder {
///     TlsServer::builder().client_auth(ClientAuth::Required(ours))
/// }
/// # let _ = only_ours;
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum ClientAuth {
    /// No.
    #[default]
    Off,
    /// Yes, and one that shows none is let in. One that shows a certificate that is not signed by
    /// these is refused.
    Optional(Roots),
    /// Yes, and each must show one that is signed by these.
    Required(Roots),
}

/// How a server speaks TLS. It can be kept, changed and built again: see
/// [`TlsServer::reload`].
///
/// ```
/// use tidegate_tls::{Identity, TlsServer};
/// let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
/// let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// let tls = TlsServer::builder()
///     .identity(Identity::from_pem(cert.as_bytes(), key.as_bytes())?)
///     .alpn(["h2", "http/1.1"])
///     .build()?;
/// assert!(tls.not_after().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct TlsServerBuilder {
    base: Base,
    identity: Option<Identity>,
    named: Vec<(String, Identity)>,
    alpn: Vec<Vec<u8>>,
    client_auth: ClientAuth,
    tickets: Option<Tickets>,
    key_log: Option<Arc<dyn KeyLog>>,
    max_fragment_size: Option<usize>,
    choose: Option<Chooser>,
    max_handshakes: usize,
    handshakes_per_turn: u32,
    allow_truncation: bool,
}

impl Default for TlsServerBuilder {
    fn default() -> TlsServerBuilder {
        TlsServerBuilder {
            base: Base::default(),
            identity: None,
            named: Vec::new(),
            alpn: Vec::new(),
            client_auth: ClientAuth::Off,
            tickets: None,
            key_log: None,
            max_fragment_size: None,
            choose: None,
            max_handshakes: 1024,
            handshakes_per_turn: 1,
            allow_truncation: false,
        }
    }
}

impl TlsServer {
    /// With every option.
    pub fn builder() -> TlsServerBuilder {
        TlsServerBuilder::default()
    }

    /// With the certificates and the key of these files, and defaults.
    pub fn pem(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<TlsServer, TlsConfigError> {
        TlsServer::builder().identity(Identity::from_pem_files(certificates, key)?).build()
    }

    /// New certificates and options, for the handshakes that begin from now on, in all loops. Open
    /// connections stay as they are. Of the builder's options those of rustls count (`identity`,
    /// `alpn`, `client_auth`, `tickets`, `versions`, `key_log`, ...); the others are those that the
    /// server was built with.
    ///
    /// ```
    /// use tidegate_tls::{Identity, TlsConfigError, TlsServer, TlsServerBuilder};
    /// fn renew(
    ///     tls: &TlsServer,
    ///     options: &TlsServerBuilder,
    /// ) -> Result<(), TlsConfigError> {
    ///     let new = Identity::from_pem_files("cert.pem", "key.pem")?;
    ///     tls.reload(&mut options.clone().identity(new))
    /// }
    /// # let _ = renew;
    /// ```
    pub fn reload(&self, options: &mut TlsServerBuilder) -> Result<(), TlsConfigError> {
        self.shared.set_current(options.current()?);
        Ok(())
    }
}

impl TlsServerBuilder {
    /// The certificate for every name that has none of its own, and for clients that name none.
    /// Without it such clients are refused, with the alert `unrecognised_name`.
    pub fn identity(mut self, identity: Identity) -> TlsServerBuilder {
        self.identity = Some(identity);
        self
    }

    /// The certificate for clients that ask for this name. `*.example.com` stands for every name
    /// with one label in place of the `*`. Given again for the same name, the last one counts.
    pub fn identity_for(mut self, name: impl Into<String>, identity: Identity) -> TlsServerBuilder {
        let name = name.into().to_ascii_lowercase();
        self.named.retain(|(known, _)| *known != name);
        self.named.push((name, identity));
        self
    }

    /// The protocols that it speaks above TLS, the one it likes best first. A client that offers
    /// only others is refused, with the alert `no_application_protocol`. Default: none, and clients
    /// may offer any.
    pub fn alpn<P: AsRef<[u8]>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> TlsServerBuilder {
        self.alpn = protocols.into_iter().map(|p| p.as_ref().to_vec()).collect();
        self
    }

    /// Whether clients show a certificate; default: no.
    pub fn client_auth(mut self, auth: ClientAuth) -> TlsServerBuilder {
        self.client_auth = auth;
        self
    }

    /// How clients resume. Default: tickets with keys that this builder makes once, so what is
    /// built of a clone of it takes them, too.
    pub fn tickets(mut self, tickets: Tickets) -> TlsServerBuilder {
        self.tickets = Some(tickets);
        self
    }

    /// The versions of TLS; default: 1.2 and 1.3.
    pub fn versions(mut self, versions: &[TlsVersion]) -> TlsServerBuilder {
        self.base.versions = versions.to_vec();
        self
    }

    /// Where the cryptography comes from; default: ring.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> TlsServerBuilder {
        self.base.provider = provider;
        self
    }

    /// Writes down the keys of each connection, so that a tool such as Wireshark can read the
    /// traffic. Only for debugging: who has them has every secret. `rustls::KeyLogFile` writes to the
    /// file that `SSLKEYLOGFILE` names. Default: none, whatever the environment says.
    pub fn key_log(mut self, log: Arc<dyn KeyLog>) -> TlsServerBuilder {
        self.key_log = Some(log);
        self
    }

    /// The most bytes in one record, with 5 of its header; default and most: 16 KiB. A record near
    /// the size of a packet lets a slow reader begin sooner.
    pub fn max_fragment_size(mut self, bytes: usize) -> TlsServerBuilder {
        self.max_fragment_size = Some(bytes);
        self
    }

    /// Decides about each connection, when the client has said which name and protocols it wants:
    /// with the configuration of this server, with another one, later, or not at all. Called
    /// inside of a filter: it must not block.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate_tls::{Alert, Choice, TlsServer, rustls::ServerConfig};
    /// fn serve(a: Arc<ServerConfig>) -> tidegate_tls::TlsServerBuilder {
    ///     TlsServer::builder().choose(move |hello| match hello.server_name() {
    ///         Some("a.example") => Choice::Config(a.clone()),
    ///         Some("b.example") => Choice::Default,
    ///         _ => Choice::Refuse(Alert::UNRECOGNISED_NAME),
    ///     })
    /// }
    /// # let _ = serve;
    /// ```
    pub fn choose(
        mut self,
        choose: impl Fn(&Hello<'_>) -> Choice + Send + Sync + 'static,
    ) -> TlsServerBuilder {
        self.choose = Some(Arc::new(choose));
        self
    }

    /// How many handshakes may be under way at once, in all loops together; default 1024. A
    /// connection beyond that is closed before anything is read of it.
    pub fn max_handshakes(mut self, connections: usize) -> TlsServerBuilder {
        self.max_handshakes = connections;
        self
    }

    /// How many connections go on with their handshakes in one turn of the loop, after all others
    /// had their callbacks; default 1. A step of a full handshake takes the loop's thread about
    /// 0.1 ms (with an ECDSA key; RSA 1 ms): so long may others wait for it, and not for two. More
    /// steps in a turn save polls, each less than a hundredth of a step. 0 counts as 1.
    pub fn handshakes_per_turn(mut self, connections: u32) -> TlsServerBuilder {
        self.handshakes_per_turn = connections.max(1);
        self
    }

    /// Takes a FIN without `close_notify` for an ordinary end: `on_end` comes. Default: it is an
    /// error of [`Stage::Truncated`](tidegate_net::Stage::Truncated), since someone on the path may
    /// have cut off the rest. Some old clients end like that; a protocol that knows its lengths,
    /// such as HTTP, may allow it.
    pub fn allow_truncation(mut self, on: bool) -> TlsServerBuilder {
        self.allow_truncation = on;
        self
    }

    /// Makes the server.
    pub fn build(&mut self) -> Result<TlsServer, TlsConfigError> {
        let current = self.current()?;
        Ok(TlsServer {
            shared: Arc::new(ServerShared {
                current: RwLock::new(current),
                choose: self.choose.clone(),
                max_handshakes: self.max_handshakes,
                handshakes_per_turn: self.handshakes_per_turn,
                allow_truncation: self.allow_truncation,
                under_way: AtomicUsize::new(0),
                stats: Stats::default(),
            }),
            offload: None,
        })
    }

    /// The configuration alone, for [`Choice::Config`], or to change what has no option here.
    pub fn build_config(&mut self) -> Result<Arc<ServerConfig>, TlsConfigError> {
        Ok(self.current()?.config)
    }

    pub(crate) fn current(&mut self) -> Result<Current, TlsConfigError> {
        let provider = &self.base.provider;
        let mut names = Names::default();
        let (mut not_after, mut all) = (None::<SystemTime>, Vec::new());
        if let Some(identity) = &self.identity {
            names.default = Some(identity.certified(provider)?);
            all.push(identity);
        }
        for (name, identity) in &self.named {
            names.by_name.insert(name.clone(), identity.certified(provider)?);
            all.push(identity);
        }
        if all.is_empty() {
            return Err(TlsConfigError::Missing("a server needs a certificate: `identity`"));
        }
        for at in all.into_iter().filter_map(Identity::not_after) {
            not_after = Some(not_after.map_or(at, |first| first.min(at)));
        }
        let names = Arc::new(names);
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.base.versions())?;
        let verifier = |roots: &Roots| {
            WebPkiClientVerifier::builder_with_provider(roots.0.clone(), provider.clone())
        };
        let no_roots = |_| TlsConfigError::Missing("client certificates need roots");
        let builder = match &self.client_auth {
            ClientAuth::Off => builder.with_no_client_auth(),
            ClientAuth::Required(roots) => {
                builder.with_client_cert_verifier(verifier(roots).build().map_err(no_roots)?)
            }
            ClientAuth::Optional(roots) => {
                let verifier = verifier(roots).allow_unauthenticated();
                builder.with_client_cert_verifier(verifier.build().map_err(no_roots)?)
            }
        };
        let mut config = builder.with_cert_resolver(names.clone());
        config.alpn_protocols = self.alpn.clone();
        config.max_fragment_size = self.max_fragment_size;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if self.tickets.is_none() {
            self.tickets = Some(Tickets::new()?);
        }
        match self.tickets.as_ref().and_then(|tickets| tickets.0.clone()) {
            Some(ticketer) => config.ticketer = ticketer,
            None => config.send_tls13_tickets = 0,
        }
        if let Some(log) = &self.key_log {
            config.key_log = log.clone();
        }
        Ok(Current { config: Arc::new(config), names: Some(names), not_after })
    }
}
