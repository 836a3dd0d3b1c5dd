//! The deadlines of a request: at most one timer for all of them, which is moved when an earlier
//! deadline begins, and looks when it comes up.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::{Cx, Key};
use tidegate_net::Net;

use crate::agent::state::{CLIENT, Request, nanos, socket_of, with_request};
use crate::client::error::{Deadline, RequestCause, RequestStage};
use crate::requests::ending::fail;

impl Request {
    /// The first deadline of the stage that it is in. `latest`: when the last byte moved at the
    /// latest.
    fn deadline(&self, latest: u64) -> Option<(u64, Deadline, Duration)> {
        let t = &self.timeouts;
        let of_stage = match self.stage {
            RequestStage::Connect => Some((self.since, Deadline::Connect, t.connect)),
            RequestStage::Head => Some((self.since, Deadline::Head, t.head)),
            RequestStage::Send => Some((latest, Deadline::Idle, t.idle)),
            RequestStage::Body if !self.paused => Some((latest, Deadline::Idle, t.idle)),
            _ => None,
        };
        let all = [of_stage, Some((self.started, Deadline::Total, t.total))];
        let set = all.into_iter().flatten().filter(|(_, _, after)| !after.is_zero());
        set.map(|(from, which, after)| (from.saturating_add(nanos(after)), which, after))
            .min_by_key(|(at, ..)| *at)
    }
}

/// A stage begins.
pub(crate) fn enter(cx: &mut Cx<'_>, key: Key, stage: RequestStage) {
    with_request(cx, key, |r, d| {
        let now = nanos(d.clock());
        (r.stage, r.since, r.moved) = (stage, now, now);
    });
    arm(cx, key);
}

/// Sees to it that a timer comes up at the first deadline, or before.
pub(crate) fn arm(cx: &mut Cx<'_>, key: Key) {
    let found = with_request(cx, key, |r, d| {
        let now = nanos(d.clock());
        let (at, ..) = r.deadline(d.latest(r.moved))?;
        if r.timer.is_some() && r.armed <= at {
            return None;
        }
        r.armed = at;
        Some((r.timer, Duration::from_nanos(at.saturating_sub(now))))
    });
    let Some((timer, after)) = found.flatten() else { return };
    if let Some(timer) = timer {
        if cx.timer_reset(timer, after).is_ok() {
            return;
        }
    }
    let timer = cx.internal_timer(after, move |cx, _| come_up(cx, key));
    with_request(cx, key, |r, _| r.timer = Some(timer));
}

fn come_up(cx: &mut Cx<'_>, key: Key) {
    let written = socket_of(cx, key).map_or(0, |s| cx.socket(s).bytes_written());
    let due = with_request(cx, key, |r, d| {
        r.timer = None;
        let now = nanos(d.clock());
        if r.stage == RequestStage::Send && r.written != written {
            // Some of it went out, at a time that was not noted.
            (r.written, r.moved) = (written, now);
        }
        let (at, which, after) = r.deadline(d.latest(r.moved))?;
        (at <= now).then_some((which, after))
    });
    match due.flatten() {
        Some((which, after)) => fail(cx, key, RequestCause::TimedOut(which, after)),
        None => arm(cx, key),
    }
}

/// A byte moved.
pub(crate) fn touch(cx: &mut Cx<'_>, key: Key) {
    let (layer, d) = cx.layer(&CLIENT);
    let moment = d.moment();
    if let Some(r) = layer.request(&d, key) {
        r.moved = moment;
    }
}
