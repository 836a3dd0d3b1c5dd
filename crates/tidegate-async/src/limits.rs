//! [`AsyncLimits`]: what bounds one poll, and what waits for futures.
#![forbid(unsafe_code)]

tidegate_loop::layer_limits! {
    /// The limits of a loop's tasks. How many tasks are polled in one turn is
    /// [`notify_budget`](tidegate_loop::Limits::notify_budget).
    ///
    /// ```
    /// use tidegate_async::AsyncLimits;
    /// use tidegate_loop::Loop;
    /// let lp = Loop::builder().limits(AsyncLimits::new().operations(32)).build()?;
    /// # let _ = lp;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub struct AsyncLimits of "async" {
        /// Operations on sockets that one poll of a task may do; default 128. The next one waits,
        /// and the task is polled again in the next turn.
        operations: u32 = 128,
        /// Bytes that one poll may read and write; default 1 MiB. As above.
        poll_bytes: usize = 1 << 20,
        /// Connections that a listener has accepted and no task has taken; default 16. Then it
        /// accepts no more until one is taken.
        accepted: usize = 16,
        /// Datagrams that a UDP socket has received and no task has taken; default 64. Then it
        /// receives no more until they are taken.
        datagrams: usize = 64,
    }
}
