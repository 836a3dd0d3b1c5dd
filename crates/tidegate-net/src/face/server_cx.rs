//! What a user may do with a server: pause, resume, limit, close, shut down, ask.
#![forbid(unsafe_code)]

#[cfg(feature = "signal")]
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
#[cfg(feature = "signal")]
use std::rc::Rc;
use std::time::Duration;

use tidegate_loop::{Cx, KeyError};

use crate::callbacks::contexts::ServerCx;
use crate::endpoint::Endpoint;
use crate::gauge::AcceptGauge;
use crate::key::SocketKey;
use crate::metrics::ServerStats;
use crate::options::listen::AtLimit;
use crate::server::control;
use crate::shutdown_report::ShutdownReport;
use crate::sys::AcceptQueue;

impl ServerCx<'_> {
    /// Stops accepting now. The kernel resets the connections that still wait in its queue.
    /// Accepted connections stay open, and after the last of them comes the server's `on_close`.
    pub fn close(&mut self) -> Result<(), KeyError> {
        control::close(&mut self.cx, self.key)
    }

    /// Stops accepting for now. Connections wait in the kernel's queue, up to the backlog.
    pub fn pause(&mut self) -> Result<(), KeyError> {
        control::pause(&mut self.cx, self.key)
    }

    /// Goes on accepting.
    pub fn resume(&mut self) -> Result<(), KeyError> {
        control::unpause(&mut self.cx, self.key)
    }

    /// How many connections of the server may be open at once from now on, and what happens to the
    /// next: as the option [`max_connections`](crate::ListenOptions::max_connections), for a server
    /// that is open. `None`: no limit. A higher limit accepts those that wait. A lower one closes
    /// no connection; the next is accepted when enough have closed.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{AtLimit, ListenOptions, Net};
    /// let mut lp = Loop::new()?;
    /// let options = ListenOptions::new("127.0.0.1:0").max_connections(100, AtLimit::Hold);
    /// let server = lp.listen(options, |conn| conn.reject())?;
    /// lp.server(server).set_max_connections(1_000, AtLimit::Hold)?;
    /// lp.server(server).set_max_connections(None, AtLimit::Drop)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_max_connections(
        &mut self,
        connections: impl Into<Option<usize>>,
        beyond: AtLimit,
    ) -> Result<(), KeyError> {
        control::set_max_connections(&mut self.cx, self.key, connections.into(), beyond)
    }

    /// Closes the server gracefully. It stops accepting and calls each connection's
    /// [`on_shutdown`](crate::Handler::on_shutdown), which by default ends it after what is queued.
    /// After `grace` it closes those that are left
    /// ([`Timeout::Shutdown`](crate::Timeout::Shutdown)). Then comes the server's `on_close`.
    /// Whom it cut off is in the log, or in [a report](ServerCx::report_shutdown). A connection
    /// whose filters are not ready, as in a TLS handshake, is still offered when they are, and
    /// then asked to end: a request may be behind what they wait for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |conn| {
    ///     conn.accept(On::new());
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new().connect(move |s| {
    ///     s.after(Duration::from_millis(1), move |cx| {
    ///         cx.server(server).shutdown(Duration::from_secs(5)).unwrap();
    ///     });
    /// }));
    /// lp.run()?; // nothing is left
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&mut self, grace: Duration) -> Result<(), KeyError> {
        control::shutdown(&mut self.cx, self.key, grace)
    }

    /// `f` gets the report of the server's shutdown, however it is started: after its last
    /// connection, before its `on_close`; the server's key finds nothing there. If no report is asked
    /// for, a warning in the log names the connections that were cut off. A server that is closed
    /// without a shutdown reports nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// // Its connections do not end by themselves.
    /// let server = lp.listen("127.0.0.1:0", |conn| {
    ///     conn.accept(On::new().shutdown(|_| {}));
    /// })?;
    /// lp.server(server).report_shutdown(|_, report| {
    ///     assert_eq!((report.connections, report.cut_off), (1, 1));
    ///     println!("{report}"); // ... 1 of 1 connections cut off: 127.0.0.1:51234 (0 bytes unsent)
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new().close(|_, _| {}));
    /// lp.after(Duration::from_millis(10), move |cx| {
    ///     cx.server(server).shutdown(Duration::from_millis(10)).unwrap();
    /// });
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn report_shutdown(
        &mut self,
        f: impl FnOnce(&mut Cx<'_>, ShutdownReport) + 'static,
    ) -> Result<(), KeyError> {
        control::set_reporter(&mut self.cx, self.key, Box::new(f))
    }

    /// Ends the service by a signal. The first of these shuts the server down, with this grace for
    /// its connections. The second closes everything in the loop at once; so does the first if
    /// the server is closed already. As watchers of signals keep no loop alive, `run` returns when
    /// the connections have ended, unless something else of yours is left.
    ///
    /// Errors: as [`Cx::signal`](tidegate_loop::Cx::signal); then none of them is watched.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::signals::{SIGINT, SIGTERM};
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |conn| {
    ///     conn.accept(On::new());
    /// })?;
    /// lp.server(server).shutdown_on(&[SIGINT, SIGTERM], Duration::from_secs(30))?;
    /// # lp.server(server).close()?;
    /// lp.run()?; // until the first signal, and at most 30 s longer
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "signal")]
    pub fn shutdown_on(&mut self, signals: &[i32], grace: Duration) -> io::Result<()> {
        let server = self.key;
        let is_second = Rc::new(Cell::new(false));
        let mut watchers = Vec::new();
        for number in signals {
            let is_second = is_second.clone();
            let watcher = self.cx.signal(*number, move |cx, _, _| {
                let ends_at_once = is_second.replace(true);
                if ends_at_once || control::shutdown(cx, server, grace).is_err() {
                    cx.close_all();
                }
            });
            match watcher {
                Ok(watcher) => watchers.push(watcher),
                Err(e) => {
                    for watcher in watchers {
                        let _ = self.cx.close(watcher);
                    }
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// [`shutdown_on`](ServerCx::shutdown_on) with the two signals by which programs are ended:
    /// SIGINT, which Ctrl-C sends, and SIGTERM, which `kill` and service managers send.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |conn| {
    ///     conn.accept(On::new());
    /// })?;
    /// lp.server(server).shutdown_on_signals(Duration::from_secs(30))?;
    /// # lp.server(server).close()?;
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "signal")]
    pub fn shutdown_on_signals(&mut self, grace: Duration) -> io::Result<()> {
        use tidegate_loop::signals::{SIGINT, SIGTERM};
        self.shutdown_on(&[SIGINT, SIGTERM], grace)
    }

    /// The connections of the server that are open now. It visits every connection of the loop.
    pub fn connections(&mut self) -> Vec<SocketKey> {
        control::connections(&mut self.cx, self.key)
    }

    /// Where the server listens: the port that the system chose for 0. `Unsupported` for one on
    /// a path: see [`endpoint`](ServerCx::endpoint).
    pub fn local_addr(&mut self) -> io::Result<SocketAddr> {
        match self.endpoint()? {
            Endpoint::Ip(addr) => Ok(addr),
            Endpoint::Path(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Where the server listens: an address, or a path.
    pub fn endpoint(&mut self) -> Result<Endpoint, KeyError> {
        control::endpoint(&mut self.cx, self.key)
    }

    /// The server's counters; also after [`close`](ServerCx::close), until its last connection is
    /// over. Then the key finds nothing, and the last of them are in the
    /// [report](crate::ShutdownReport::stats) of its shutdown. The totals of all connections of the
    /// loop are in [`net_metrics`](crate::Net::net_metrics).
    pub fn stats(&mut self) -> Result<ServerStats, KeyError> {
        control::stats(&mut self.cx, self.key)
    }

    /// How many connections wait in the kernel for the server, and how many may. One system call.
    /// Another thread can ask with an [`accept_gauge`](ServerCx::accept_gauge).
    ///
    /// ```
    /// use std::net::TcpStream;
    /// use tidegate_loop::Loop;
    /// use tidegate_net::Net;
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
    /// let at = lp.server(server).local_addr()?;
    /// let client = TcpStream::connect(at)?; // its peer is the kernel alone
    /// if let Some(depth) = lp.server(server).accept_queue()?.depth {
    ///     assert_eq!(depth, 1);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn accept_queue(&mut self) -> Result<AcceptQueue, KeyError> {
        control::accept_queue(&mut self.cx, self.key)
    }

    /// [`accept_queue`](ServerCx::accept_queue) for another thread: it may ask while this one is
    /// inside a callback. An error if the server is closed, or if no descriptor is left: the gauges
    /// of a server share one of their own.
    pub fn accept_gauge(&mut self) -> io::Result<AcceptGauge> {
        control::accept_gauge(&mut self.cx, self.key)
    }
}
