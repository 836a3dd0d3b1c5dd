//! The metrics of pools of connections.
#![forbid(unsafe_code)]

use std::fmt;

use prometheus_client::metrics::MetricType;
use tidegate_net::PoolMetrics;

use crate::prometheus::writer::To;

/// The counters of each pool, by its name.
pub(super) fn of_pools<'a>(
    to: &mut To<'_>,
    all: impl Iterator<Item = (&'a str, &'a PoolMetrics)> + Clone,
) -> fmt::Result {
    type Read = fn(&PoolMetrics) -> u64;
    let gauges: [(&str, &str, Read); 4] = [
        ("pool_open", "Connections.", |m| m.open as u64),
        ("pool_connecting", "Of these, being made.", |m| m.connecting as u64),
        ("pool_idle", "Of these, not in use.", |m| m.idle as u64),
        ("pool_waiting", "Uses that wait for a connection.", |m| m.waiting as u64),
    ];
    let counters: [(&str, &str, Read); 11] = [
        ("pool_taken", "Leases given out.", |m| m.taken),
        ("pool_reused", "Of these, of a connection used before.", |m| m.reused),
        ("pool_connected", "Connections made.", |m| m.connected),
        ("pool_connect_failed", "Connections that failed.", |m| m.connect_failed),
        ("pool_ended_idle", "Idle ones that their other side ended.", |m| m.ended_idle),
        ("pool_unsolicited", "Idle ones that got bytes.", |m| m.unsolicited),
        ("pool_expired", "Idle ones kept too long.", |m| m.expired),
        ("pool_evicted", "Idle ones that had to leave.", |m| m.evicted),
        ("pool_retired", "Not kept when they came back.", |m| m.retired),
        ("pool_full", "Uses refused: too many waited.", |m| m.full),
        ("pool_timed_out", "Uses that waited too long.", |m| m.timed_out),
    ];
    if all.clone().next().is_none() {
        return Ok(());
    }
    let gauges = gauges.map(|g| (g, MetricType::Gauge));
    for ((name, help, read), kind) in
        gauges.into_iter().chain(counters.map(|c| (c, MetricType::Counter)))
    {
        let of = all.clone().map(|(name, m)| ([("pool", name.to_owned())], read(m)));
        to.labelled(name, help, kind, of)?;
    }
    Ok(())
}
