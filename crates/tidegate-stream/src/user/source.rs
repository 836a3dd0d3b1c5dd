//! [`Source`] and [`ReadHandler`]: what a user writes for a readable stream.
#![forbid(unsafe_code)]

use bytes::Bytes;
use tidegate_loop::Cx;

use crate::error::{BoxError, StreamError};
use crate::user::close::StreamClose;
use crate::user::context::ReadableCx;

/// Where the bytes of a readable stream come from.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_stream::{BoxError, ReadHandler, ReadableCx, Source, Streams};
///
/// struct Countdown(u8);
/// impl Source for Countdown {
///     fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
///         match self.0.checked_sub(1) {
///             Some(n) => { self.0 = n; let _ = r.push(vec![b'0' + n]); }
///             None => r.push_end(),
///         }
///         Ok(())
///     }
/// }
/// struct Print;
/// impl ReadHandler for Print {
///     fn on_data(&mut self, _: &mut ReadableCx<'_>, chunk: bytes::Bytes) {
///         println!("{chunk:?}");
///     }
/// }
///
/// let mut lp = Loop::new()?;
/// lp.open_readable(Default::default(), Countdown(3), Print)?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Source: 'static {
    /// The stream wants more: [`push`](ReadableCx::push) bytes, or say that there are no more
    /// ([`push_end`](ReadableCx::push_end)), now or later, from any callback. The stream does not
    /// call the source again before it has answered. After an empty push it calls again in the next
    /// turn, and so on until bytes come. An error ends the stream.
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError>;

    /// The stream is closed, with or without an error: release what this holds. Called once, and
    /// last.
    fn destroy(&mut self, cx: &mut Cx<'_>, result: Result<(), &StreamError>) {
        let _ = (cx, result);
    }
}

/// The callbacks of a readable stream. `()` reads everything and drops it.
///
/// ```
/// use tidegate_stream::{ReadHandler, ReadableCx};
/// struct Count(usize);
/// impl ReadHandler for Count {
///     fn on_data(&mut self, _: &mut ReadableCx<'_>, chunk: bytes::Bytes) { self.0 += chunk.len() }
/// }
/// # let _: Box<dyn ReadHandler> = Box::new(Count(0));
/// ```
pub trait ReadHandler: 'static {
    /// Bytes came.
    fn on_data(&mut self, r: &mut ReadableCx<'_>, chunk: Bytes) {
        let _ = (r, chunk);
    }

    /// With the option `pull`: there are new bytes to [`read`](ReadableCx::read), or the end
    /// came.
    fn on_readable(&mut self, r: &mut ReadableCx<'_>) {
        let _ = r;
    }

    /// Every byte was taken, and there are no more.
    fn on_end(&mut self, r: &mut ReadableCx<'_>) {
        let _ = r;
    }

    /// The stream is closed, and its key finds nothing any more. Called once, and last. The default
    /// logs an error that no pipe gets.
    fn on_close(&mut self, cx: &mut Cx<'_>, close: StreamClose) {
        close.unhandled(cx, "readable");
    }
}

impl ReadHandler for () {}
