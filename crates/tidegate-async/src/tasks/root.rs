//! The future of `block_on`: polled between turns, not in them, so that it may borrow what it
//! likes.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use tidegate_loop::kind::Kind;
use tidegate_loop::{AsCx, HandleInfo, KeyError, Loop, TableFull};

use crate::error::block_on::BlockOnError;
use crate::state::janitor::home;
use crate::state::layer::ASYNC;
use crate::sys::current::{self, Frame, Polled};
use crate::tasks::run::TASK;
use crate::wake::ticket::Ticket;
use crate::wake::waiter::ROOT as AT;

/// It keeps the loop alive and makes it wait; a wake is only noted. Nobody closes it.
static ROOT: Kind = Kind::new("block_on", ASYNC.owner())
    .close(|_, _, _| Err(KeyError::Closed))
    .describe(|_, _, _| "the future of block_on".into());

/// The handle of the future, for as long as it is polled.
struct Root<'a> {
    lp: &'a mut Loop,
    ticket: Arc<Ticket>,
}

impl<'a> Root<'a> {
    fn open(lp: &'a mut Loop) -> Result<Root<'a>, TableFull> {
        let mut cx = lp.cx();
        let home = home(&mut cx)?;
        let (layer, mut driver) = cx.layer(&ASYNC);
        let key = driver.insert(&ROOT, 0)?.key();
        let ticket = Ticket::notified(home, key);
        layer.root = Some(ticket.clone());
        Ok(Root { lp, ticket })
    }

    /// Calls `f` with the loop beside it.
    fn enter<R>(&mut self, polled: Option<Polled<'_>>, f: impl FnOnce() -> R) -> R {
        let mut cx = self.lp.cx();
        let limits = &cx.layer(&ASYNC).0.limits;
        let limits = (limits.operations, limits.poll_bytes);
        let (task, at) = polled.map_or((None, 0), |p| (Some(p.key), p.at));
        let mut nothing = None;
        let mut frame = Frame::of_poll(cx, task, at, limits, &mut nothing);
        if let Some(polled) = polled {
            frame.set_waker(polled.waker);
        }
        current::enter(&mut frame, f)
    }

    /// Whether nothing can wake the future: no handle has work or waits for the kernel or for time,
    /// and every waker of a task that waits is kept by something on this thread that needs one of
    /// these tasks to go on.
    fn is_stalled(&mut self) -> bool {
        if self.lp.backend_timeout().is_some() {
            return false;
        }
        let mut cx = self.lp.cx();
        let alive = cx.alive();
        let layer = cx.layer(&ASYNC).0;
        // Itself, and tasks.
        if alive > 1 + layer.metrics.tasks || layer.has_waiters() {
            return false;
        }
        // Its own two: here, and in the layer; and one in the waker that it is polled with.
        let of_root = Arc::strong_count(&self.ticket).saturating_sub(3);
        let wakers: usize = layer.tasks.iter().map(|(_, task)| task.wakers()).sum();
        let kept = self.ticket.home.kept_here.load(Ordering::Relaxed);
        // Tasks without the flag make room in the count for other handles.
        of_root + wakers <= kept && self.alive().iter().all(|h| h.kind == TASK.name())
    }

    /// What keeps the loop alive, apart from this.
    fn alive(&mut self) -> Vec<HandleInfo> {
        let mut alive = self.lp.why_alive();
        alive.retain(|h| h.key != self.ticket.key);
        alive
    }
}

impl Drop for Root<'_> {
    fn drop(&mut self) {
        let mut cx = self.lp.cx();
        let (layer, mut driver) = cx.layer(&ASYNC);
        layer.root = None;
        if let Some(handle) = driver.handle(ASYNC.owner(), self.ticket.key) {
            handle.free();
        }
    }
}

pub(crate) fn block_on<F: Future>(lp: &mut Loop, future: F) -> Result<F::Output, BlockOnError> {
    let mut root = Root::open(lp).map_err(std::io::Error::from)?;
    let waker = Waker::from(root.ticket.clone());
    let mut future = pin!(Some(future));
    let done = turn(&mut root, &waker, future.as_mut());
    // Its destructors find the loop.
    root.enter(None, || future.set(None));
    done
}

/// Polls and turns, one after the other.
fn turn<F: Future>(
    root: &mut Root<'_>,
    waker: &Waker,
    mut future: Pin<&mut Option<F>>,
) -> Result<F::Output, BlockOnError> {
    let polled = Polled { key: root.ticket.key, at: AT, waker };
    let mut stopped = false;
    loop {
        let mut woken = false;
        if root.ticket.schedule.begin() {
            let cx = &mut Context::from_waker(waker);
            let poll = || future.as_mut().as_pin_mut().map(|future| future.poll(cx));
            if let Some(Poll::Ready(value)) = root.enter(Some(polled), poll) {
                return Ok(value);
            }
            woken = root.ticket.schedule.rest();
        }
        if stopped {
            return Err(BlockOnError::Stopped);
        } else if woken {
            root.lp.run_nowait()?;
        } else if root.is_stalled() {
            return Err(BlockOnError::Stalled { alive: root.alive() });
        } else {
            root.lp.run_once()?;
        }
        stopped = root.lp.was_stopped();
    }
}
