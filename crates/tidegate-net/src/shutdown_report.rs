//! [`ShutdownReport`]: what a shutdown of a server did, and whom it cut off.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::error::close::{Close, Reason};
use crate::error::fault::Timeout;
use crate::metrics::ServerStats;

/// How many connections a report names.
const NAMED: usize = 1000;

/// How a shutdown went: see [`ServerCx::report_shutdown`](crate::ServerCx::report_shutdown).
/// `Display` writes one line, with the first few peers.
///
/// ```
/// fn all_were_served(report: &tidegate_net::ShutdownReport) -> bool {
///     report.cut_off == 0
/// }
/// # let _ = all_were_served;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Where the server listened.
    pub local: Endpoint,
    /// Connections that were open when the shutdown began.
    pub connections: usize,
    /// Of these, those that were still open when the grace was over.
    pub cut_off: usize,
    /// How each of them ended: peer, bytes, what was unsent. The first 1,000.
    pub closes: Vec<Close>,
    /// From the shutdown to the end of the last connection.
    pub took: Duration,
    /// What the server counted in its whole life.
    pub stats: ServerStats,
}

impl ShutdownReport {
    pub(crate) fn new(local: Endpoint, connections: usize) -> ShutdownReport {
        let (closes, took, stats) = (Vec::new(), Duration::ZERO, ServerStats::default());
        ShutdownReport { local, connections, cut_off: 0, closes, took, stats }
    }

    /// A connection of the server is over.
    pub(crate) fn add(&mut self, close: &Close) {
        if matches!(close.reason, Reason::TimedOut(Timeout::Shutdown, _)) {
            self.cut_off += 1;
            if self.closes.len() < NAMED {
                self.closes.push(close.clone());
            }
        }
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShutdownReport { local, connections, cut_off, took, .. } = self;
        write!(
            f,
            "{local} shut down in {took:.1?}: {cut_off} of {connections} connections cut off"
        )?;
        let named = self.closes.iter().filter_map(|c| c.peer.map(|peer| (peer, c.unsent)));
        for (n, (peer, unsent)) in named.take(8).enumerate() {
            let before = if n == 0 { ": " } else { ", " };
            write!(f, "{before}{peer} ({unsent} bytes unsent)")?;
        }
        if self.cut_off > 8 { f.write_str(", ...") } else { Ok(()) }
    }
}
