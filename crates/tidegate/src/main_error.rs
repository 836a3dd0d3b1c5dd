//! [`MainError`]: what a `main` returns.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

/// What a `main` returns, so that an error is printed as text. `?` makes it of any error, and of a
/// text.
///
/// The standard library prints the error of `main` by `{:?}`. Of an [`io::Error`](std::io::Error)
/// that is ``Custom { kind: AddrInUse, error: .. }``; of this type it is the message.
///
/// ```
/// use tidegate::MainError;
/// use tidegate::prelude::*;
/// fn main() -> Result<(), MainError> {
///     let mut lp = Loop::new()?;
///     let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
///     lp.server(server).close()?;
///     let e = MainError::from(std::io::Error::other("the tide is out"));
///     assert_eq!(format!("{e:?}"), "the tide is out");
///     Ok(lp.run()?)
/// }
/// ```
pub struct MainError(Box<dyn Error>);

impl<E: Into<Box<dyn Error>>> From<E> for MainError {
    fn from(e: E) -> MainError {
        MainError(e.into())
    }
}

impl fmt::Display for MainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The message; `{:#?}` shows the fields of the error.
impl fmt::Debug for MainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { fmt::Debug::fmt(&self.0, f) } else { fmt::Display::fmt(&self.0, f) }
    }
}
