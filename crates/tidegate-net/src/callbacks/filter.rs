//! What stands between the kernel and the handler: nothing, or a filter.
//!
//! A filter is sans-I/O: bytes in, bytes out, both ways. TLS, the PROXY
//! protocol and the faults of a test are filters.
#![forbid(unsafe_code)]

use std::error::Error;

/// A transformation of a connection's bytes. Install it with
/// [`SocketCx::set_filter`](crate::SocketCx::set_filter).
///
/// It is called inline, also from inside `write`. It has no `Cx`, and must not block. An error
/// destroys the connection with [`Stage::Filter`](crate::Stage::Filter), a panic with
/// [`Reason::Panicked`](crate::Reason::Panicked); the panic goes on after the current callback.
/// Answers to the peer are dropped once our side has ended. Queued answers have a limit of their
/// own, as large as `write_limit`; the last bytes of [`close`](Filter::close) have none.
///
/// ```
/// use tidegate_net::{Filter, FilterError, Passed};
/// /// Hides bytes from someone who reads the dump.
/// struct Mask(u8);
/// impl Filter for Mask {
///     fn inbound(&mut self, wire: &[u8], out: &mut Passed) -> Result<(), FilterError> {
///         out.up.extend(wire.iter().map(|b| b ^ self.0));
///         Ok(())
///     }
///     fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<(), FilterError> {
///         out.down.extend(user.iter().map(|b| b ^ self.0));
///         Ok(())
///     }
/// }
/// ```
pub trait Filter: 'static {
    /// Bytes came from the kernel. What goes to the handler is appended to
    /// `out.up`, an answer to the peer to `out.down`.
    fn inbound(&mut self, wire: &[u8], out: &mut Passed) -> Result<(), FilterError>;

    /// The user writes. What goes to the kernel is appended to `out.down`; `out.up` is
    /// not looked at.
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<(), FilterError>;

    /// Our side ends; the last bytes for the peer are appended to `out.down`.
    fn close(&mut self, _out: &mut Passed) -> Result<(), FilterError> {
        Ok(())
    }
}

/// Any error of a filter.
///
/// ```
/// let e: tidegate_net::FilterError = "bad record".into();
/// assert_eq!(e.to_string(), "bad record");
/// ```
pub type FilterError = Box<dyn Error + Send + Sync>;

/// What a filter made of the bytes. The buffers are the loop's and are reused.
///
/// ```
/// let out = tidegate_net::Passed::default();
/// assert!(out.up.is_empty() && out.down.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Passed {
    /// For the handler.
    pub up: Vec<u8>,
    /// For the kernel.
    pub down: Vec<u8>,
}
