//! The metrics of HTTP: of the servers of a loop, and of agents. Feature `http`.
#![forbid(unsafe_code)]

use std::fmt;

use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tidegate_http::{AgentMetrics, HttpMetrics};

use crate::prometheus::writer::To;

pub(super) fn of_servers(to: &mut To<'_>, m: &HttpMetrics) -> fmt::Result {
    to.gauge("http_connections", "Connections of HTTP that are open.", m.connections)?;
    to.gauge("http_idle", "Of these, waiting for a request.", m.idle)?;
    to.gauge("http_in_flight", "Requests that are being answered.", m.in_flight)?;
    to.counter("http_requests", "Requests accepted.", m.requests)?;
    to.counter("http_reused", "Of these, not the first of their connection.", m.reused)?;
    to.counter("http_broken", "Of these, without the end of an answer.", m.broken)?;
    to.counter("http_refused", "Requests refused by their bytes.", m.refused)?;
    to.counter("http_limited", "Requests of clients that ask too often.", m.limited)?;
    to.counter("http_timed_out", "Requests that took too long.", m.timed_out)?;
    to.counter("http_idle_closed", "Connections that waited too long.", m.idle_closed)?;
    to.counter("http_upgraded", "Connections given to another protocol.", m.upgraded)?;
    let (name, help) = ("tidegate_http_responses", "Answers by the class of their status.");
    let mut metric = to.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (digit, count) in (1..).zip(m.responses) {
        // Beyond 5xx there are none, as a rule.
        if digit <= 5 || count > 0 {
            let labels = [("class", format!("{digit}xx"))];
            let mut metric = metric.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    let quantiles = [("0.5", 0.5), ("0.99", 0.99), ("1", 1.0)];
    let durations = quantiles.map(|(name, q)| (name, m.durations.quantile(q).as_secs_f64()));
    let help = "From a head to the end of its answer, exact to a factor of two.";
    to.family("http_duration", help, "quantile", Some(&Unit::Seconds), &durations)
}

/// The counters of each agent, by its name.
pub(super) fn of_agents<'a>(
    to: &mut To<'_>,
    all: impl Iterator<Item = (&'a str, &'a AgentMetrics)> + Clone,
) -> fmt::Result {
    type Read = fn(&AgentMetrics) -> u64;
    let gauges: [(&str, &str, Read); 5] = [
        ("http_agent_origins", "Origins in use.", |m| m.origins as u64),
        ("http_agent_open", "Connections.", |m| m.open as u64),
        ("http_agent_connecting", "Of these, being made.", |m| m.connecting as u64),
        ("http_agent_free", "Of these, free.", |m| m.free as u64),
        ("http_agent_waiting", "Requests that wait for a connection.", |m| m.waiting as u64),
    ];
    let counters: [(&str, &str, Read); 13] = [
        ("http_agent_requests", "Requests made.", |m| m.requests),
        ("http_agent_answered", "Of these, answered.", |m| m.answered),
        ("http_agent_failed", "Of these, failed.", |m| m.failed),
        ("http_agent_timed_out", "Requests failed by a deadline.", |m| m.timed_out),
        ("http_agent_pool_full", "Requests refused: too many waited.", |m| m.pool_full),
        ("http_agent_reused", "Requests on a connection used before.", |m| m.reused),
        ("http_agent_retried", "Requests sent a second time.", |m| m.retried),
        ("http_agent_connected", "Connections made.", |m| m.connected),
        ("http_agent_connect_failed", "Connections that failed.", |m| m.connect_failed),
        ("http_agent_ended_free", "Free ones that their server ended.", |m| m.ended_free),
        ("http_agent_unsolicited", "Free ones that got bytes.", |m| m.unsolicited),
        ("http_agent_expired", "Free ones kept too long.", |m| m.expired),
        ("http_agent_evicted", "Free ones that had to leave.", |m| m.evicted),
    ];
    if all.clone().next().is_none() {
        return Ok(());
    }
    let gauges = gauges.map(|g| (g, MetricType::Gauge));
    for ((name, help, read), kind) in
        gauges.into_iter().chain(counters.map(|c| (c, MetricType::Counter)))
    {
        let of = all.clone().map(|(name, m)| ([("agent", name.to_owned())], read(m)));
        to.labelled(name, help, kind, of)?;
    }
    Ok(())
}
