#![doc = include_str!("../../../README.md")]
#![deny(unsafe_code)]

#[cfg(doc)]
#[doc = include_str!("links.md")]
#[doc = include_str!("../../../docs/manual/README.md")]
pub mod manual;

pub mod observe;
#[cfg(feature = "prometheus")]
pub mod prometheus;

#[cfg(feature = "http")]
pub use tidegate_http as http;
pub use tidegate_loop::{
    AsCx, Builder, Cx, HandleInfo, HookKey, KeepAlive, Key, KeyError, LeaseError, LimitError,
    Limits, Loop, Phase, PhaseReport, PostError, Remote, Shared, TableFull, TickFull, TimerKey,
    WatchKey,
};
#[cfg(feature = "signal")]
pub use tidegate_loop::{SignalKey, signals};
#[cfg(feature = "work")]
pub use tidegate_loop::{WorkError, WorkKey, WorkRefused};
pub use tidegate_loop::{event, kind};
pub use tidegate_net as net;
pub use tidegate_stream as stream;
#[cfg(feature = "tls")]
pub use tidegate_tls as tls;

/// The counters of a loop. Those of its servers and connections are in [`net`].
///
/// ```
/// use tidegate::Loop;
/// use tidegate::metrics::Metrics;
/// let metrics: Metrics = Loop::new()?.metrics();
/// assert_eq!(metrics.turns, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub mod metrics {
    #[cfg(feature = "work")]
    pub use tidegate_loop::WorkStats;
    pub use tidegate_loop::{Histogram, Metrics};
}

/// For tests: a clock that the test moves, and a poller that reports scripted events. Feature
/// `test-util`.
///
/// ```
/// use tidegate::Loop;
/// use tidegate::test::Script;
/// let (mut lp, script): (Loop, Script) = Loop::scripted()?;
/// # let _ = (lp.run(), script);
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(feature = "test-util")]
pub mod test {
    pub use tidegate_loop::Script;
}

/// What most programs need: `use tidegate::prelude::*`.
///
/// ```
/// use tidegate::prelude::*;
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// lp.server(server).close()?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub mod prelude {
    pub use tidegate_loop::{AsCx, Cx, Loop};
    pub use tidegate_net::{
        Close, ConnectOptions, Flow, Handler, Incoming, ListenOptions, Net, NetLimits, On,
        OnDatagram, Reason, SendFlow, ServerCx, ServerHandler, ServerKey, SocketCx, SocketKey,
        UdpCx, UdpHandler, UdpKey, UdpOptions,
    };
    pub use tidegate_stream::Streams;
}
