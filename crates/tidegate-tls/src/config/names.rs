//! A server's certificates, by the name that a client asks for.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Names are lower case; one that begins with `*.` stands for one label there.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) default: Option<Arc<CertifiedKey>>,
    pub(crate) by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Names {
    /// The certificate for this name, or for a client that asks for none.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let own = |name: &str| {
            let name = name.to_ascii_lowercase();
            let wild = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
            self.by_name.get(&name).or_else(wild)
        };
        name.and_then(own).or(self.default.as_ref()).cloned()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}
