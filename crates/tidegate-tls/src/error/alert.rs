//! [`Alert`]: what one side of TLS tells the other before it gives up.
#![forbid(unsafe_code)]

use std::fmt;

use rustls::AlertDescription;

/// The reason that a TLS peer gets or gave, by its number in RFC 8446.
///
/// ```
/// use tidegate_tls::Alert;
/// assert_eq!(Alert::UNRECOGNISED_NAME.to_string(), "unrecognised_name");
/// assert_eq!(Alert(48).name(), Some("unknown_ca"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Alert(pub u8);

/// Number, name, and the code of OpenSSL and Node for one that was received.
const TABLE: [(u8, &str, &str); 27] = [
    (0, "close_notify", "ERR_SSL_TLSV1_ALERT_CLOSE_NOTIFY"),
    (10, "unexpected_message", "ERR_SSL_SSLV3_ALERT_UNEXPECTED_MESSAGE"),
    (20, "bad_record_mac", "ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC"),
    (22, "record_overflow", "ERR_SSL_TLSV1_ALERT_RECORD_OVERFLOW"),
    (40, "handshake_failure", "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE"),
    (42, "bad_certificate", "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE"),
    (43, "unsupported_certificate", "ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    (44, "certificate_revoked", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED"),
    (45, "certificate_expired", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED"),
    (46, "certificate_unknown", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
    (47, "illegal_parameter", "ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER"),
    (48, "unknown_ca", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"),
    (49, "access_denied", "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED"),
    (50, "decode_error", "ERR_SSL_TLSV1_ALERT_DECODE_ERROR"),
    (51, "decrypt_error", "ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR"),
    (70, "protocol_version", "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION"),
    (71, "insufficient_security", "ERR_SSL_TLSV1_ALERT_INSUFFICIENT_SECURITY"),
    (80, "internal_error", "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR"),
    (86, "inappropriate_fallback", "ERR_SSL_TLSV1_ALERT_INAPPROPRIATE_FALLBACK"),
    (90, "user_canceled", "ERR_SSL_TLSV1_ALERT_USER_CANCELLED"),
    (109, "missing_extension", "ERR_SSL_TLSV13_ALERT_MISSING_EXTENSION"),
    (110, "unsupported_extension", "ERR_SSL_TLSV1_UNSUPPORTED_EXTENSION"),
    (112, "unrecognised_name", "ERR_SSL_TLSV1_UNRECOGNIZED_NAME"),
    (113, "bad_certificate_status_response", "ERR_SSL_TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE"),
    (115, "unknown_psk_identity", "ERR_SSL_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY"),
    (116, "certificate_required", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    (120, "no_application_protocol", "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL"),
];

impl Alert {
    /// The server does not serve this name.
    pub const UNRECOGNISED_NAME: Alert = Alert(112);
    /// The peer may not do this.
    pub const ACCESS_DENIED: Alert = Alert(49);
    /// No more than that: something is wrong here.
    pub const INTERNAL_ERROR: Alert = Alert(80);

    /// Its name in RFC 8446, if it has one.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.1)
    }

    /// What OpenSSL and Node call an error that is this alert of the peer.
    pub(crate) fn code(self) -> &'static str {
        self.row().map_or("ERR_SSL_ALERT", |row| row.2)
    }

    fn row(self) -> Option<&'static (u8, &'static str, &'static str)> {
        TABLE.iter().find(|row| row.0 == self.0)
    }

    /// A record that tells it, before there are keys: fatal.
    pub(crate) fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, self.0]
    }

    /// The alert in a record that is not encrypted.
    pub(crate) fn of_record(record: &[u8]) -> Option<Alert> {
        match record {
            [.., 21, 3, _, 0, 2, 2, alert] => Some(Alert(*alert)),
            _ => None,
        }
    }
}

impl From<AlertDescription> for Alert {
    fn from(alert: AlertDescription) -> Alert {
        Alert(u8::from(alert))
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_and_known_to_rustls() {
        assert!(TABLE.is_sorted_by_key(|row| row.0));
        for (number, name, _) in TABLE {
            let theirs = format!("{:?}", AlertDescription::from(number)).to_lowercase();
            assert!(!theirs.starts_with("unknown("), "{number}: {theirs}");
            assert_eq!(theirs.replace('z', "s"), name.replace(['_'], "").replace('z', "s"));
        }
    }

    #[test]
    fn a_record_says_what_it_was_made_of() {
        let record = Alert::UNRECOGNISED_NAME.record();
        assert_eq!(Alert::of_record(&record), Some(Alert(112)));
        assert_eq!(Alert::of_record(&record[..6]), None);
    }
}
