//! [`Certificate`]: the names and the times in a certificate, to show them.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

use crate::certificate::der::{Der, seconds};

/// What a certificate says of itself: whom it is for, who issued it, and from when to when it is
/// valid. To show it; rustls verifies it.
///
/// ```
/// use tidegate_tls::Certificate;
/// let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
/// let read = Certificate::read(made.cert.der()).unwrap();
/// assert_eq!(read.subject, "rcgen self signed cert");
/// assert_eq!(read.issuer, read.subject);
/// assert!(read.not_after > std::time::SystemTime::now());
/// # Ok::<(), rcgen::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Certificate {
    /// The common name of the subject, or its last attribute that is text.
    pub subject: String,
    /// The same of the issuer.
    pub issuer: String,
    /// It is valid from then.
    pub not_before: SystemTime,
    /// It is valid until then.
    pub not_after: SystemTime,
}

impl Certificate {
    /// Reads the DER form. `None`: it is no certificate.
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let mut whole = Der(Der(der).take(0x30)?);
        let mut signed = Der(whole.take(0x30)?);
        let (tag, _) = signed.next()?;
        if tag == 0xa0 {
            // That was the version.
            signed.take(0x02)?;
        }
        signed.take(0x30)?;
        let issuer = name(signed.take(0x30)?);
        let mut times = Der(signed.take(0x30)?);
        let not_before = time(&mut times)?;
        let not_after = time(&mut times)?;
        let subject = name(signed.take(0x30)?);
        Some(Certificate { subject, issuer, not_before, not_after })
    }
}

fn time(times: &mut Der<'_>) -> Option<SystemTime> {
    let (tag, text) = times.next()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds(tag, text)?))
}

/// The identifier of the attribute `commonName`.
const COMMON_NAME: [u8; 3] = [0x55, 4, 3];

fn name(der: &[u8]) -> String {
    let mut sets = Der(der);
    let mut found = String::new();
    while let Some(set) = sets.take(0x31) {
        let Some(mut attribute) = Der(set).take(0x30).map(Der) else { break };
        let (Some(kind), Some((_, text))) = (attribute.take(0x06), attribute.next()) else { break };
        found = String::from_utf8_lossy(text).into_owned();
        if kind == COMMON_NAME {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a peer sends.
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Certificate::read(&bytes);
        }

        #[test]
        fn no_change_of_a_certificate_makes_it_panic(at in 0usize..400, to in any::<u8>()) {
            let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
            let mut der = made.cert.der().to_vec();
            let at = at % der.len();
            der[at] = to;
            let _ = Certificate::read(&der);
            let _ = Certificate::read(&der[..at]);
        }
    }
}
