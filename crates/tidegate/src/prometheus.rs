//! All counters of a loop as Prometheus text. Feature `prometheus`.
//!
//! The numbers themselves are plain fields: [`Metrics`] of the loop, [`NetMetrics`] of all
//! connections, [`ServerStats`](crate::net::ServerStats) of each server,
//! [`UdpStats`](crate::net::UdpStats) of each UDP socket. Here they get names, help
//! and units; the text is that of OpenMetrics 1.0, which Prometheus reads. If you have a registry
//! of the crate `prometheus-client` already, register a [`Snapshot`] there: it is a [`Collector`].
#![forbid(unsafe_code)]

#[cfg(feature = "http")]
mod http;
mod pools;
#[cfg(feature = "async")]
mod tasks;
mod writer;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::net::{Net, NetMetrics, PoolMetrics, ServerMetrics, UdpMetrics};
use crate::observe::Id;
use crate::prometheus::writer::To;
#[cfg(feature = "async")]
use tidegate_async::{Async, TaskMetrics};
#[cfg(feature = "http")]
use tidegate_http::{AgentMetrics, Http, HttpMetrics};
#[cfg(feature = "work")]
use tidegate_loop::WorkStats;
use tidegate_loop::{AsCx, Metrics, Phase};
#[cfg(feature = "tls")]
use tidegate_tls::TlsStats;

/// The media type of [`Snapshot::text`], for the header of an answer.
///
/// ```
/// assert!(tidegate::prometheus::CONTENT_TYPE.starts_with("application/openmetrics-text"));
/// ```
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters of a loop and of everything in it, at one moment. Plain numbers, and `Send`.
///
/// ```
/// use tidegate::prelude::*;
/// use tidegate::prometheus::Snapshot;
/// let mut lp = Loop::new()?;
/// lp.run_nowait()?;
/// let text = Snapshot::take(&mut lp).text();
/// assert!(text.contains("tidegate_loop_turns_total 0\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Of the loop.
    pub of_loop: Metrics,
    /// Handles that are open.
    pub handles: usize,
    /// Of all connections.
    pub net: NetMetrics,
    /// Of each server.
    pub servers: Vec<ServerMetrics>,
    /// Of each UDP socket.
    pub udp: Vec<UdpMetrics>,
    /// Of the threads of `work`. Feature `work`.
    #[cfg(feature = "work")]
    pub work: WorkStats,
    /// Of TLS, by names of yours: see [`with_tls`](Snapshot::with_tls). Feature `tls`.
    #[cfg(feature = "tls")]
    pub tls: Vec<TlsSnapshot>,
    /// Of pools of connections, by names of yours: see [`with_pool`](Snapshot::with_pool).
    pub pools: Vec<PoolSnapshot>,
    /// Of tasks. Feature `async`.
    #[cfg(feature = "async")]
    pub tasks: TaskMetrics,
    /// Of all servers of HTTP. Feature `http`.
    #[cfg(feature = "http")]
    pub http: HttpMetrics,
    /// Of agents, by names of yours: see [`with_agent`](Snapshot::with_agent). Feature `http`.
    #[cfg(feature = "http")]
    pub agents: Vec<AgentSnapshot>,
}

/// The counters of a pool of connections.
///
/// ```
/// let mut of = tidegate::prometheus::PoolSnapshot::default();
/// of.name = "database".into();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// A name of yours, the value of the label `pool`.
    pub name: String,
    /// Its counters.
    pub metrics: PoolMetrics,
}

/// The counters of an [`Agent`](tidegate_http::Agent). Feature `http`.
///
/// ```
/// let mut of = tidegate::prometheus::AgentSnapshot::default();
/// of.name = "backend".into();
/// ```
#[cfg(feature = "http")]
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AgentSnapshot {
    /// A name of yours, the value of the label `agent`.
    pub name: String,
    /// Its counters.
    pub metrics: AgentMetrics,
}

/// The counters of a [`TlsServer`](tidegate_tls::TlsServer) or a
/// [`TlsClient`](tidegate_tls::TlsClient). Feature `tls`.
///
/// ```
/// let mut of = tidegate::prometheus::TlsSnapshot::default();
/// of.name = "front".into();
/// ```
#[cfg(feature = "tls")]
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsSnapshot {
    /// A name of yours, the value of the label `tls`.
    pub name: String,
    /// Its counters.
    pub stats: TlsStats,
    /// When the first of its certificates expires.
    pub not_after: Option<std::time::SystemTime>,
}

impl Snapshot {
    /// Takes the counters now. It visits every open connection.
    pub fn take(at: &mut impl AsCx) -> Snapshot {
        let mut cx = at.cx();
        Snapshot {
            of_loop: cx.metrics(),
            handles: cx.handles(),
            net: cx.net_metrics(),
            servers: cx.servers(),
            udp: cx.udp_sockets(),
            #[cfg(feature = "work")]
            work: cx.work_stats(),
            #[cfg(feature = "tls")]
            tls: Vec::new(),
            pools: Vec::new(),
            #[cfg(feature = "async")]
            tasks: cx.task_metrics(),
            #[cfg(feature = "http")]
            http: cx.http_metrics(),
            #[cfg(feature = "http")]
            agents: Vec::new(),
        }
    }

    /// With the counters of a [pool](tidegate_net::Net::pool).
    ///
    /// ```
    /// use tidegate::net::{Net, PoolKey};
    /// use tidegate::prometheus::Snapshot;
    /// use tidegate::{KeyError, Loop};
    /// fn scrape(lp: &mut Loop, pool: PoolKey) -> Result<String, KeyError> {
    ///     let metrics = lp.pool_metrics(pool)?;
    ///     Ok(Snapshot::take(lp).with_pool("database", metrics).text())
    /// }
    /// # let _ = scrape;
    /// ```
    pub fn with_pool(mut self, name: &str, metrics: PoolMetrics) -> Snapshot {
        self.pools.push(PoolSnapshot { name: name.to_owned(), metrics });
        self
    }

    /// With the counters of an [`Agent`](tidegate_http::Agent). Feature `http`.
    ///
    /// ```
    /// use tidegate::http::{AgentKey, HttpClient};
    /// use tidegate::prometheus::Snapshot;
    /// use tidegate::{KeyError, Loop};
    /// fn scrape(lp: &mut Loop, agent: AgentKey) -> Result<String, KeyError> {
    ///     let metrics = lp.agent_metrics(agent)?;
    ///     Ok(Snapshot::take(lp).with_agent("backend", metrics).text())
    /// }
    /// # let _ = scrape;
    /// ```
    #[cfg(feature = "http")]
    pub fn with_agent(mut self, name: &str, metrics: AgentMetrics) -> Snapshot {
        self.agents.push(AgentSnapshot { name: name.to_owned(), metrics });
        self
    }

    /// With the counters of a [`TlsServer`](tidegate_tls::TlsServer) or a
    /// [`TlsClient`](tidegate_tls::TlsClient), which belong to no loop; and of a server, when its
    /// certificates expire. Feature `tls`.
    ///
    /// ```
    /// use tidegate::Loop;
    /// use tidegate::prometheus::Snapshot;
    /// use tidegate::tls::TlsServer;
    /// fn scrape(lp: &mut Loop, tls: &TlsServer) -> String {
    ///     Snapshot::take(lp).with_tls("front", tls.stats(), tls.not_after()).text()
    /// }
    /// # let _ = scrape;
    /// ```
    #[cfg(feature = "tls")]
    pub fn with_tls(
        mut self,
        name: &str,
        stats: TlsStats,
        not_after: Option<std::time::SystemTime>,
    ) -> Snapshot {
        self.tls.push(TlsSnapshot { name: name.to_owned(), stats, not_after });
        self
    }

    /// The text that a scrape gets, with its last line `# EOF`.
    pub fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Nothing in here fails but the writer, and a string does not.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = To { encoder };
        of_loop(&mut to, &self.of_loop, self.handles)?;
        of_net(&mut to, &self.net)?;
        of_servers(&mut to, &self.servers)?;
        of_udp(&mut to, &self.udp)?;
        #[cfg(feature = "work")]
        of_work(&mut to, &self.work)?;
        #[cfg(feature = "tls")]
        of_tls(&mut to, &self.tls)?;
        pools::of_pools(&mut to, self.pools.iter().map(|p| (p.name.as_str(), &p.metrics)))?;
        #[cfg(feature = "async")]
        tasks::of_tasks(&mut to, &self.tasks)?;
        #[cfg(feature = "http")]
        http::of_servers(&mut to, &self.http)?;
        #[cfg(feature = "http")]
        http::of_agents(&mut to, self.agents.iter().map(|a| (a.name.as_str(), &a.metrics)))?;
        Ok(())
    }
}

fn of_loop(to: &mut To<'_>, m: &Metrics, handles: usize) -> fmt::Result {
    to.gauge("loop_handles", "Handles that are open.", handles)?;
    to.counter("loop_turns", "Turns begun.", m.turns)?;
    to.counter("loop_events", "Kernel events taken.", m.events)?;
    to.counter("loop_late_events", "Of these, found without waiting.", m.events_waiting)?;
    to.counter("loop_blocking_polls", "Polls that were allowed to wait.", m.blocking_polls)?;
    to.counter("loop_busy_polls", "Of these, found events before they waited.", m.busy_polls)?;
    to.seconds("loop_idle", "Time in the poller.", m.idle)?;
    to.gauge("loop_ready_depth_max", "Most handles queued at a poll.", m.ready_depth)?;
    to.counter("loop_carried_over", "Turns begun with handles queued.", m.carried_over)?;
    to.counter("loop_ticks_carried_over", "Turns that left ticks.", m.ticks_carried_over)?;
    let notified = m.notified_carried_over;
    to.counter("loop_notified_carried_over", "Turns that left notified handles.", notified)?;
    to.counter("loop_ticks_refused", "Ticks beyond the limit.", m.ticks_refused)?;
    to.counter("loop_table_full", "Handles refused.", m.table_full)?;
    to.counter("loop_unhandled_errors", "Errors nobody handled.", m.unhandled_errors)?;
    to.counter("loop_panics", "Panics out of run.", m.panics)?;
    let quantiles = [("0.5", 0.5), ("0.99", 0.99), ("1", 1.0)];
    let lengths = quantiles.map(|(name, q)| (name, m.turn_lengths.quantile(q).as_secs_f64()));
    let help = "How long turns worked, exact to a factor of two.";
    to.family("loop_turn_length", help, "quantile", Some(&Unit::Seconds), &lengths)?;
    let help = "The longest call of a handle; only with an observer.";
    to.seconds_now("loop_longest_call", help, m.longest_call)?;
    let phases = PHASES.map(|phase| (phase, m.phase(phase).as_secs_f64()));
    let phases = phases.map(|(phase, took)| (phase.to_string(), took));
    let help = "Time in each phase; only with an observer.";
    to.family("loop_phase", help, "phase", Some(&Unit::Seconds), &phases)
}

#[cfg(feature = "work")]
fn of_work(to: &mut To<'_>, w: &WorkStats) -> fmt::Result {
    to.gauge("work_threads", "Threads that were started.", w.threads)?;
    to.gauge("work_queued", "Jobs that wait for one.", w.queued)?;
    to.gauge("work_running", "Jobs that run.", w.running)?;
    to.counter("work_done", "Jobs that ran.", w.done)?;
    to.counter("work_panicked", "Of these, jobs that panicked.", w.panicked)?;
    to.counter("work_cancelled", "Jobs that were cancelled.", w.cancelled)
}

const PHASES: [Phase; 8] = [
    Phase::Pending,
    Phase::Idle,
    Phase::Prepare,
    Phase::Poll,
    Phase::Ready,
    Phase::Check,
    Phase::Closing,
    Phase::Timers,
];

fn of_net(to: &mut To<'_>, m: &NetMetrics) -> fmt::Result {
    to.gauge("net_sockets", "Connections that are there.", m.sockets)?;
    to.gauge("net_connecting", "Of these, being made.", m.connecting)?;
    to.gauge("net_paused", "Of these, paused.", m.paused)?;
    to.gauge("net_full", "Of these, waiting for a drain.", m.full)?;
    to.gauge("net_queued_bytes", "Bytes in our queues.", m.queued)?;
    to.gauge("net_held_bytes", "Memory that our queues hold.", m.held)?;
    to.gauge("net_deadlines", "Deadlines that wait to be looked at.", m.deadlines)?;
    to.counter("net_connected", "Connections we made.", m.connected)?;
    to.counter("net_closed", "Connections that are over.", m.closed)?;
    to.counter("net_failed", "Of these, by an error.", m.failed)?;
    to.counter("net_timed_out", "Of these, by a deadline.", m.timed_out)?;
    to.counter("net_unsent_bytes", "Bytes that never reached the kernel.", m.unsent)?;
    to.counter("net_read_bytes", "Bytes read.", m.bytes_read)?;
    to.counter("net_written_bytes", "Bytes the kernel took.", m.bytes_written)
}

fn of_servers(to: &mut To<'_>, servers: &[ServerMetrics]) -> fmt::Result {
    type Read = fn(&ServerMetrics) -> u64;
    let counters: [(&str, &str, Read); 13] = [
        ("server_accepted", "Connections taken from the kernel.", |s| s.stats.accepted),
        ("server_refused", "Of these, ended before their filters were ready.", |s| s.stats.refused),
        ("server_rejected", "Of these, not taken by the callback.", |s| s.stats.rejected),
        ("server_detached", "Of these, taken out for another loop.", |s| s.stats.detached),
        ("server_carried_over", "Turns with the accept budget spent.", |s| s.stats.carried_over),
        ("server_aborted", "Peers gone before they were accepted.", |s| s.stats.aborted),
        ("server_held", "Times without descriptors.", |s| s.stats.held),
        ("server_shed", "Closed for want of descriptors.", |s| s.stats.shed),
        ("server_dropped", "Closed at max_connections.", |s| s.stats.dropped),
        ("server_blocked", "Closed by the block list.", |s| s.stats.blocked),
        ("server_limited", "Closed by a limit of their peer.", |s| s.stats.limited),
        ("server_cut_off", "Open when the grace of a shutdown was over.", |s| s.stats.cut_off),
        ("server_errors", "Other failures of accept.", |s| s.stats.errors),
    ];
    for (name, help, read) in counters {
        to.of_each(name, help, MetricType::Counter, servers, read)?;
    }
    let open: Read = |s| s.stats.connections as u64;
    to.of_each("server_connections", "Connections that are open.", MetricType::Gauge, servers, open)
}

#[cfg(feature = "tls")]
fn of_tls(to: &mut To<'_>, all: &[TlsSnapshot]) -> fmt::Result {
    type Read = fn(&TlsStats) -> u64;
    let counters: [(&str, &str, Read); 6] = [
        ("tls_handshakes", "Handshakes that went well.", |s| s.handshakes),
        ("tls_resumed", "Of these, resumed ones.", |s| s.resumed),
        ("tls_tls12", "Of these, with TLS 1.2.", |s| s.tls12),
        ("tls_failed", "Handshakes that failed.", |s| s.failed),
        ("tls_broken", "Connections that failed after it.", |s| s.broken),
        ("tls_truncated", "Connections that ended without close_notify.", |s| s.truncated),
    ];
    if all.is_empty() {
        return Ok(());
    }
    for (name, help, read) in counters {
        let name = format!("tidegate_{name}");
        let mut metric = to.encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for of in all {
            let labels = [("tls", of.name.as_str())];
            let mut metric = metric.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&read(&of.stats), None)?;
        }
    }
    let (name, help) = ("tidegate_tls_failures", "Failures by their codes.");
    let mut metric = to.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for of in all {
        for (code, count) in &of.stats.by_code {
            let labels = [("tls", of.name.as_str()), ("code", code)];
            let mut metric = metric.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
    }
    let under_way: Vec<_> =
        all.iter().map(|of| (of.name.as_str(), of.stats.under_way as f64)).collect();
    to.family("tls_under_way", "Handshakes under way.", "tls", None, &under_way)?;
    let seconds = |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).ok();
    let expire = all.iter().filter_map(|of| Some((of.name.as_str(), seconds(of.not_after?)?)));
    let expire: Vec<_> = expire.map(|(name, at)| (name, at.as_secs_f64())).collect();
    let help = "When the first certificate expires, in seconds since 1970.";
    to.family("tls_certificate_not_after", help, "tls", Some(&Unit::Seconds), &expire)
}

fn of_udp(to: &mut To<'_>, sockets: &[UdpMetrics]) -> fmt::Result {
    type Read = fn(&UdpMetrics) -> u64;
    let counters: [(&str, &str, Read); 16] = [
        ("udp_received", "Datagrams delivered.", |u| u.stats.received),
        ("udp_received_bytes", "Their bytes.", |u| u.stats.received_bytes),
        ("udp_receive_calls", "System calls that received.", |u| u.stats.receive_calls),
        ("udp_sent", "Datagrams the kernel took.", |u| u.stats.sent),
        ("udp_sent_bytes", "Their bytes.", |u| u.stats.sent_bytes),
        ("udp_send_calls", "System calls that sent.", |u| u.stats.send_calls),
        ("udp_runs", "Runs that left in one piece.", |u| u.stats.runs),
        ("udp_truncated", "Datagrams that were cut.", |u| u.stats.truncated),
        ("udp_blocked", "Datagrams of the block list.", |u| u.stats.blocked),
        ("udp_refused", "Datagrams beyond queue_limit.", |u| u.stats.refused),
        ("udp_dropped_oldest", "Datagrams that gave way.", |u| u.stats.dropped_oldest),
        ("udp_send_errors", "Datagrams that could not be sent.", |u| u.stats.send_errors),
        ("udp_transport_errors", "Errors of the network.", |u| u.stats.transport_errors),
        ("udp_stalls", "Times without room in the kernel.", |u| u.stats.stalls),
        ("udp_carried_over", "Turns with the budget spent.", |u| u.stats.carried_over),
        ("udp_kernel_drops", "Datagrams the kernel dropped.", |u| u.queues.drops.unwrap_or(0)),
    ];
    let gauges: [(&str, &str, Read); 4] = [
        ("udp_waiting", "Datagrams in our queue.", |u| u.waiting.datagrams as u64),
        ("udp_waiting_bytes", "Their bytes.", |u| u.waiting.bytes as u64),
        ("udp_kernel_receive_bytes", "Memory of what we have not received.", |u| {
            u.queues.receive.unwrap_or(0)
        }),
        ("udp_kernel_send_bytes", "Memory of what has not left the host.", |u| {
            u.queues.send.unwrap_or(0)
        }),
    ];
    let all = counters.map(|c| (c, MetricType::Counter));
    for ((name, help, read), kind) in all.into_iter().chain(gauges.map(|g| (g, MetricType::Gauge)))
    {
        let of = sockets.iter().map(|u| {
            let local = u.local.map_or(String::new(), |a| a.to_string());
            ([("socket", local), ("id", Id::udp(u.key).to_string())], read(u))
        });
        to.labelled(name, help, kind, of)?;
    }
    Ok(())
}
