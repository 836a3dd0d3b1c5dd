//! Limits: a macro that makes those of any layer (the struct, its defaults, the methods that set
//! them, the check that none is zero), and those of the loop itself.
//!
//! How they get to their layer is in `builder.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

/// The buffer for them is made at once: 16 bytes for each on Linux.
const MOST_EVENTS: usize = 1 << 20;

/// Makes the limits of a layer: a struct with a public field and a method for each of them,
/// `Default`, `new`, and `none_is_zero`. Give them to their layer by
/// [`LayerLimits`](crate::kind::LayerLimits).
///
/// ```
/// tidegate_loop::layer_limits! {
///     /// The limits of my layer.
///     pub struct TideLimits of "tides" {
///         /// Waves that may wait; default 8.
///         waves: u32 = 8,
///     }
/// }
/// let limits = TideLimits::new().waves(0);
/// let e = limits.none_is_zero().unwrap_err();
/// assert_eq!(e.to_string(), "waves of tides is 0: nothing could ever run; use 1 or more");
/// ```
#[macro_export]
macro_rules! layer_limits {
    ($(#[$meta:meta])* pub struct $limits:ident of $layer:literal {
        $($(#[$doc:meta])* $name:ident: $t:ty = $default:expr,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $limits { $($(#[$doc])* pub $name: $t,)* }

        impl Default for $limits {
            fn default() -> $limits {
                $limits { $($name: $default,)* }
            }
        }

        impl $limits {
            /// The defaults.
            pub fn new() -> $limits {
                $limits::default()
            }

            /// The first that is 0, if there is one.
            pub fn none_is_zero(&self) -> Result<(), $crate::LimitError> {
                $(if self.$name == 0 {
                    return Err($crate::LimitError::zero($layer, stringify!($name)));
                })*
                Ok(())
            }

            $($(#[$doc])*
            #[must_use]
            pub fn $name(mut self, value: $t) -> $limits {
                self.$name = value;
                self
            })*
        }
    };
}

/// Calls a macro with the table of the loop's own limits.
macro_rules! loop_limits {
    ($callback:ident) => {
        $callback! {
            /// The limits of one loop, apart from those of layers. Read them with
            /// [`Cx::limits`](crate::Cx::limits), set them with
            /// [`Loop::builder`](crate::Loop::builder).
            ///
            /// ```
            /// use tidegate_loop::Limits;
            /// assert_eq!(Limits::default().tick_budget, 1_000);
            /// ```
            pub struct Limits of "loop" {
                /// `next_tick` callbacks that run in one turn; default 1,000. The rest keep
                /// their order and run first in the next turn, which does not block.
                tick_budget: u32 = 1_000,
                /// `next_tick` callbacks that may wait; default 65,536. Beyond it
                /// [`try_next_tick`](crate::Cx::try_next_tick) gives the closure back, and
                /// `next_tick` drops it and logs that: see there.
                tick_limit: usize = 65_536,
                /// Closures that may wait in the inbox of [`Remote`](crate::Remote);
                /// default 65,536. `post` gives the closure back when it is full.
                inbox_limit: usize = 65_536,
                /// Handles notified by [`Remote::notify`](crate::Remote::notify) that are called
                /// in one turn; default 256. The rest keep their order and come first in the next
                /// turn, which does not block, and the carry-over is counted.
                notify_budget: u32 = 256,
                /// Jobs of [`work`](crate::Cx::work) that may be queued; default 65,536. Then
                /// `work` gives the closures back.
                work_limit: usize = 65_536,
                /// Threads for `work`; default 4. They start when there are jobs for them.
                work_threads: usize = 4,
                /// How many of the threads [`slow_work`](crate::Cx::slow_work) may use; default 2.
                slow_threads: usize = 2,
                /// Kernel events taken by one poll; default 1,024, on Windows 256, at most
                /// 1,048,576. More of them wait for the next turn.
                events: usize = crate::sys::EVENTS,
            }
        }
    };
}
pub(crate) use loop_limits;

loop_limits!(layer_limits);

impl Limits {
    pub(crate) fn check(&self) -> Result<(), LimitError> {
        self.none_is_zero()?;
        if self.events > MOST_EVENTS {
            return Err(LimitError::above("loop", "events", MOST_EVENTS));
        }
        Ok(())
    }
}

/// A limit that cannot work.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// let e = tidegate_loop::Loop::builder().tick_budget(0).build().unwrap_err();
/// assert_eq!(e.to_string(), "tick_budget of loop is 0: nothing could ever run; use 1 or more");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitError {
    /// The layer: `loop`, `net`, ...
    pub layer: &'static str,
    /// The limit's name.
    pub name: &'static str,
    /// The largest value it can have; `None`: it was 0.
    pub most: Option<usize>,
}

impl LimitError {
    /// It is 0, so that nothing could ever run.
    pub const fn zero(layer: &'static str, name: &'static str) -> LimitError {
        LimitError { layer, name, most: None }
    }

    /// It is more than this.
    pub const fn above(layer: &'static str, name: &'static str, most: usize) -> LimitError {
        LimitError { layer, name, most: Some(most) }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} is ", self.name, self.layer)?;
        match self.most {
            None => f.write_str("0: nothing could ever run; use 1 or more"),
            Some(most) => write!(f, "more than {most}"),
        }
    }
}

impl std::error::Error for LimitError {}

impl From<LimitError> for io::Error {
    fn from(e: LimitError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, e)
    }
}
