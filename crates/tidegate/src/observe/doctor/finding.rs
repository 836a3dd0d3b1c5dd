//! [`Finding`]: what is wrong in words, and which part of the API mends it.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

/// What a [`Finding`] is about.
///
/// ```
/// use tidegate::observe::Sign;
/// assert_eq!(Sign::BlockedLoop.name(), "blocked loop");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Sign {
    /// One callback took so long that everything else waited.
    BlockedLoop,
    /// Turns are long although no callback is.
    LongTurns,
    /// A connection takes no more bytes, because its peer does not read.
    SlowReader,
    /// Connections wait to be accepted.
    AcceptQueue,
    /// There are no file descriptors left.
    NoDescriptors,
    /// Segments are lost on the way to a peer.
    LossyPath,
    /// Errors that no code handles.
    UnhandledErrors,
    /// Timers come late.
    LateTimers,
}

impl Sign {
    pub(super) const ALL: [Sign; 8] = [
        Sign::BlockedLoop,
        Sign::LongTurns,
        Sign::SlowReader,
        Sign::AcceptQueue,
        Sign::NoDescriptors,
        Sign::LossyPath,
        Sign::UnhandledErrors,
        Sign::LateTimers,
    ];

    /// A short name that does not change.
    pub fn name(self) -> &'static str {
        match self {
            Sign::BlockedLoop => "blocked loop",
            Sign::LongTurns => "long turns",
            Sign::SlowReader => "slow reader",
            Sign::AcceptQueue => "accept queue",
            Sign::NoDescriptors => "no descriptors",
            Sign::LossyPath => "lossy path",
            Sign::UnhandledErrors => "unhandled errors",
            Sign::LateTimers => "late timers",
        }
    }

    /// What mends it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Sign::BlockedLoop => {
                "Move the work to another thread with `work`, or do it in parts with `next_tick`."
            }
            Sign::LongTurns => {
                "There is much to do, and no single callback is to blame: use more loops (example \
                 `many_loops`), or do less for each event."
            }
            Sign::SlowReader => {
                "Stop producing when a write answers `Full`: `pipe` its source, or `pause` it until \
                 `on_drain`. To end such peers set an `idle_timeout`."
            }
            Sign::AcceptQueue => {
                "Make turns shorter, raise `accept_budget` and `backlog`, or add a loop that shares \
                 the port with `reuse_port`."
            }
            Sign::NoDescriptors => {
                "Raise the limit of open files (`ulimit -n`), or stay below it with \
                 `max_connections`."
            }
            Sign::LossyPath => {
                "The network is at fault, not the program: look at it with `ss -ti`, and expect \
                 writes to this peer to answer `Full`."
            }
            Sign::UnhandledErrors => {
                "Give the connection an `on_close` that looks at `Close::reason`; a server an \
                 `on_error`."
            }
            Sign::LateTimers => "Look for what holds the loop up: timers wait for callbacks.",
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that is wrong. `Display` gives one line with all of it.
///
/// ```
/// use std::time::Duration;
/// use tidegate::observe::{Doctor, Sign};
/// use tidegate::prelude::*;
/// let doctor = Doctor::new();
/// let mut lp = Loop::new()?;
/// lp.observe(doctor.clone());
/// lp.after(Duration::ZERO, |_| std::thread::sleep(Duration::from_millis(60)));
/// lp.run()?;
/// let findings = doctor.findings();
/// assert_eq!(findings[0].sign, Sign::BlockedLoop);
/// println!("{}", findings[0]); // blocked loop: a callback of timer h1.2.1 took 60 ms, ...
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// Counts the findings of a doctor, from 1.
    pub number: u64,
    /// What it is about.
    pub sign: Sign,
    /// When: since the loop was made.
    pub at: Duration,
    /// The connection, server or timer, by its [`Id`](super::super::Id); empty if it is about none.
    pub of: String,
    /// What is wrong.
    pub text: String,
    /// What mends it.
    pub advice: &'static str,
    /// How often the same sign came since it was last said.
    pub unsaid: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sign, self.text)?;
        if self.unsaid > 0 {
            write!(f, " ({} times more since this was last said)", self.unsaid)?;
        }
        write!(f, ". {}", self.advice)
    }
}
