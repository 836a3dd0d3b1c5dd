//! Certificates for one test: an authority, and what it signs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    SignatureAlgorithm, date_time_ymd,
};
use tidegate::tls::rustls::RootCertStore;
use tidegate::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tidegate::tls::{Identity, Roots};

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// From when to when, in years.
pub(crate) type Years = (i32, i32);

pub(crate) const NOW: Years = (2020, 2090);

impl Authority {
    pub(crate) fn new() -> Authority {
        Authority::named("tide authority")
    }

    pub(crate) fn named(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Authority { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::from_der([self.certificate()]).unwrap()
    }

    pub(crate) fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add(self.certificate()).unwrap();
        store
    }

    pub(crate) fn leaf(&self, name: &str) -> Identity {
        self.leaf_with(name, NOW, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn leaf_with(
        &self,
        name: &str,
        years: Years,
        kind: &'static SignatureAlgorithm,
    ) -> Identity {
        let key = KeyPair::generate_for(kind).unwrap();
        let cert = params(name, years).signed_by(&key, &self.issuer).unwrap();
        identity(cert.der().clone(), &key)
    }

    /// Certificate and key as PEM, for the files of other tools.
    pub(crate) fn leaf_pem(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = params(name, NOW).signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    /// The same with a key that was made elsewhere.
    pub(crate) fn leaf_of(&self, name: &str, key: &KeyPair) -> Identity {
        let cert = params(name, NOW).signed_by(key, &self.issuer).unwrap();
        identity(cert.der().clone(), key)
    }
}

/// One that signed itself.
pub(crate) fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let cert = params(name, NOW).self_signed(&key).unwrap();
    identity(cert.der().clone(), &key)
}

fn params(name: &str, years: Years) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

fn identity(cert: CertificateDer<'static>, key: &KeyPair) -> Identity {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Identity::from_der(vec![cert], PrivateKeyDer::Pkcs8(key))
}
