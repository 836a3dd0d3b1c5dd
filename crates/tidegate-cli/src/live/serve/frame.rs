//! [`Frame`]: what all pages get 20 times a second, beside the turns: made once for all of them.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::net::AcceptQueue;
use tidegate::observe::Id;

use super::verdict::Verdict;
use crate::live::loops::looks::{ConnLook, Look};
use crate::live::loops::servers::Opened;
use crate::live::loops::shared::{Doing, Now, Peer, Shared};
use crate::live::model::follow::Follower;
use crate::live::model::message;

/// Every so many frames come the counters.
const METRICS: u64 = 20;

/// Makes the frames.
#[derive(Default)]
pub(crate) struct Frames {
    made: u64,
    verdict: Verdict,
}

impl Frames {
    /// The next one, as server-sent events. Turns are read after what there is to say of the last
    /// call that blocked, so that its turn is not said later.
    pub(crate) fn next(
        &mut self,
        shared: &Shared,
        servers: &[Opened],
        follower: &mut Follower,
    ) -> String {
        let mut text = String::new();
        let queues: Vec<AcceptQueue> =
            servers.iter().map(|s| s.gauge.read().unwrap_or_default()).collect();
        let depths: Vec<_> = servers.iter().zip(&queues).map(|(s, q)| (s.name, q.depth)).collect();
        if let Some(verdict) = self.verdict.tick(shared, &depths) {
            message::event(&mut text, "verdict", None, &verdict);
        }
        let doing = *shared.doing();
        message::event(&mut text, "doing", None, &of_doing(&shared.now(), shared.is_stopped()));
        let peers: HashMap<SocketAddr, Peer> =
            shared.peers().iter().map(|peer| (peer.local, *peer)).collect();
        {
            let look = shared.look();
            message::event(&mut text, "door", None, &door(servers, &queues, &look));
            message::event(&mut text, "conns", None, &conns(&look, &peers));
            if self.made % METRICS == 0 {
                message::event(&mut text, "metrics", None, &metrics(&look, &doing));
            }
        }
        // Nobody reads them without a page.
        if shared.is_watched() {
            follower.follow(&shared.tape, || shared.kinds().clone());
        }
        let partial = follower.so_far().filter(|_| doing.stopped.is_some());
        let partial = partial.map_or(Value::Null, message::turn);
        if !partial.is_null() || self.made % METRICS == 0 {
            message::event(&mut text, "partial", None, &partial);
        }
        self.made += 1;
        text
    }

    /// What a new page gets of what was said before.
    pub(crate) fn last_verdict(&self) -> Option<&Value> {
        self.verdict.last()
    }
}

fn millis(since: Option<Instant>) -> Value {
    since.map_or(Value::Null, |at| json!(at.elapsed().as_millis() as u64))
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

fn of_doing(now: &Now, stopped: bool) -> Value {
    let (state, since, who) = match now {
        Now::Starting => ("starts", None, None),
        Now::Waits(since) => ("waits", Some(*since), None),
        Now::Calls(who, kind, since) => ("calls", Some(*since), Some((who, kind))),
        Now::Stopped(since) => ("stopped", Some(*since), None),
    };
    json!({
        "state": state, "ms": millis(since), "stopped": stopped,
        "who": who.map(|(id, _)| id.to_string()), "kind": who.map(|(_, kind)| kind),
    })
}

fn door(servers: &[Opened], queues: &[AcceptQueue], look: &Look) -> Value {
    let rows: Vec<Value> = servers
        .iter()
        .zip(queues)
        .enumerate()
        .map(|(n, (server, queue))| {
            let counted = look.servers.get(n);
            json!({
                "server": Id::server(server.key).to_string(), "name": server.name,
                "at": server.at.to_string(), "depth": queue.depth, "limit": queue.limit,
                "accepted": counted.map(|c| c.accepted),
                "carried_over": counted.map(|c| c.carried_over),
                "refused": counted.map(|c| c.refused),
                "aborted": counted.map(|c| c.aborted),
                "connections": counted.map(|c| c.connections),
            })
        })
        .collect();
    json!(rows)
}

fn conns(look: &Look, peers: &HashMap<SocketAddr, Peer>) -> Value {
    let row = |c: &ConnLook| {
        let (q, m) = (&c.queues, &c.metrics);
        let peer = c.remote.and_then(|remote| peers.get(&remote));
        json!({
            "id": c.id.to_string(), "server": c.server,
            "local": c.local.map(|a| a.to_string()), "remote": c.remote.map(|a| a.to_string()),
            "ours": q.ours, "unsent": q.unsent, "unacked": q.unacknowledged, "receive": q.receive,
            "peer_window": q.peer_window, "cwnd": q.congestion_window,
            "rtt_us": q.rtt.map(|d| d.as_micros() as u64), "retrans": q.retransmits,
            "paused": m.paused, "full": m.full, "read": m.bytes_read, "written": m.bytes_written,
            "peer_receive": peer.and_then(|p| p.receive), "peer_read": peer.map(|p| p.read),
        })
    };
    let list: Vec<Value> = look.connections.iter().map(row).collect();
    json!({ "age_ms": millis(look.taken), "list": list, "more": look.more })
}

fn metrics(look: &Look, doing: &Doing) -> Value {
    let m = &look.metrics;
    let longest = doing.longest.map(|slow| {
        json!({ "who": slow.who.to_string(), "kind": slow.kind, "turn": slow.turn,
                "took": nanos(slow.took) })
    });
    json!({
        "age_ms": millis(look.taken), "turns": m.turns, "events": m.events,
        "idle": nanos(m.idle), "carried_over": m.carried_over,
        "p50": nanos(m.turn_lengths.quantile(0.5)), "p99": nanos(m.turn_lengths.quantile(0.99)),
        "longest": longest, "sockets": look.net.sockets, "closed": look.net.closed,
        "failed": look.net.failed, "queued": look.net.queued,
    })
}
