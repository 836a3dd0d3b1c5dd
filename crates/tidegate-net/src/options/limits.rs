//! [`NetLimits`]: what bounds all servers and connections of a loop. [`UdpLimits`]: the same for
//! its UDP sockets.
#![forbid(unsafe_code)]

tidegate_loop::layer_limits! {
    /// The limits of a loop's servers and connections. Read them with
    /// [`Net::net_limits`](crate::Net::net_limits).
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, NetLimits};
    /// let limits = NetLimits::new().accept_budget(8).write_limit(1 << 20);
    /// let mut lp = Loop::builder().limits(limits).build()?;
    /// assert_eq!(lp.net_limits().accept_budget, 8);
    /// let e = Loop::builder().limits(NetLimits::new().accept_budget(0)).build().unwrap_err();
    /// assert_eq!(e.to_string(), "accept_budget of net is 0: nothing could ever run; use 1 or more");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub struct NetLimits of "net" {
        /// Connections that one listener accepts in one turn; default 64. The rest
        /// stay in the kernel's queue, the listener is queued again, the next poll
        /// does not block, and the carry-over is counted. 1 is what libuv does
        /// since 1.45; `u32::MAX` is what it did before.
        accept_budget: u32 = 64,
        /// Bytes that one connection reads in one turn; default 1 MiB. Then it is
        /// queued again behind the others.
        read_budget: usize = 1 << 20,
        /// Bytes that one connection flushes from its queue in one turn; default 1 MiB.
        write_budget: usize = 1 << 20,
        /// Bytes that one connection may have queued before a write; default 64 MiB. A
        /// write beyond it destroys that connection.
        write_limit: usize = 64 << 20,
        /// Bytes that all connections of the loop together may have queued before a write; default
        /// 1 GiB. Beyond it, what the kernel takes at once still goes out. A write that has to be
        /// queued returns `Full`, and of the connections that got `Full`, that have ended, that
        /// queue answers of a filter, or that keep bytes that were received (given back, or behind
        /// filters), those that hold most are destroyed until the rest fits; among more than 64,
        /// those that held most when all were looked at last. A connection that writes on after
        /// `Full` is destroyed itself.
        buffered_limit: usize = 1 << 30,
    }
}

tidegate_loop::layer_limits! {
    /// The limits of a loop's UDP sockets. What bounds one socket's queue is an option of the socket:
    /// [`UdpOptions::queue_limit`](crate::UdpOptions::queue_limit).
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::UdpLimits;
    /// let lp = Loop::builder().limits(UdpLimits::new().datagram_budget(256)).build()?;
    /// # let _ = lp;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub struct UdpLimits of "udp" {
        /// Datagrams that one socket receives in one turn; default 64. The rest stay in the
        /// kernel's queue, the next poll does not block, and the carry-over is counted.
        datagram_budget: u32 = 64,
        /// Bytes that one socket receives in one turn; default 1 MiB. As above.
        receive_budget: usize = 1 << 20,
        /// What the queues of all sockets of the loop together may hold; default 64 MiB. A datagram
        /// beyond it is treated as one beyond the socket's own `queue_limit`.
        queued_limit: usize = 64 << 20,
    }
}
