//! [`Identity`]: the certificate that one side shows, with its chain and its key.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::certificate::shown::Certificate;
use crate::error::config_error::TlsConfigError;

/// The certificate that one side shows, those between it and the root, and its private key. `Debug`
/// does not show the key.
///
/// ```
/// use tidegate_tls::Identity;
/// let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
/// let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes())?;
/// assert_eq!(identity.certificates().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Identity {
        Identity { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Identity {
    /// From texts in PEM: the certificates, the own one first; and its key (PKCS#8, PKCS#1 or SEC1,
    /// without a password). Both may be the same text.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Identity, TlsConfigError> {
        Ok(Identity { chain: certificates_of(certificates, None)?, key: key_of(key, None)? })
    }

    /// The same from files, which are read here. An error names the file.
    pub fn from_pem_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Identity, TlsConfigError> {
        let (certificates, key) = (certificates.as_ref(), key.as_ref());
        let chain = certificates_of(&read(certificates)?, Some(certificates))?;
        Ok(Identity { chain, key: key_of(&read(key)?, Some(key))? })
    }

    /// From DER.
    pub fn from_der(
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Identity {
        Identity { chain: certificates, key }
    }

    /// Its certificates, the own one first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// When the first of its certificates expires.
    pub fn not_after(&self) -> Option<SystemTime> {
        let times = self.chain.iter().filter_map(|c| Certificate::read(c));
        times.map(|c| c.not_after).min()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// With the key loaded, which must belong to the certificate.
    pub(crate) fn certified(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, TlsConfigError> {
        let certified = CertifiedKey::from_der(self.chain.clone(), self.key(), provider)?;
        Ok(Arc::new(certified))
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    std::fs::read(path).map_err(|source| TlsConfigError::Read { path: path.to_owned(), source })
}

pub(crate) fn certificates_of(
    pem: &[u8],
    path: Option<&Path>,
) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let path = || path.map(PathBuf::from);
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(TlsConfigError::NoCertificate { path: path() }),
        Ok(all) => Ok(all),
        Err(e) => Err(TlsConfigError::BadPem { path: path(), fault: fault(&e) }),
    }
}

fn key_of(pem: &[u8], path: Option<&Path>) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    let path = || path.map(PathBuf::from);
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| match e {
        pem::Error::NoItemsFound => TlsConfigError::NoKey { path: path() },
        e => TlsConfigError::BadPem { path: path(), fault: fault(&e) },
    })
}

/// In words, and without a part of the text: it may be of a key.
fn fault(e: &pem::Error) -> String {
    match e {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line".into(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is not complete".into(),
        pem::Error::Base64Decode(_) => "a section is not base64".into(),
        _ => "it cannot be read".into(),
    }
}
