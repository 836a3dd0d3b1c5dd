//! [`Layer`]: what a loop keeps of its futures.
#![forbid(unsafe_code)]

use std::sync::Arc;

use slab::Slab;
use tidegate_loop::kind::{LayerId, LayerLimits};
use tidegate_loop::{Cx, LimitError};
use tidegate_net::SocketKey;

use crate::error::join::drop_caught;
use crate::limits::AsyncLimits;
use crate::metrics::TaskMetrics;
use crate::state::answer::Answers;
use crate::state::net::{ListenerState, SocketState, UdpState};
use crate::state::task::TaskState;
use crate::wake::home::{Home, Note};
use crate::wake::ticket::Ticket;
use crate::wake::waiter::TaskAt;

/// The layer of this crate.
pub(crate) static ASYNC: LayerId<Layer> = LayerId::new(Layer::default);

#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) tasks: Slab<TaskState>,
    pub(crate) sockets: Slab<SocketState>,
    pub(crate) listeners: Slab<ListenerState>,
    pub(crate) udp: Slab<UdpState>,
    pub(crate) answers: Answers,
    pub(crate) home: Option<Arc<Home>>,
    /// Notes that are acted on; empty between two calls.
    pub(crate) notes: Vec<Note>,
    /// The future of `block_on`, while it runs.
    pub(crate) root: Option<Arc<Ticket>>,
    pub(crate) limits: AsyncLimits,
    pub(crate) metrics: TaskMetrics,
}

impl LayerLimits for AsyncLimits {
    fn check(&self) -> Result<(), LimitError> {
        self.none_is_zero()
    }

    fn set(&self, cx: &mut Cx<'_>) {
        cx.layer(&ASYNC).0.limits = self.clone();
    }
}

impl Layer {
    /// A task, unless it is gone.
    #[inline]
    pub(crate) fn task(&mut self, task: TaskAt) -> Option<&mut TaskState> {
        self.tasks.get_mut(task.at).filter(|t| t.key == task.key)
    }

    /// A connection, unless its place has another or none.
    #[inline]
    pub(crate) fn socket(&mut self, key: SocketKey, at: usize) -> Option<&mut SocketState> {
        self.sockets.get_mut(at).filter(|s| s.key == Some(key))
    }

    /// What wakes a task, or the future of `block_on`.
    pub(crate) fn ticket(&mut self, task: TaskAt) -> Option<&Ticket> {
        if self.root.as_ref().is_some_and(|root| root.key == task.key) {
            return self.root.as_deref();
        }
        self.task(task).map(|t| &*t.ticket)
    }

    /// Whether a value belongs to this loop.
    #[inline]
    pub(crate) fn is_home(&self, home: &Arc<Home>) -> bool {
        self.home.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, home))
    }

    /// Whether a future waits for something that is no task.
    pub(crate) fn has_waiters(&self) -> bool {
        let sockets = || self.sockets.iter().any(|(_, s)| s.reader.waits() || s.writer.waits());
        let udp = || self.udp.iter().any(|(_, u)| u.reader.waits() || u.writer.waits());
        let listeners = || self.listeners.iter().any(|(_, l)| l.waiter.waits());
        self.answers.has_waiters() || sockets() || udp() || listeners()
    }
}

/// The loop ends. The destructors of futures find no loop any more; the panic of one does not keep
/// the others.
impl Drop for Layer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.end();
        }
        let mut panic = None;
        for task in self.tasks.drain() {
            if let Err(payload) = drop_caught(task) {
                panic.get_or_insert(payload);
            }
        }
        match panic {
            Some(payload) if !std::thread::panicking() => std::panic::resume_unwind(payload),
            Some(payload) => drop(drop_caught(payload)),
            None => {}
        }
    }
}
