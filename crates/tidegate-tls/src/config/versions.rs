//! [`TlsVersion`], and the provider of the cryptography.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::{ProtocolVersion, SupportedProtocolVersion};

/// A version of TLS. Older ones are not supported.
///
/// ```
/// assert_eq!(tidegate_tls::TlsVersion::V1_3.to_string(), "TLSv1.3");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// What OpenSSL calls it.
    pub fn name(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }

    pub(crate) fn of(version: ProtocolVersion) -> Option<TlsVersion> {
        match version {
            ProtocolVersion::TLSv1_2 => Some(TlsVersion::V1_2),
            ProtocolVersion::TLSv1_3 => Some(TlsVersion::V1_3),
            _ => None,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What both builders know.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) versions: Vec<TlsVersion>,
}

impl Default for Base {
    fn default() -> Base {
        static RING: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
        let ring = || Arc::new(rustls::crypto::ring::default_provider());
        Base {
            provider: RING.get_or_init(ring).clone(),
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
        }
    }
}

impl Base {
    pub(crate) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let versions = self.versions.iter().map(|version| match version {
            TlsVersion::V1_2 => &rustls::version::TLS12,
            TlsVersion::V1_3 => &rustls::version::TLS13,
        });
        versions.collect()
    }
}
