//! [`TlsClient`]: makes the filters of a client's connections.
#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, KeyLog};
use tidegate_net::{Filter, FilterFactory};

use crate::config::identity::Identity;
use crate::config::roots::Roots;
use crate::config::versions::{Base, TlsVersion};
use crate::connection::shared::ClientShared;
use crate::connection::tls::Tls;
use crate::error::config_error::TlsConfigError;
use crate::stats::{Stats, TlsStats};

/// TLS for connections that we make. It is cheap to clone; clones share the sessions to resume,
/// and the counters, also in several loops.
///
/// `on_connect` comes when the handshake is over; one that fails is an error of
/// [`Stage::Handshake`](tidegate_net::Stage::Handshake) in `on_close`. The connect timeout covers it.
///
/// ```
/// # #[cfg(feature = "native-roots")] {
/// use tidegate_loop::Loop;
/// use tidegate_net::{ConnectOptions, Net, On};
/// use tidegate_tls::{Tls, TlsClient};
/// fn ask(lp: &mut Loop, tls: &TlsClient) {
///     let options = ConnectOptions::new("example.com:443").filter(tls.clone());
///     lp.connect(options, On::new()
///         .connect(|s| {
///             let version = s.filter::<Tls>().and_then(|tls| tls.version());
///             println!("{}", version.unwrap());
///         })
///         .close(|_, close| println!("{close}")));
/// }
/// # let _ = ask;
/// # }
/// ```
#[derive(Clone)]
pub struct TlsClient {
    shared: Arc<ClientShared>,
    name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// It trusts what the system trusts. Reads files: see [`Roots::native`]. Feature
    /// `native-roots`.
    #[cfg(feature = "native-roots")]
    pub fn new() -> Result<TlsClient, TlsConfigError> {
        TlsClient::builder().roots(Roots::native()?).build()
    }

    /// With every option.
    pub fn builder() -> TlsClientBuilder {
        TlsClientBuilder::default()
    }

    /// With a configuration of rustls: for a verifier of your own, too.
    pub fn with_config(config: Arc<ClientConfig>) -> TlsClient {
        let stats = Stats::default();
        let shared = ClientShared { config, allow_truncation: false, stats };
        TlsClient { shared: Arc::new(shared), name: None }
    }

    /// For a server of this name, or with this address, whatever host
    /// [`connect`](tidegate_net::Net::connect) is given. An address is not sent to the server.
    ///
    /// ```
    /// use tidegate_tls::{TlsClient, TlsConfigError};
    /// fn by_name(tls: &TlsClient) -> Result<TlsClient, TlsConfigError> {
    ///     tls.name("tide.example")
    /// }
    /// # let _ = by_name;
    /// ```
    pub fn name(&self, name: &str) -> Result<TlsClient, TlsConfigError> {
        let parsed = parse(name).ok_or_else(|| TlsConfigError::BadName(name.to_owned()))?;
        Ok(TlsClient { shared: self.shared.clone(), name: Some(parsed) })
    }

    /// The filter of one connection, for [`set_filter`](tidegate_net::SocketCx::set_filter): TLS
    /// begins on a connection that is open already (STARTTLS). `on_ready` comes when the handshake
    /// is over. It needs a
    /// [`name`](TlsClient::name).
    pub fn filter(&self) -> Tls {
        Tls::client(self.shared.clone(), self.name.clone())
    }

    /// Handshakes so far, with those of all clones.
    pub fn stats(&self) -> TlsStats {
        self.shared.stats.read(0)
    }
}

impl FilterFactory for TlsClient {
    fn make(&self) -> Box<dyn Filter> {
        Box::new(self.filter())
    }

    fn make_for(&self, host: Option<&str>) -> Box<dyn Filter> {
        let name = self.name.clone().or_else(|| parse(host?));
        Box::new(Tls::client(self.shared.clone(), name))
    }

    fn no_delay(&self) -> bool {
        true
    }
}

/// A name of DNS without the dot at its end, or an address.
fn parse(name: &str) -> Option<ServerName<'static>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(name.to_owned()).ok()
}

/// How a client speaks TLS.
///
/// ```
/// use tidegate_tls::{Roots, TlsClient, TlsVersion};
/// let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
/// let tls = TlsClient::builder()
///     .roots(Roots::from_pem(made.cert.pem().as_bytes())?)
///     .versions(&[TlsVersion::V1_3])
///     .build()?;
/// assert_eq!(tls.stats().handshakes, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct TlsClientBuilder {
    base: Base,
    roots: Option<Roots>,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    sessions: usize,
    key_log: Option<Arc<dyn KeyLog>>,
    max_fragment_size: Option<usize>,
    allow_truncation: bool,
}

impl Default for TlsClientBuilder {
    fn default() -> TlsClientBuilder {
        TlsClientBuilder {
            base: Base::default(),
            roots: None,
            identity: None,
            alpn: Vec::new(),
            sessions: 256,
            key_log: None,
            max_fragment_size: None,
            allow_truncation: false,
        }
    }
}

impl TlsClientBuilder {
    /// Whose signatures it trusts. Needed.
    pub fn roots(mut self, roots: Roots) -> TlsClientBuilder {
        self.roots = Some(roots);
        self
    }

    /// The certificate that it shows to a server that asks for one; default: none.
    pub fn identity(mut self, identity: Identity) -> TlsClientBuilder {
        self.identity = Some(identity);
        self
    }

    /// The protocols that it would speak above TLS, the one it likes best first. What the server
    /// chose says [`Tls::alpn`]. Default: none.
    pub fn alpn<P: AsRef<[u8]>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> TlsClientBuilder {
        self.alpn = protocols.into_iter().map(|p| p.as_ref().to_vec()).collect();
        self
    }

    /// The versions of TLS; default: 1.2 and 1.3.
    pub fn versions(mut self, versions: &[TlsVersion]) -> TlsClientBuilder {
        self.base.versions = versions.to_vec();
        self
    }

    /// How many servers' sessions are kept to resume; default 256, and 0 for none.
    pub fn sessions(mut self, servers: usize) -> TlsClientBuilder {
        self.sessions = servers;
        self
    }

    /// Where the cryptography comes from; default: ring.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> TlsClientBuilder {
        self.base.provider = provider;
        self
    }

    /// Writes down the keys of each connection: see
    /// [`TlsServerBuilder::key_log`](crate::TlsServerBuilder::key_log).
    pub fn key_log(mut self, log: Arc<dyn KeyLog>) -> TlsClientBuilder {
        self.key_log = Some(log);
        self
    }

    /// The longest record: see
    /// [`TlsServerBuilder::max_fragment_size`](crate::TlsServerBuilder::max_fragment_size).
    pub fn max_fragment_size(mut self, bytes: usize) -> TlsClientBuilder {
        self.max_fragment_size = Some(bytes);
        self
    }

    /// Takes a FIN without `close_notify` for an ordinary end: see
    /// [`TlsServerBuilder::allow_truncation`](crate::TlsServerBuilder::allow_truncation).
    pub fn allow_truncation(mut self, on: bool) -> TlsClientBuilder {
        self.allow_truncation = on;
        self
    }

    /// Makes the client.
    pub fn build(&self) -> Result<TlsClient, TlsConfigError> {
        let roots = self.roots.as_ref().filter(|roots| !roots.is_empty());
        let roots = roots.ok_or(TlsConfigError::Missing("a client needs `roots` to trust"))?;
        let builder = ClientConfig::builder_with_provider(self.base.provider.clone())
            .with_protocol_versions(&self.base.versions())?
            .with_root_certificates(roots.0.clone());
        let mut config = match &self.identity {
            Some(own) => {
                own.certified(&self.base.provider)?;
                builder.with_client_auth_cert(own.certificates().to_vec(), own.key())?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.clone();
        config.max_fragment_size = self.max_fragment_size;
        config.resumption = match self.sessions {
            0 => Resumption::disabled(),
            servers => Resumption::in_memory_sessions(servers),
        };
        if let Some(log) = &self.key_log {
            config.key_log = log.clone();
        }
        let (config, stats) = (Arc::new(config), Stats::default());
        let shared = ClientShared { config, allow_truncation: self.allow_truncation, stats };
        Ok(TlsClient { shared: Arc::new(shared), name: None })
    }
}
