//! Every limit of a loop: its name, its default, what happens when it is
//! reached. One table makes the struct, the defaults, the builder's methods and
//! the check that none is zero.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

/// The buffer for them is made at once: 16 bytes for each on Linux.
const MOST_EVENTS: usize = 1 << 20;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $t:ty = $default:expr;)*) => {
        /// The limits of one loop. Read them with
        /// [`Cx::limits`](crate::Cx::limits), set them with [`Loop::builder`](crate::Loop::builder).
        ///
        /// ```
        /// use tidegate_loop::Limits;
        /// assert_eq!(Limits::default().accept_budget, 64);
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Limits { $($(#[$doc])* pub $name: $t,)* }

        impl Default for Limits {
            fn default() -> Limits {
                Limits { $($name: $default,)* }
            }
        }

        impl Limits {
            pub(crate) fn check(&self) -> Result<(), LimitError> {
                $(if self.$name == 0 {
                    return Err(LimitError { name: stringify!($name), most: None });
                })*
                if self.events > MOST_EVENTS {
                    return Err(LimitError { name: "events", most: Some(MOST_EVENTS) });
                }
                Ok(())
            }
        }

        impl Builder {
            $($(#[$doc])*
            pub fn $name(mut self, value: $t) -> Builder {
                self.limits.$name = value;
                self
            })*
        }
    };
}

limits! {
    /// Connections that one listener accepts in one turn; default 64. The rest
    /// stay in the kernel's queue, the listener is queued again, the next poll
    /// does not block, and the carry-over is counted. 1 is what libuv does
    /// since 1.45; `u32::MAX` is what it did before.
    accept_budget: u32 = 64;
    /// Bytes that one socket reads in one turn; default 1 MiB. Then it is
    /// queued again behind the others.
    read_budget: usize = 1 << 20;
    /// Bytes that one socket flushes from its queue in one turn; default 1 MiB.
    write_budget: usize = 1 << 20;
    /// `next_tick` callbacks that run in one turn; default 1,000. The rest keep
    /// their order and run first in the next turn, which does not block.
    tick_budget: u32 = 1_000;
    /// `next_tick` callbacks that may wait; default 65,536. Beyond it
    /// [`try_next_tick`](crate::Cx::try_next_tick) gives the closure back, and `next_tick` drops it
    /// and logs that: see there.
    tick_limit: usize = 65_536;
    /// Closures that may wait in the inbox of [`Remote`](crate::Remote);
    /// default 65,536. `post` gives the closure back when it is full.
    inbox_limit: usize = 65_536;
    /// Handles notified by [`Remote::notify`](crate::Remote::notify) that are called in one
    /// turn; default 256. The rest keep their order and come first in the next turn, which does
    /// not block, and the carry-over is counted.
    notify_budget: u32 = 256;
    /// Jobs of [`work`](crate::Cx::work) that may be queued; default 65,536. Then `work`
    /// gives the closures back.
    work_limit: usize = 65_536;
    /// Threads for `work`; default 4. They start when there are jobs for them.
    work_threads: usize = 4;
    /// How many of the threads [`slow_work`](crate::Cx::slow_work) may use; default 2.
    slow_threads: usize = 2;
    /// Bytes that one socket may have queued before a write; default 64 MiB. A
    /// write beyond it destroys that connection.
    write_limit: usize = 64 << 20;
    /// Bytes that all sockets of the loop together may have queued before a write; default 1 GiB.
    /// Beyond it, what the kernel takes at once still goes out. A write that has to be queued
    /// returns `Full`, and of the connections that got `Full`, that have ended, or that queue
    /// answers of a filter, those with the longest queues are destroyed until the rest fits. A
    /// connection that writes on after `Full` is destroyed itself.
    buffered_limit: usize = 1 << 30;
    /// Kernel events taken by one poll; default 1,024, at most 1,048,576. More of them wait for
    /// the next turn.
    events: usize = 1_024;
}

/// A limit that cannot work.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// let e = tidegate_loop::Loop::builder().accept_budget(0).build().unwrap_err();
/// assert_eq!(e.to_string(), "accept_budget is 0: nothing could ever run; use 1 or more");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    /// The limit's name.
    pub name: &'static str,
    /// The largest value it can have; `None`: it was 0.
    pub most: Option<usize>,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most {
            None => write!(f, "{} is 0: nothing could ever run; use 1 or more", self.name),
            Some(most) => write!(f, "{} is more than {most}", self.name),
        }
    }
}

impl std::error::Error for LimitError {}

impl From<LimitError> for io::Error {
    fn from(e: LimitError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, e)
    }
}

/// Makes a [`Loop`](crate::Loop) with other limits than the default ones.
///
/// ```
/// let lp = tidegate_loop::Loop::builder().accept_budget(8).tick_budget(100).build()?;
/// assert_eq!(lp.limits().accept_budget, 8);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(crate) limits: Limits,
}
