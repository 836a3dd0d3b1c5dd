//! The counters of a loop's connections and servers, taken at one moment.
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, Cx, KeyError};
use tidegate_stream::ReadState;

use crate::callbacks::contexts::SocketCx;
use crate::metrics::{NetMetrics, ServerMetrics, SocketMetrics};
use crate::server::offer;
use crate::state::layer::NET;
use crate::state::socket::Life;

/// Those that are over were counted; those that are there are looked at.
pub(crate) fn net(cx: &mut Cx<'_>) -> NetMetrics {
    let (layer, mut d) = cx.layer(&NET);
    // So that the one that is offered is looked at, too.
    offer::place(layer, &mut d);
    let mut m = NetMetrics {
        held: layer.shared.buffered,
        deadlines: layer.deadlines.len(),
        ..layer.counted
    };
    for (_, s) in layer.sockets.iter() {
        m.sockets += 1;
        m.connecting += usize::from(matches!(s.life, Life::Connecting | Life::Gated));
        m.paused += usize::from(s.duplex.read == ReadState::Paused);
        m.full += usize::from(s.duplex.write.needs_drain());
        m.queued += s.queued();
        m.bytes_read += s.bytes_read;
        m.bytes_written += s.bytes_written;
    }
    debug_assert_eq!(
        layer.shared.buffered,
        layer
            .sockets
            .iter()
            .map(|(_, s)| s.duplex.write.held() + s.given_back().len())
            .sum::<usize>(),
        "the loop's account is that of its connections"
    );
    m
}

pub(crate) fn servers(cx: &mut Cx<'_>) -> Vec<ServerMetrics> {
    let layer = cx.layer(&NET).0;
    layer
        .listeners
        .iter()
        .map(|(_, l)| ServerMetrics { key: l.key, local: l.local.clone(), stats: l.stats })
        .collect()
}

impl SocketCx<'_> {
    /// What the connection counts; an error if it is over.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let key = lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
    /// assert!(lp.socket(key).metrics()?.connecting);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metrics(&mut self) -> Result<SocketMetrics, KeyError> {
        self.state()?;
        let key = self.key();
        let mut cx = self.cx();
        let (layer, d) = cx.layer(&NET);
        let s = layer.socket(&d, key).ok_or(KeyError::Closed)?;
        Ok(SocketMetrics {
            age: s.age(&d),
            bytes_read: s.bytes_read,
            bytes_written: s.bytes_written,
            queued: s.queued(),
            held: s.duplex.write.held() + s.given_back().len(),
            connecting: matches!(s.life, Life::Connecting | Life::Gated),
            paused: s.duplex.read == ReadState::Paused,
            full: s.duplex.write.needs_drain(),
        })
    }
}
