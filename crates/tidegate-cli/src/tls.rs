//! TLS as a client: whom to trust, and what the peer showed.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use tidegate::prelude::*;
use tidegate::tls::{Certificate, Roots, Tls, TlsClient, TlsError};

use crate::exit::Failure;

#[derive(Args, Debug)]
pub(crate) struct TlsArgs {
    /// Encrypt the connection
    #[arg(long)]
    pub(crate) tls: bool,
    /// Trust the certificates of this PEM file, in place of those of the system
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// The name whose certificate must come, in place of HOST
    #[arg(long, value_name = "NAME", requires = "tls")]
    name: Option<String>,
}

impl TlsArgs {
    /// The filter, if it was asked for. `protocols` are those of ALPN.
    pub(crate) fn client(&self, protocols: &[&str]) -> Result<Option<TlsClient>, Failure> {
        if !self.tls {
            return Ok(None);
        }
        let roots = match &self.ca {
            Some(file) => Roots::from_pem_file(file)
                .map_err(|e| Failure::bad_argument(format_args!("{}: {e}", file.display())))?,
            None => Roots::native()?,
        };
        let client = TlsClient::builder().roots(roots).alpn(protocols.iter().copied()).build()?;
        match &self.name {
            Some(name) => Ok(Some(client.name(name).map_err(Failure::bad_argument)?)),
            None => Ok(Some(client)),
        }
    }
}

/// What the handshake agreed on, and who answered: a line for each. Empty without TLS.
pub(crate) fn agreed(s: &mut SocketCx<'_>) -> Vec<String> {
    let Some(tls) = s.filter::<Tls>() else { return Vec::new() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut lines = vec![format!(
        "{}, {}, {}, protocol {}",
        tls.version().map_or("TLS", |v| v.name()),
        tls.cipher_suite().unwrap_or("no cipher suite"),
        tls.key_exchange().unwrap_or_else(|| "resumed".into()),
        tls.alpn().map_or("not agreed".into(), text),
    )];
    for (i, der) in tls.peer_certificates().iter().enumerate() {
        let Some(c) = Certificate::read(der) else { continue };
        let left = match c.not_after.duration_since(SystemTime::now()) {
            Ok(left) => format!("{} days left", left.as_secs() / 86_400),
            Err(_) => "expired".into(),
        };
        lines.push(format!("certificate {i}: {:?} by {:?}, {left}", c.subject, c.issuer));
    }
    lines
}

/// Which alerts were exchanged when a handshake failed.
pub(crate) fn alerts(close: &Close) -> Option<String> {
    let tls = close.reason.error().and_then(TlsError::of)?;
    match (tls.alert_sent(), tls.alert_received()) {
        (None, None) => None,
        (Some(sent), None) => Some(format!("alert sent: {sent}")),
        (None, Some(came)) => Some(format!("alert received: {came}")),
        (Some(sent), Some(came)) => Some(format!("alert sent: {sent}, received: {came}")),
    }
}
