//! A task begins: its handle, its place, its first wake.
#![forbid(unsafe_code)]

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;

use tidegate_loop::event::Readiness;
use tidegate_loop::{Cx, TableFull};

use crate::event::TaskEvent;
use crate::options::TaskOptions;
use crate::state::janitor::home;
use crate::state::job::Boxed;
use crate::state::layer::ASYNC;
use crate::state::task::TaskState;
use crate::tasks::run::TASK;
use crate::wake::ticket::Ticket;
use crate::wake::waiter::{TaskAt, Waiter};

/// Begins a task, which is polled later: in this ready pass, if one runs, in the order of wakes. If
/// it is wanted, its result is kept.
pub(crate) fn spawn<F>(
    cx: &mut Cx<'_>,
    options: TaskOptions,
    future: F,
    is_wanted: bool,
    spawned: &'static Location<'static>,
) -> Result<(Arc<Ticket>, TaskAt), TableFull>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let home = home(cx);
    let (layer, mut driver) = cx.layer(&ASYNC);
    let at = layer.tasks.vacant_key();
    let made = home.and_then(|home| Ok((home, driver.insert(&TASK, at as u64)?)));
    let (home, mut handle) = match made {
        Ok(made) => made,
        Err(full) => {
            layer.metrics.refused += 1;
            cx.driver().bury(future);
            return Err(full);
        }
    };
    let key = handle.key();
    // In the ready queue it is then a handle that is ready, not one with work of its own: without
    // the flag `keep_alive` it does not keep the loop alive.
    handle.assume(Readiness::READABLE);
    handle.set_ref(options.keep_alive);
    let since = handle.nanos();
    let ticket = Ticket::notified(home, key);
    let job = Box::pin(Boxed::new(future, Waker::from(ticket.clone())));
    let state = TaskState {
        key,
        job: Some(job),
        ticket: ticket.clone(),
        joiner: Waiter::Nobody,
        end: None,
        is_wanted,
        catch_panics: options.catch_panics,
        name: options.name,
        spawned,
        polls: 0,
        since,
    };
    handle.emit(|| TaskEvent::Spawned { task: state.info() });
    layer.tasks.insert(state);
    layer.metrics.spawned += 1;
    layer.metrics.tasks += 1;
    Ok((ticket, TaskAt { key, at }))
}
