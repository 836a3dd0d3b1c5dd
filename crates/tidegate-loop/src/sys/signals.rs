//! The numbers of this system's signals, for [`Cx::signal`](crate::Cx::signal), and their names.
//!
//! ```
//! use tidegate_loop::signals;
//! assert_eq!(signals::SIGINT, 2);
//! ```

pub use signal_hook::consts::signal::*;

/// The name of a signal; `None` if it has none here.
///
/// ```
/// use tidegate_loop::signals;
/// assert_eq!(signals::name(signals::SIGTERM), Some("SIGTERM"));
/// assert_eq!(signals::name(0), None);
/// ```
pub fn name(number: i32) -> Option<&'static str> {
    signal_hook::low_level::signal_name(number)
}

/// A signal in a text, as `SIGTERM`, or `signal 40`.
pub(crate) fn describe(number: i32) -> String {
    name(number).map_or_else(|| format!("signal {number}"), str::to_owned)
}
