//! [`StreamClose`]: what `on_close` is given, and the log line if nobody handles it.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;

use crate::error::StreamError;

/// How a stream of the user's own ended.
///
/// ```
/// use tidegate_stream::{StreamClose, StreamError};
/// fn well(close: &StreamClose) -> bool {
///     close.result.is_ok()
/// }
/// # let _ = well;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamClose {
    /// It ended by itself, or why not.
    pub result: Result<(), StreamError>,
    /// Whether the `done` of a pipe tells the same.
    pub piped: bool,
}

impl StreamClose {
    /// What a handler does that has nothing to do.
    pub(crate) fn unhandled(&self, cx: &mut Cx<'_>, what: &str) {
        if let Err(e) = self.result.as_ref() {
            if !self.piped && !e.is_bare_close() {
                let alike = (what, e.alike());
                cx.driver().unhandled(
                    "tidegate::stream",
                    alike,
                    format_args!("a {what} stream {e}"),
                );
            }
        }
    }
}
