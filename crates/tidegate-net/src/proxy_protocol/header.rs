//! [`ProxyHeader`]: what a header of the PROXY protocol says. How it is written is in `text.rs` and
//! `binary.rs`.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use crate::proxy_protocol::fault::ProxyFault;

/// How a header is written.
///
/// ```
/// use tidegate_net::{ProxyHeader, ProxyVersion};
/// assert_eq!(ProxyHeader::local().version(), ProxyVersion::V2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyVersion {
    /// One line of text: addresses alone.
    V1,
    /// Binary: addresses, and values with types.
    V2,
}

/// A header of the PROXY protocol: who the client is, in the words of the proxy between.
///
/// A server gets it by [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol); a
/// client sends it by [`ConnectOptions::proxy_header`](crate::ConnectOptions::proxy_header).
///
/// ```
/// use tidegate_net::ProxyHeader;
/// let (client, server) = ("192.0.2.7:51000".parse()?, "198.51.100.1:443".parse()?);
/// let header = ProxyHeader::v1(client, server);
/// assert_eq!(header.to_bytes(), b"PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n");
/// let header = ProxyHeader::v2(client, server).with(ProxyHeader::AUTHORITY, b"tide.example")?;
/// assert_eq!(header.authority(), Some("tide.example"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyHeader {
    pub(crate) version: ProxyVersion,
    /// The proxy speaks for itself.
    pub(crate) local: bool,
    /// Source and destination, both of one family.
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
    /// Type, length and value, one after the other; without the checksum.
    pub(crate) values: Vec<u8>,
    pub(crate) checksum: bool,
}

impl ProxyHeader {
    /// The type of the protocols that the client asked for by ALPN.
    pub const ALPN: u8 = 0x01;
    /// The type of the host name that the client asked for.
    pub const AUTHORITY: u8 = 0x02;
    /// The type of the checksum, which has its own method.
    pub(crate) const CRC32C: u8 = 0x03;
    /// The type of a name for the connection that the proxy gave.
    pub const UNIQUE_ID: u8 = 0x05;
    /// The type of what is known of the client's TLS: see [`tls_value`](ProxyHeader::tls_value).
    pub const TLS: u8 = 0x20;

    /// A header of version 1. If one address is of IPv4 and the other of IPv6, the one is mapped.
    pub fn v1(source: SocketAddr, destination: SocketAddr) -> ProxyHeader {
        ProxyHeader::new(ProxyVersion::V1, Some(one_family(source, destination)))
    }

    /// A header of version 2.
    pub fn v2(source: SocketAddr, destination: SocketAddr) -> ProxyHeader {
        ProxyHeader::new(ProxyVersion::V2, Some(one_family(source, destination)))
    }

    /// A header of version 2 by which a proxy speaks for itself, as in a health check.
    pub fn local() -> ProxyHeader {
        ProxyHeader { local: true, ..ProxyHeader::new(ProxyVersion::V2, None) }
    }

    pub(crate) fn new(
        version: ProxyVersion,
        addresses: Option<(SocketAddr, SocketAddr)>,
    ) -> ProxyHeader {
        ProxyHeader { version, local: false, addresses, values: Vec::new(), checksum: false }
    }

    /// Adds a value. A header of version 1 cannot send it. An error: the header has no room for it.
    pub fn with(mut self, kind: u8, value: &[u8]) -> Result<ProxyHeader, ProxyFault> {
        // Addresses and checksum need up to 43 bytes.
        let (bytes, limit) = (self.values.len() + 3 + value.len() + 43, usize::from(u16::MAX));
        let length = u16::try_from(value.len()).ok().filter(|_| bytes <= limit);
        let length = length.ok_or(ProxyFault::TooLong { bytes, limit })?;
        self.values.push(kind);
        self.values.extend(length.to_be_bytes());
        self.values.extend_from_slice(value);
        Ok(self)
    }

    /// Adds a CRC32C, in version 2.
    pub fn with_checksum(mut self) -> ProxyHeader {
        self.checksum = true;
        self
    }

    /// How it is written.
    pub fn version(&self) -> ProxyVersion {
        self.version
    }

    /// Whether the proxy speaks for itself (`LOCAL`).
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// The client's address; `None` if the header does not say it.
    pub fn source(&self) -> Option<SocketAddr> {
        self.addresses.map(|(source, _)| source)
    }

    /// The address that the client connected to.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.addresses.map(|(_, destination)| destination)
    }

    /// All values with their types.
    pub fn values(&self) -> impl Iterator<Item = (u8, &[u8])> {
        Values(&self.values).flatten()
    }

    /// The first value of this type.
    pub fn value(&self, kind: u8) -> Option<&[u8]> {
        self.values().find(|(k, _)| *k == kind).map(|(_, value)| value)
    }

    /// The host name that the client asked for, if it is UTF-8.
    pub fn authority(&self) -> Option<&str> {
        std::str::from_utf8(self.value(ProxyHeader::AUTHORITY)?).ok()
    }

    /// A value inside of that of [`TLS`](ProxyHeader::TLS): 0x21 the version, 0x22 the common name
    /// of the client's certificate, 0x23 the cipher.
    pub fn tls_value(&self, kind: u8) -> Option<&[u8]> {
        let inner = self.value(ProxyHeader::TLS)?.get(5..)?;
        Values(inner).map_while(Result::ok).find(|(k, _)| *k == kind).map(|(_, value)| value)
    }
}

/// Both of one family: IPv4 if both are, also as IPv6 maps it.
fn one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let as_v6 = |ip| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        v6 => v6,
    };
    let (from, to) = match from.is_ipv4() == to.is_ipv4() {
        true => (from, to),
        false => (as_v6(from), as_v6(to)),
    };
    (SocketAddr::new(from, source.port()), SocketAddr::new(to, destination.port()))
}

/// Takes values apart; an error is the last item.
pub(crate) struct Values<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Result<(u8, &'a [u8]), ProxyFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        let taken = bytes.split_first_chunk::<3>().and_then(|([kind, high, low], rest)| {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (value, rest) = rest.split_at_checked(length)?;
            self.0 = rest;
            Some((*kind, value))
        });
        Some(taken.ok_or(ProxyFault::Malformed("a value goes beyond the header")))
    }
}
