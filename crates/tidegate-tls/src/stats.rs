//! [`TlsStats`]: handshakes, counted in all loops together.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::config::versions::TlsVersion;

/// The handshakes of a server or a client, with all its clones.
///
/// ```
/// let stats = tidegate_tls::TlsStats::default();
/// assert_eq!((stats.handshakes, stats.failed), (0, 0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsStats {
    /// Handshakes that are over, and went well.
    pub handshakes: u64,
    /// Of these, resumed ones.
    pub resumed: u64,
    /// Of these, with TLS 1.2.
    pub tls12: u64,
    /// Handshakes that failed.
    pub failed: u64,
    /// Connections that failed after their handshake, without those that were truncated.
    pub broken: u64,
    /// Connections that ended without `close_notify`.
    pub truncated: u64,
    /// Of a server: handshakes that are under way.
    pub under_way: usize,
    /// The failures of handshakes and of connections, by their codes.
    pub by_code: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
pub(crate) struct Stats {
    handshakes: AtomicU64,
    resumed: AtomicU64,
    tls12: AtomicU64,
    failures: Mutex<TlsStats>,
}

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    Handshake,
    Broken,
    Truncated,
}

impl Stats {
    pub(crate) fn count(&self, version: Option<TlsVersion>, resumed: bool) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        self.resumed.fetch_add(u64::from(resumed), Ordering::Relaxed);
        self.tls12.fetch_add(u64::from(version == Some(TlsVersion::V1_2)), Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self, failure: Failure, code: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.by_code.entry(code).or_default() += 1;
        match failure {
            Failure::Handshake => failures.failed += 1,
            Failure::Broken => failures.broken += 1,
            Failure::Truncated => failures.truncated += 1,
        }
    }

    pub(crate) fn read(&self, under_way: usize) -> TlsStats {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        TlsStats {
            handshakes: self.handshakes.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
            tls12: self.tls12.load(Ordering::Relaxed),
            under_way,
            ..failures
        }
    }
}
