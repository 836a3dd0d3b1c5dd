//! [`Roots`]: whose certificates are trusted.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::config::identity::{certificates_of, read};
use crate::error::config_error::TlsConfigError;

/// The certificates that are trusted to sign others.
///
/// ```
/// use tidegate_tls::Roots;
/// let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
/// let roots = Roots::from_pem(made.cert.pem().as_bytes())?;
/// assert_eq!(roots.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Roots(pub(crate) Arc<RootCertStore>);

impl Roots {
    /// Those of a text in PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Roots, TlsConfigError> {
        Roots::from_der(certificates_of(pem, None)?)
    }

    /// Those of a file in PEM, which is read here.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Roots, TlsConfigError> {
        let path = path.as_ref();
        Roots::from_der(certificates_of(&read(path)?, Some(path))?)
    }

    /// These certificates.
    pub fn from_der(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Roots, TlsConfigError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add(certificate)?;
        }
        Ok(Roots(Arc::new(store)))
    }

    /// Those that the system trusts: it reads files, which may take a while. The variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. Certificates that rustls cannot read are left
    /// out. Feature `native-roots`.
    #[cfg(feature = "native-roots")]
    pub fn native() -> Result<Roots, TlsConfigError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(TlsConfigError::Missing("the system has no trusted certificates"));
        }
        Ok(Roots(Arc::new(store)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
