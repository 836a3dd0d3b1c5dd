//! [`StreamClose`]: what `on_close` gets, and the log line if no code handles it.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;

use crate::error::StreamError;

/// How a user's stream ended.
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
    /// `Ok` if the stream came to its end; else why it did not.
    pub result: Result<(), StreamError>,
    /// Whether the `done` of a pipe gets this result, too.
    pub piped: bool,
}

impl StreamClose {
    /// What the default of `on_close` does: it logs an error, unless a pipe gets it.
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
