//! What stands between the kernel and the handler of a connection: nothing, or a filter.
#![forbid(unsafe_code)]

use crate::callbacks::filter::Filter;

/// A connection's wire.
pub(crate) enum Wire {
    Plain,
    Filter(Box<dyn Filter>),
}
