//! What the loop counts, always and cheaply.
#![forbid(unsafe_code)]

/// Counters of one loop since it was made. Plain numbers; take two and
/// subtract.
///
/// ```
/// let lp = tidegate_loop::Loop::new()?;
/// assert_eq!(lp.metrics().turns, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns begun.
    pub turns: u64,
    /// Kernel events taken.
    pub events: u64,
    /// Polls that were allowed to block.
    pub blocking_polls: u64,
    /// Turns that began with ready handles left over by a budget.
    pub carried_over: u64,
    /// Turns that ended with ticks left over by the tick budget.
    pub ticks_carried_over: u64,
    /// Handles refused because the table was full.
    pub table_full: u64,
}
