//! [`Builder`]: the limits of a loop that is to be made and of its layers, and how it polls.
//!
//! What limits there are is said in `limits.rs`, and by each layer.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::core::cx::Cx;
use crate::limits::{LimitError, Limits, loop_limits};

/// Makes a [`Loop`](crate::Loop) with other limits than the default ones.
///
/// ```
/// let lp = tidegate_loop::Loop::builder().tick_budget(100).tick_limit(1_000).build()?;
/// assert_eq!(lp.limits().tick_budget, 100);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(crate) limits: Limits,
    pub(crate) layers: Vec<Arc<dyn LayerLimits>>,
    pub(crate) busy_poll: Duration,
}

impl Builder {
    /// Sets the limits of a layer, all of them: those of connections and servers are `NetLimits`,
    /// those of streams `StreamLimits`. Of several for one layer the last counts.
    ///
    /// The example stands at [`LayerLimits`](crate::kind::LayerLimits).
    pub fn limits(mut self, limits: impl LayerLimits) -> Builder {
        self.layers.push(Arc::new(limits));
        self
    }

    /// How long a poll asks the kernel again, every 5 microseconds, before it blocks; default 0. It
    /// does so if the poll before it found events, and not beyond the next timer.
    ///
    /// For servers whose clients send the next request within microseconds. To sleep and be woken
    /// costs the server two context switches; and it costs the thread that sends, if that runs on
    /// another core, an interrupt of this one, in a virtual machine also an exit to the host. A
    /// few microseconds up to 50 are enough for that. It costs up to this much CPU time for each
    /// time that the loop becomes idle, so it does not pay on a core that others need. The time
    /// counts as [`Metrics::idle`](crate::Metrics::idle);
    /// [`Metrics::busy_polls`](crate::Metrics::busy_polls) says how often it found events.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::Loop;
    /// let mut lp = Loop::builder().busy_poll(Duration::from_micros(20)).build()?;
    /// lp.run()?;
    /// assert_eq!(lp.metrics().busy_polls, 0); // nothing came
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn busy_poll(mut self, most: Duration) -> Builder {
        self.busy_poll = most;
        self
    }
}

macro_rules! methods {
    ($(#[$meta:meta])* pub struct Limits of $layer:literal {
        $($(#[$doc:meta])* $name:ident: $t:ty = $default:expr,)*
    }) => {
        impl Builder {
            $($(#[$doc])*
            pub fn $name(mut self, value: $t) -> Builder {
                self.limits.$name = value;
                self
            })*
        }
    };
}
loop_limits!(methods);

/// The limits of one layer, which [`Builder::limits`](crate::Builder::limits) takes. The macro
/// [`layer_limits`](crate::layer_limits) makes the struct.
///
/// ```
/// use tidegate_loop::kind::{LayerId, LayerLimits};
/// use tidegate_loop::{AsCx, Cx, LimitError, Loop, layer_limits};
///
/// layer_limits! {
///     /// The limits of my layer.
///     pub struct TideLimits of "tides" {
///         /// Waves that may wait; default 8.
///         waves: u32 = 8,
///     }
/// }
///
/// #[derive(Default)]
/// struct Tides { limits: TideLimits }
/// static TIDES: LayerId<Tides> = LayerId::new(Tides::default);
///
/// impl LayerLimits for TideLimits {
///     fn check(&self) -> Result<(), LimitError> {
///         self.none_is_zero()
///     }
///     fn set(&self, cx: &mut Cx<'_>) {
///         cx.layer(&TIDES).0.limits = self.clone();
///     }
/// }
///
/// let mut lp = Loop::builder().limits(TideLimits::new().waves(3)).build()?;
/// assert_eq!(lp.cx().layer(&TIDES).0.limits.waves, 3);
/// assert!(Loop::builder().limits(TideLimits::new().waves(0)).build().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait LayerLimits: fmt::Debug + Send + Sync + 'static {
    /// The first of them that cannot work: then no loop is made.
    fn check(&self) -> Result<(), LimitError>;

    /// Gives them to the layer in a new loop, before anything else is called.
    fn set(&self, cx: &mut Cx<'_>);
}
