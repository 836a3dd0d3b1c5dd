//! TLS of both sides: a certificate that is made when the program runs, and a client that trusts it.
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{ClientConfig, ServerConfig};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::TLS13;
use rustls::{RootCertStore, client, server};

/// The protocol on top of QUIC.
const ALPN: &[u8] = b"echo";

/// For a server, and for a client of it.
pub(crate) fn sides() -> Result<(Arc<ServerConfig>, ClientConfig), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let provider = Arc::new(default_provider());

    let mut server = server::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivatePkcs8KeyDer::from(key).into())?;
    server.alpn_protocols = vec![ALPN.to_vec()];

    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut client = client::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];

    let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
    let client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));
    Ok((Arc::new(server), client))
}
