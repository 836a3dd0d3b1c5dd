//! [`StreamLimits`]: what bounds all streams and pipes of a loop.
#![forbid(unsafe_code)]

tidegate_loop::layer_limits! {
    /// The limits of a loop's own streams, those over a [`Source`](crate::Source) or a
    /// [`Sink`](crate::Sink), and of pipes. Connections have theirs in `NetLimits`. Read them with
    /// [`Streams::stream_limits`](crate::Streams::stream_limits).
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_stream::{StreamLimits, Streams};
    /// let limits = StreamLimits::new().read_budget(64 << 10);
    /// let mut lp = Loop::builder().limits(limits).build()?;
    /// assert_eq!(lp.stream_limits().read_budget, 64 << 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub struct StreamLimits of "stream" {
        /// Bytes that one stream delivers in one turn; default 1 MiB. Then it is queued again
        /// behind the others.
        read_budget: usize = 1 << 20,
        /// Bytes that one stream gives its sink in one turn; default 1 MiB.
        write_budget: usize = 1 << 20,
        /// Bytes that a source may push beyond what is read; default 64 MiB. A push beyond it
        /// ends the stream.
        read_limit: usize = 64 << 20,
        /// Bytes that one stream may have queued before a write, and that a transform may make of
        /// one chunk; default 64 MiB. A write beyond it ends the stream.
        write_limit: usize = 64 << 20,
    }
}
