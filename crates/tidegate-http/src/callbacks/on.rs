//! [`OnExchange`]: an exchange's callbacks as closures.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;

use crate::callbacks::contexts::ExchangeCx;
use crate::callbacks::handler::{Broken, ExchangeHandler};
use crate::codec::FieldList;

type OnData = Box<dyn FnMut(&mut ExchangeCx<'_>, &[u8])>;
type OnTrailers = Box<dyn FnMut(&mut ExchangeCx<'_>, FieldList<'_>)>;
type OnCall = Box<dyn FnMut(&mut ExchangeCx<'_>)>;
type OnClose = Box<dyn FnMut(&mut Cx<'_>, Result<(), Broken>)>;

/// An [`ExchangeHandler`] made of closures.
///
/// ```
/// use tidegate_http::{Exchange, OnExchange};
/// fn count(x: Exchange<'_>) {
///     let mut bytes = 0;
///     let on = OnExchange::new();
///     let bytes = std::rc::Rc::new(std::cell::Cell::new(bytes));
///     let all = bytes.clone();
///     x.handle(on
///         .data(move |_, chunk| bytes.set(bytes.get() + chunk.len()))
///         .end(move |x| { let _ = x.reply(200, format!("{} bytes\n", all.get())); }));
/// }
/// # let _ = count;
/// ```
#[derive(Default)]
pub struct OnExchange {
    data: Option<OnData>,
    trailers: Option<OnTrailers>,
    end: Option<OnCall>,
    drain: Option<OnCall>,
    timeout: Option<OnCall>,
    close: Option<OnClose>,
}

impl OnExchange {
    /// Does nothing.
    pub fn new() -> OnExchange {
        OnExchange::default()
    }

    /// [`ExchangeHandler::on_data`].
    pub fn data(mut self, f: impl FnMut(&mut ExchangeCx<'_>, &[u8]) + 'static) -> OnExchange {
        self.data = Some(Box::new(f));
        self
    }

    /// [`ExchangeHandler::on_trailers`].
    pub fn trailers(
        mut self,
        f: impl FnMut(&mut ExchangeCx<'_>, FieldList<'_>) + 'static,
    ) -> OnExchange {
        self.trailers = Some(Box::new(f));
        self
    }

    /// [`ExchangeHandler::on_end`].
    pub fn end(mut self, f: impl FnMut(&mut ExchangeCx<'_>) + 'static) -> OnExchange {
        self.end = Some(Box::new(f));
        self
    }

    /// [`ExchangeHandler::on_drain`].
    pub fn drain(mut self, f: impl FnMut(&mut ExchangeCx<'_>) + 'static) -> OnExchange {
        self.drain = Some(Box::new(f));
        self
    }

    /// [`ExchangeHandler::on_timeout`]. Without it the answer is 503, or a reset.
    ///
    /// ```
    /// use tidegate_http::OnExchange;
    /// let on = OnExchange::new().timeout(|x| {
    ///     let _ = x.reply(504, "nobody answered\n");
    /// });
    /// # let _ = on;
    /// ```
    pub fn timeout(mut self, f: impl FnMut(&mut ExchangeCx<'_>) + 'static) -> OnExchange {
        self.timeout = Some(Box::new(f));
        self
    }

    /// [`ExchangeHandler::on_close`].
    pub fn close(mut self, f: impl FnMut(&mut Cx<'_>, Result<(), Broken>) + 'static) -> OnExchange {
        self.close = Some(Box::new(f));
        self
    }
}

impl ExchangeHandler for OnExchange {
    fn on_data(&mut self, x: &mut ExchangeCx<'_>, chunk: &[u8]) {
        if let Some(f) = &mut self.data {
            f(x, chunk);
        }
    }

    fn on_trailers(&mut self, x: &mut ExchangeCx<'_>, trailers: FieldList<'_>) {
        if let Some(f) = &mut self.trailers {
            f(x, trailers);
        }
    }

    fn on_end(&mut self, x: &mut ExchangeCx<'_>) {
        if let Some(f) = &mut self.end {
            f(x);
        }
    }

    fn on_drain(&mut self, x: &mut ExchangeCx<'_>) {
        if let Some(f) = &mut self.drain {
            f(x);
        }
    }

    fn on_timeout(&mut self, x: &mut ExchangeCx<'_>) {
        match &mut self.timeout {
            Some(f) => f(x),
            None => x.time_out(),
        }
    }

    fn on_close(&mut self, cx: &mut Cx<'_>, result: Result<(), Broken>) {
        if let Some(f) = &mut self.close {
            f(cx, result);
        }
    }
}
