//! [`Look`]: what the studied loop says of itself at intervals: queues of its connections, counters
//! of its servers, its own.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Instant;

use tidegate::metrics::Metrics;
use tidegate::net::{NetMetrics, Queues, SocketMetrics};
use tidegate::observe::Id;
use tidegate::prelude::*;

use super::servers::Opened;

/// Connections that are asked, each by three system calls.
const CONNECTIONS: usize = 32;

#[derive(Default)]
pub(crate) struct Look {
    /// `None`: there was no look yet.
    pub(crate) taken: Option<Instant>,
    pub(crate) connections: Vec<ConnLook>,
    /// Connections that were not asked.
    pub(crate) more: usize,
    pub(crate) servers: Vec<ServerLook>,
    pub(crate) metrics: Metrics,
    pub(crate) net: NetMetrics,
}

#[derive(Clone, Debug)]
pub(crate) struct ConnLook {
    pub(crate) id: Id,
    pub(crate) server: &'static str,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) queues: Queues,
    pub(crate) metrics: SocketMetrics,
}

#[derive(Clone, Copy)]
pub(crate) struct ServerLook {
    pub(crate) accepted: u64,
    pub(crate) carried_over: u64,
    pub(crate) refused: u64,
    pub(crate) aborted: u64,
    pub(crate) connections: usize,
}

/// Looks at these servers and their connections: those with the most bytes first.
pub(crate) fn look(cx: &mut Cx<'_>, servers: &[Opened]) -> Look {
    let (mut found, mut counted) = (Vec::new(), Vec::new());
    for opened in servers {
        let keys = cx.server(opened.key).connections();
        found.extend(keys.into_iter().map(|key| (opened.name, key)));
        let stats = cx.server(opened.key).stats().unwrap_or_default();
        counted.push(ServerLook {
            accepted: stats.accepted,
            carried_over: stats.carried_over,
            refused: stats.held + stats.shed + stats.dropped,
            aborted: stats.aborted,
            connections: stats.connections,
        });
    }
    found.sort_by_cached_key(|(_, key)| std::cmp::Reverse(cx.socket(*key).buffered()));
    let more = found.len().saturating_sub(CONNECTIONS);
    found.truncate(CONNECTIONS);
    let connections = found.into_iter().filter_map(|(server, key)| {
        let mut s = cx.socket(key);
        Some(ConnLook {
            id: Id::connection(key),
            server,
            local: s.local_addr().ok(),
            remote: s.peer_addr(),
            queues: s.queues().ok()?,
            metrics: s.metrics().ok()?,
        })
    });
    let connections = connections.collect();
    Look {
        taken: Some(Instant::now()),
        connections,
        more,
        servers: counted,
        metrics: cx.metrics(),
        net: cx.net_metrics(),
    }
}
