//! What the rules need and no event tells: it is asked of the loop and of the kernel.
#![forbid(unsafe_code)]

use super::super::Id;
use super::Doctor;
use super::events::Handle;
use super::rules::Kernel;
use crate::net::Net;
use tidegate_loop::Cx;

/// Connections that are asked about at once.
const ASKED: usize = 32;

impl Doctor {
    pub(super) fn ask(&self, cx: &mut Cx<'_>) {
        let at = cx.now();
        let full = self.0.borrow().rules.full_ones(ASKED);
        let kernel: Vec<_> =
            full.into_iter().filter_map(|of| Some((of, kernel(cx, of)?))).collect();
        let mut doors: Vec<(Handle, u32, u32)> = Vec::new();
        for server in cx.servers() {
            if let Ok(queue) = cx.server(server.key).accept_queue() {
                if let (Some(depth), Some(limit)) = (queue.depth, queue.limit) {
                    doors.push((Id::server(server.key).into(), depth, limit));
                }
            }
        }
        let errors = cx.metrics().unhandled_errors;
        let mut state = self.0.borrow_mut();
        for (of, kernel) in kernel {
            state.rules.kernel(at, &of, kernel);
        }
        for (of, depth, limit) in doors {
            state.rules.accept_queue(at, &of, depth, limit);
        }
        state.rules.unhandled(at, errors);
    }
}

fn kernel(cx: &mut Cx<'_>, of: Handle) -> Option<Kernel> {
    let queues = cx.socket(of.socket?).queues().ok()?;
    Some(Kernel {
        peer_window: queues.peer_window,
        sent_again: queues.retransmits,
        congestion_segments: queues.congestion_segments,
    })
}
