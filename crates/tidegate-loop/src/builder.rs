//! [`Builder`]: the limits of a loop that is to be made, and of its layers.
//!
//! What limits there are is said in `limits.rs`, and by each layer.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

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
