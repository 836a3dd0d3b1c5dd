//! What stands between the kernel and the handler of a connection: nothing, or filters.
#![forbid(unsafe_code)]

use crate::filter::stack::Stack;

/// A connection's wire.
pub(crate) enum Wire {
    Plain,
    Filter(Box<Stack>),
}
