//! [`OnResponse`]: closures as a [`ResponseHandler`].
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, Cx};

use crate::client::callbacks::{Answered, RequestCx, ResponseHandler};
use crate::client::error::RequestError;
use crate::client::key::RequestKey;
use crate::codec::{FieldList, ResponseHead};

type OnCall = Option<Box<dyn FnMut(&mut RequestCx<'_>)>>;

type OnHead = Option<Box<dyn FnMut(&mut RequestCx<'_>, &ResponseHead<'_>)>>;

type OnData = Option<Box<dyn FnMut(&mut RequestCx<'_>, &[u8])>>;

type OnTrailers = Option<Box<dyn FnMut(&mut RequestCx<'_>, &FieldList<'_>)>>;

type OnClose = Option<Box<dyn FnMut(&mut Cx<'_>, Result<Answered, RequestError>)>>;

/// A [`ResponseHandler`] made of closures. A callback that is not set does what the handler does by
/// default.
///
/// ```
/// use tidegate_http::OnResponse;
/// let show = OnResponse::new()
///     .head(|_, head| println!("{} {}", head.status, head.reason))
///     .data(|_, part| println!("{} bytes", part.len()))
///     .close(|_, result| if let Err(e) = result { println!("{e}") });
/// # let _ = show;
/// ```
#[derive(Default)]
pub struct OnResponse {
    drain: OnCall,
    informational: OnHead,
    head: OnHead,
    data: OnData,
    trailers: OnTrailers,
    end: OnCall,
    close: OnClose,
}

impl OnResponse {
    /// No closure yet.
    pub fn new() -> OnResponse {
        OnResponse::default()
    }

    /// [`ResponseHandler::on_drain`].
    pub fn drain(mut self, f: impl FnMut(&mut RequestCx<'_>) + 'static) -> OnResponse {
        self.drain = Some(Box::new(f));
        self
    }

    /// [`ResponseHandler::on_informational`].
    pub fn informational(
        mut self,
        f: impl FnMut(&mut RequestCx<'_>, &ResponseHead<'_>) + 'static,
    ) -> OnResponse {
        self.informational = Some(Box::new(f));
        self
    }

    /// [`ResponseHandler::on_head`].
    pub fn head(
        mut self,
        f: impl FnMut(&mut RequestCx<'_>, &ResponseHead<'_>) + 'static,
    ) -> OnResponse {
        self.head = Some(Box::new(f));
        self
    }

    /// [`ResponseHandler::on_data`].
    pub fn data(mut self, f: impl FnMut(&mut RequestCx<'_>, &[u8]) + 'static) -> OnResponse {
        self.data = Some(Box::new(f));
        self
    }

    /// [`ResponseHandler::on_trailers`].
    pub fn trailers(
        mut self,
        f: impl FnMut(&mut RequestCx<'_>, &FieldList<'_>) + 'static,
    ) -> OnResponse {
        self.trailers = Some(Box::new(f));
        self
    }

    /// [`ResponseHandler::on_end`].
    pub fn end(mut self, f: impl FnMut(&mut RequestCx<'_>) + 'static) -> OnResponse {
        self.end = Some(Box::new(f));
        self
    }

    /// [`ResponseHandler::on_close`].
    pub fn close(
        mut self,
        f: impl FnMut(&mut Cx<'_>, Result<Answered, RequestError>) + 'static,
    ) -> OnResponse {
        self.close = Some(Box::new(f));
        self
    }
}

/// What is done by default.
struct Defaults;

impl ResponseHandler for Defaults {}

impl ResponseHandler for OnResponse {
    fn on_drain(&mut self, r: &mut RequestCx<'_>) {
        if let Some(f) = &mut self.drain {
            f(r);
        }
    }

    fn on_informational(&mut self, r: &mut RequestCx<'_>, head: &ResponseHead<'_>) {
        if let Some(f) = &mut self.informational {
            f(r, head);
        }
    }

    fn on_head(&mut self, r: &mut RequestCx<'_>, head: &ResponseHead<'_>) {
        if let Some(f) = &mut self.head {
            f(r, head);
        }
    }

    fn on_data(&mut self, r: &mut RequestCx<'_>, part: &[u8]) {
        if let Some(f) = &mut self.data {
            f(r, part);
        }
    }

    fn on_trailers(&mut self, r: &mut RequestCx<'_>, fields: &FieldList<'_>) {
        if let Some(f) = &mut self.trailers {
            f(r, fields);
        }
    }

    fn on_end(&mut self, r: &mut RequestCx<'_>) {
        if let Some(f) = &mut self.end {
            f(r);
        }
    }

    fn on_close(
        &mut self,
        cx: &mut Cx<'_>,
        request: RequestKey,
        result: Result<Answered, RequestError>,
    ) {
        match &mut self.close {
            Some(f) => f(&mut cx.cx(), result),
            None => Defaults.on_close(cx, request, result),
        }
    }
}
