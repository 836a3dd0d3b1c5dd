//! [`TlsConfigError`]: why a configuration cannot be used.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why certificates, keys or roots cannot be used. The text names the file.
///
/// ```
/// use tidegate_tls::{Identity, TlsConfigError};
/// let error = Identity::from_pem(b"", b"").unwrap_err();
/// assert!(matches!(error, TlsConfigError::NoCertificate { .. }));
/// assert_eq!(error.to_string(), "there is no CERTIFICATE in the PEM text");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no `CERTIFICATE` in the PEM text.
    NoCertificate {
        /// The file, if it is one.
        path: Option<PathBuf>,
    },
    /// There is no `PRIVATE KEY` in the PEM text: none that is not encrypted.
    NoKey {
        /// The file, if it is one.
        path: Option<PathBuf>,
    },
    /// A text is not PEM.
    BadPem {
        /// The file, if it is one.
        path: Option<PathBuf>,
        /// What is wrong, in words.
        fault: String,
    },
    /// The key does not belong to the first certificate.
    KeyMismatch,
    /// A server without a certificate, or a client without roots.
    Missing(&'static str),
    /// No name of a server, and no address.
    BadName(String),
    /// rustls refuses it.
    Rustls(rustls::Error),
}

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |path: &Option<PathBuf>| match path {
            Some(path) => path.display().to_string(),
            None => "the PEM text".to_owned(),
        };
        match self {
            TlsConfigError::Read { path, source } => {
                write!(f, "{} cannot be read: {source}", path.display())
            }
            TlsConfigError::NoCertificate { path } => {
                write!(f, "there is no CERTIFICATE in {}", place(path))
            }
            TlsConfigError::NoKey { path } => {
                write!(f, "there is no PRIVATE KEY without a password in {}", place(path))
            }
            TlsConfigError::BadPem { path, fault } => {
                write!(f, "{} is not PEM: {fault}", place(path))
            }
            TlsConfigError::KeyMismatch => {
                f.write_str("the key does not belong to the first certificate")
            }
            TlsConfigError::Missing(what) => f.write_str(what),
            TlsConfigError::BadName(name) => {
                write!(f, "{name:?} is no name of a server, and no address")
            }
            TlsConfigError::Rustls(e) => e.fmt(f),
        }
    }
}

impl Error for TlsConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TlsConfigError::Read { source, .. } => Some(source),
            TlsConfigError::Rustls(e) => Some(e),
            _ => None,
        }
    }
}

impl From<rustls::Error> for TlsConfigError {
    fn from(e: rustls::Error) -> TlsConfigError {
        match e {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
                TlsConfigError::KeyMismatch
            }
            e => TlsConfigError::Rustls(e),
        }
    }
}
