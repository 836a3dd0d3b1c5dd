//! [`FilterFault`]: an error of a filter that says which step failed, and has a code.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io;

use crate::error::stage::Stage;

/// An error of a [`Filter`](crate::Filter) with more than a text: the [`Stage`] that failed, the
/// kind of the error, and a code that people search for. A filter returns it as its
/// [`FilterError`](crate::FilterError); without it the stage is [`Stage::Filter`].
///
/// ```
/// use std::io::ErrorKind;
/// use tidegate_net::{FilterError, FilterFault, Stage};
/// fn refuse() -> FilterError {
///     FilterFault::new(Stage::Handshake, ErrorKind::InvalidData, "EKEY", "a wrong key").into()
/// }
/// assert_eq!(refuse().to_string(), "a wrong key");
/// ```
#[derive(Debug)]
pub struct FilterFault {
    pub(crate) stage: Stage,
    pub(crate) kind: io::ErrorKind,
    pub(crate) code: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl FilterFault {
    /// This step failed. `Display` is that of `source`.
    pub fn new(
        stage: Stage,
        kind: io::ErrorKind,
        code: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> FilterFault {
        FilterFault { stage, kind, code, source: source.into() }
    }
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for FilterFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// What the connection fails with.
pub(crate) fn placed(
    error: Box<dyn Error + Send + Sync>,
    otherwise: io::ErrorKind,
) -> (Stage, io::Error) {
    match error.downcast::<FilterFault>() {
        Ok(fault) => (fault.stage, io::Error::new(fault.kind, *fault)),
        Err(error) => (Stage::Filter, io::Error::new(otherwise, error)),
    }
}
