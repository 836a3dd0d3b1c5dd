//! [`TlsError`]: why TLS failed, with a code that people search for, and the alerts.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use tidegate_net::{FilterError, FilterFault, NetError, Stage};

use crate::error::alert::Alert;

/// Why TLS failed. It is inside of the [`NetError`] that the connection ends with, which has the
/// stage: [`Stage::Handshake`], [`Stage::Tls`] or [`Stage::Truncated`].
///
/// ```
/// use tidegate_net::Close;
/// use tidegate_tls::TlsError;
/// fn is_expired(close: &Close) -> bool {
///     let failed = close.reason.error().and_then(TlsError::of);
///     failed.is_some_and(|e| e.code() == "CERT_HAS_EXPIRED")
/// }
/// # let _ = is_expired;
/// ```
#[derive(Debug)]
pub struct TlsError {
    code: &'static str,
    cause: Cause,
    alert_sent: Option<Alert>,
    alert_received: Option<Alert>,
}

#[derive(Debug)]
enum Cause {
    Rustls(rustls::Error),
    Text(&'static str),
}

impl TlsError {
    /// The error of TLS in a network error, if it has one.
    pub fn of(error: &NetError) -> Option<&TlsError> {
        let mut next = error.source();
        while let Some(e) = next {
            if let Some(e) = e.downcast_ref() {
                return Some(e);
            }
            next = e.source();
        }
        None
    }

    /// `down` is what was made for the peer: it may have the alert.
    pub(crate) fn new(error: rustls::Error, down: &[u8]) -> TlsError {
        let alert_received = match error {
            rustls::Error::AlertReceived(alert) => Some(alert.into()),
            _ => None,
        };
        let sent = || Alert::of_record(down).or_else(|| alert_for(&error));
        let alert_sent = if down.is_empty() { None } else { sent() };
        TlsError { code: code(&error), cause: Cause::Rustls(error), alert_sent, alert_received }
    }

    pub(crate) fn text(code: &'static str, text: &'static str) -> TlsError {
        TlsError { code, cause: Cause::Text(text), alert_sent: None, alert_received: None }
    }

    pub(crate) fn sent(mut self, alert: Alert) -> TlsError {
        self.alert_sent = Some(alert);
        self
    }

    pub(crate) fn fault(self, stage: Stage, kind: ErrorKind) -> FilterError {
        FilterFault::new(stage, kind, self.code, self).into()
    }

    /// A code in the spelling of OpenSSL and Node where they have one, such as `CERT_HAS_EXPIRED`;
    /// otherwise `EPROTO`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What we told the peer.
    pub fn alert_sent(&self) -> Option<Alert> {
        self.alert_sent
    }

    /// What the peer told us.
    pub fn alert_received(&self) -> Option<Alert> {
        self.alert_received
    }

    /// What rustls says, if it is its error.
    pub fn rustls(&self) -> Option<&rustls::Error> {
        match &self.cause {
            Cause::Rustls(e) => Some(e),
            Cause::Text(_) => None,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Rustls(rustls::Error::AlertReceived(_)) => f.write_str("the peer gave up")?,
            Cause::Rustls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                f.write_str("the peer does not speak TLS")?;
            }
            Cause::Rustls(e) => e.fmt(f)?,
            Cause::Text(text) => f.write_str(text)?,
        }
        write!(f, " ({}", self.code)?;
        if let Some(alert) = self.alert_sent {
            write!(f, "; we sent the alert {alert}")?;
        }
        if let Some(alert) = self.alert_received {
            write!(f, "; it sent the alert {alert}")?;
        }
        f.write_str(")")
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Rustls(e) => Some(e),
            Cause::Text(_) => None,
        }
    }
}

fn code(error: &rustls::Error) -> &'static str {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(e) => of_certificate(e),
        Error::AlertReceived(alert) => Alert::from(*alert).code(),
        Error::NoCertificatesPresented => "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE",
        Error::NoApplicationProtocol => "ERR_SSL_NO_APPLICATION_PROTOCOL",
        Error::DecryptError => "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
        Error::PeerSentOversizedRecord => "ERR_SSL_PACKET_LENGTH_TOO_LONG",
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "ERR_SSL_WRONG_VERSION_NUMBER",
        Error::InvalidMessage(InvalidMessage::MessageTooLarge) => "ERR_SSL_PACKET_LENGTH_TOO_LONG",
        Error::PeerIncompatible(what) => of_incompatible(what),
        _ => "EPROTO",
    }
}

fn of_incompatible(what: &rustls::PeerIncompatible) -> &'static str {
    use rustls::PeerIncompatible::*;
    match what {
        ServerDoesNotSupportTls12Or13
        | ServerTlsVersionIsDisabledByOurConfig
        | SupportedVersionsExtensionRequired
        | Tls12NotOffered
        | Tls12NotOfferedOrEnabled
        | Tls13RequiredForQuic => "ERR_SSL_UNSUPPORTED_PROTOCOL",
        NoCipherSuitesInCommon => "ERR_SSL_NO_SHARED_CIPHER",
        NoKxGroupsInCommon => "ERR_SSL_NO_SHARED_GROUP",
        NoSignatureSchemesInCommon => "ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS",
        _ => "EPROTO",
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    use CertificateError::*;
    match error {
        Expired | ExpiredContext { .. } => "CERT_HAS_EXPIRED",
        NotValidYet | NotValidYetContext { .. } => "CERT_NOT_YET_VALID",
        UnknownIssuer => "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        NotValidForName | NotValidForNameContext { .. } => "ERR_TLS_CERT_ALTNAME_INVALID",
        Revoked => "CERT_REVOKED",
        BadSignature => "CERT_SIGNATURE_FAILURE",
        InvalidPurpose | InvalidPurposeContext { .. } => "INVALID_PURPOSE",
        // webpki says this of one that signs itself.
        Other(e) if e.to_string().contains("CaUsedAsEndEntity") => "DEPTH_ZERO_SELF_SIGNED_CERT",
        _ => "CERT_REJECTED",
    }
}

/// The alert that rustls sends for an error. In an encrypted record it cannot be seen.
fn alert_for(error: &rustls::Error) -> Option<Alert> {
    use rustls::Error;
    Some(Alert::from(match error {
        Error::InvalidCertificate(e) => AlertDescription::from(e.clone()),
        Error::NoCertificatesPresented => AlertDescription::CertificateRequired,
        Error::NoApplicationProtocol => AlertDescription::NoApplicationProtocol,
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            AlertDescription::UnexpectedMessage
        }
        _ => return None,
    }))
}
