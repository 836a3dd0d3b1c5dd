//! What the filters of one server, or of one client, share: in all threads.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::{ClientConfig, ServerConfig};

use crate::config::names::Names;
use crate::connection::choice::{Choice, Hello};
use crate::stats::Stats;

pub(crate) type Chooser = Arc<dyn Fn(&Hello<'_>) -> Choice + Send + Sync>;

/// What new handshakes begin with.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) config: Arc<ServerConfig>,
    /// Its certificates, where known.
    pub(crate) names: Option<Arc<Names>>,
    pub(crate) not_after: Option<SystemTime>,
}

pub(crate) struct ServerShared {
    pub(crate) current: RwLock<Current>,
    pub(crate) choose: Option<Chooser>,
    pub(crate) max_handshakes: usize,
    pub(crate) handshakes_per_turn: u32,
    pub(crate) allow_truncation: bool,
    pub(crate) under_way: AtomicUsize,
    pub(crate) stats: Stats,
}

impl ServerShared {
    pub(crate) fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_current(&self, current: Current) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    pub(crate) fn handshakes_under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

pub(crate) struct ClientShared {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) allow_truncation: bool,
    pub(crate) stats: Stats,
}

/// Counts as a handshake under way, until it is dropped.
pub(crate) struct UnderWay(Arc<ServerShared>);

impl UnderWay {
    /// `None` if there are too many.
    pub(crate) fn begin(shared: &Arc<ServerShared>) -> Option<UnderWay> {
        let before = shared.under_way.fetch_add(1, Ordering::Relaxed);
        let this = UnderWay(shared.clone());
        (before < shared.max_handshakes).then_some(this)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
