//! [`TrustedProxies`]: who may say which client a connection is from.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::block_list::{BlockList, RuleError};

/// The peers whose PROXY headers are believed: your load balancers. A client that may send one can
/// take any address it likes, so a server has to name them, and refuses all others.
///
/// ```
/// use tidegate_net::TrustedProxies;
/// let balancers: TrustedProxies = "10.0.0.0/24, 2001:db8::7".parse()?;
/// assert!(balancers.has(Some("10.0.0.9".parse()?)) && !balancers.has(Some("10.0.1.9".parse()?)));
/// assert!(!balancers.has(None), "a Unix domain socket has no address");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    addresses: BlockList,
    unix: bool,
}

impl TrustedProxies {
    /// Nobody.
    pub fn new() -> TrustedProxies {
        TrustedProxies::default()
    }

    /// Everybody: only where a firewall lets nothing but the balancers through.
    pub fn everybody() -> TrustedProxies {
        let mut all = TrustedProxies::new().unix_sockets();
        for ip in [IpAddr::from([0; 4]), IpAddr::from([0; 16])] {
            // A subnet of no bits is always one.
            let _ = all.addresses.add_subnet(ip, 0);
        }
        all
    }

    /// This address, too.
    pub fn address(mut self, ip: IpAddr) -> TrustedProxies {
        self.addresses.add(ip);
        self
    }

    /// This subnet, too: all addresses that begin with the first `bits` of this one.
    pub fn subnet(mut self, ip: IpAddr, bits: u8) -> Result<TrustedProxies, RuleError> {
        self.addresses.add_subnet(ip, bits)?;
        Ok(self)
    }

    /// Peers on Unix domain sockets, too, which have no address: the file's permissions say who
    /// they are.
    pub fn unix_sockets(mut self) -> TrustedProxies {
        self.unix = true;
        self
    }

    /// Whether this peer is one of them; `None`: it came over a Unix domain socket.
    pub fn has(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |ip| self.addresses.contains(ip))
    }

    pub(crate) fn has_peer(&self, peer: Option<SocketAddr>) -> bool {
        self.has(peer.map(|peer| peer.ip()))
    }
}

/// Addresses and subnets, `10.0.0.0/8`, with commas or blanks between.
impl FromStr for TrustedProxies {
    type Err = TrustedError;

    fn from_str(text: &str) -> Result<TrustedProxies, TrustedError> {
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        words.into_iter().try_fold(TrustedProxies::new(), |trusted, word| {
            let wrong = || TrustedError { word: word.to_owned() };
            let Some((ip, bits)) = word.split_once('/') else {
                return Ok(trusted.address(word.parse().map_err(|_| wrong())?));
            };
            let (ip, bits) = (ip.parse().map_err(|_| wrong())?, bits.parse());
            trusted.subnet(ip, bits.map_err(|_| wrong())?).map_err(|_| wrong())
        })
    }
}

/// A word that is neither an address nor a subnet.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// let e = "10.0.0.0/33".parse::<tidegate_net::TrustedProxies>().unwrap_err();
/// assert_eq!(e.to_string(), "\"10.0.0.0/33\" is neither an address nor a subnet");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustedError {
    word: String,
}

impl fmt::Display for TrustedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither an address nor a subnet", self.word)
    }
}

impl std::error::Error for TrustedError {}
