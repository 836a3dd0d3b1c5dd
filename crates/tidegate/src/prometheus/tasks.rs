//! The metrics of tasks. Feature `async`.
#![forbid(unsafe_code)]

use std::fmt;

use tidegate_async::TaskMetrics;

use crate::prometheus::writer::To;

pub(super) fn of_tasks(to: &mut To<'_>, m: &TaskMetrics) -> fmt::Result {
    to.gauge("tasks", "Tasks that are not over.", m.tasks)?;
    to.counter("tasks_spawned", "Tasks spawned.", m.spawned)?;
    to.counter("tasks_refused", "Tasks refused: the table was full.", m.refused)?;
    to.counter("tasks_finished", "Tasks that finished.", m.finished)?;
    to.counter("tasks_cancelled", "Tasks that were cancelled.", m.cancelled)?;
    to.counter("tasks_panicked", "Tasks that panicked.", m.panicked)?;
    to.counter("tasks_polls", "Polls of tasks.", m.polls)?;
    to.counter("tasks_woken_while_polled", "Polls that came a turn later.", m.woken_while_polled)?;
    to.counter("tasks_budget_spent", "Operations that waited a turn.", m.budget_spent)?;
    to.seconds_now("tasks_longest_poll", "The longest poll, observed.", m.longest_poll)
}
