//! [`Traces`]: what users call; and [`Observe`], which the loop calls.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;

use opentelemetry::Context;
use opentelemetry::trace::{TraceContextExt, Tracer};
use tidegate_http::{
    Answer, ClientEvent, ClientRequest, ExchangeKey, HttpClient, HttpEvent, RequestError,
    RequestKey, ResponseHandler,
};
use tidegate_loop::{Cx, Event, Moment, Observer, Phase, TableFull};
use tidegate_net::NetEvent;

use crate::sent;
use crate::state::{State, text};

/// The spans of a loop. Clones are the same.
///
/// ```
/// use opentelemetry::global;
/// use tidegate_loop::Loop;
/// use tidegate_otel::Traces;
/// let traces = Traces::new(global::tracer("tide"));
/// let mut lp = Loop::new()?;
/// lp.observe(traces.observer());
/// assert_eq!(traces.counts().open, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Traces(Rc<RefCell<State>>);

/// What [`Traces`] counted.
///
/// ```
/// fn is_complete(counts: &tidegate_otel::TraceCounts) -> bool { counts.left_out == 0 }
/// # let _ = is_complete;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TraceCounts {
    /// Spans that were started.
    pub started: u64,
    /// Of these, those that have not ended; and connects that are under way.
    pub open: usize,
    /// Spans that were not started since too many were open: see [`Traces::limit`].
    pub left_out: u64,
}

impl Traces {
    /// Spans by this tracer, which decides which of them are recorded.
    pub fn new<T>(tracer: T) -> Traces
    where
        T: Tracer + 'static,
        T::Span: Send + Sync + 'static,
    {
        Traces(Rc::new(RefCell::new(State::new(tracer))))
    }

    /// How many spans may be open at once. Default 65,536. Beyond that requests have none, and
    /// [`TraceCounts`] counts them.
    pub fn limit(self, spans: usize) -> Traces {
        self.0.borrow_mut().limit = spans;
        self
    }

    /// Every request that comes begins a new trace, whatever its `traceparent` says: for servers that
    /// strangers reach, who could else decide what is recorded.
    pub fn begin_anew(self) -> Traces {
        self.0.borrow_mut().goes_on = false;
        self
    }

    /// What [`Loop::observe`](tidegate_loop::Loop::observe) takes; with other observers in a tuple.
    /// One loop for each `Traces`. Without it there are no spans.
    pub fn observer(&self) -> Observe {
        self.0.borrow_mut().observed = true;
        Observe(self.clone())
    }

    /// What was counted so far.
    pub fn counts(&self) -> TraceCounts {
        let state = self.0.borrow();
        TraceCounts { started: state.started, open: state.open(), left_out: state.left_out }
    }

    /// The context of a request that is being served: for work that goes on outside of its
    /// callbacks. `None` when it is over.
    pub fn context(&self, exchange: ExchangeKey) -> Option<Context> {
        self.0.borrow().served.get(&exchange).cloned()
    }

    /// Says which route a request took: `/levels/{place}`. Its span is called so.
    pub fn route(&self, exchange: ExchangeKey, route: &str) {
        let Some(span) = self.context(exchange) else { return };
        span.span().set_attribute(text("http.route", route));
        span.span().update_name(route.to_owned());
    }

    /// As [`HttpClient::request`], with a span, and with its `traceparent`. The span is a child of
    /// the current context, in which the handler's callbacks run, too.
    ///
    /// ```
    /// use tidegate_http::{ClientRequest, OnResponse};
    /// use tidegate_loop::{AsCx, Cx};
    /// use tidegate_otel::Traces;
    /// fn ask(cx: &mut Cx<'_>, traces: &Traces) {
    ///     let request = ClientRequest::get("http://127.0.0.1:1/levels");
    ///     let _ = traces.request(cx, request, OnResponse::new().close(|_, _| {}));
    /// }
    /// # let traces = Traces::new(opentelemetry::global::tracer("tide"));
    /// # let mut lp = tidegate_loop::Loop::new()?;
    /// # lp.observe(traces.observer());
    /// # ask(&mut lp.cx(), &traces);
    /// # lp.run()?;
    /// # assert_eq!(traces.counts().open, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn request(
        &self,
        on: &mut impl HttpClient,
        request: ClientRequest,
        handler: impl ResponseHandler,
    ) -> Result<RequestKey, TableFull> {
        self.made(request, |request| on.request(request, handler))
    }

    /// The same for [`HttpClient::fetch`].
    pub fn fetch(
        &self,
        on: &mut impl HttpClient,
        request: ClientRequest,
        limit: usize,
        done: impl FnOnce(&mut Cx<'_>, Result<Answer, RequestError>) + 'static,
    ) -> Result<RequestKey, TableFull> {
        self.made(request, |request| on.fetch(request, limit, done))
    }

    /// Adds `traceparent` of the current context to a request, without a span.
    pub fn inject(request: ClientRequest) -> ClientRequest {
        sent::inject(request, &Context::current())
    }

    fn made(
        &self,
        request: ClientRequest,
        make: impl FnOnce(ClientRequest) -> Result<RequestKey, TableFull>,
    ) -> Result<RequestKey, TableFull> {
        if !self.0.borrow().observed {
            return make(Traces::inject(request));
        }
        let (request, outgoing) = self.0.borrow_mut().sent_begins(request);
        // Nothing is borrowed: observers see what happens.
        let made = make(request);
        match &made {
            Ok(key) if outgoing.has_span() => self.0.borrow_mut().sent_is(*key, outgoing),
            Ok(_) => {}
            Err(_) => outgoing.cancel(),
        }
        made
    }
}

/// The observer: see [`Traces::observer`].
pub struct Observe(Traces);

impl Observer for Observe {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        // A processor of spans that looks at the traces gets no event.
        let Ok(mut state) = self.0.0.try_borrow_mut() else { return };
        match event {
            Event::Calling { key, .. } => state.around.calling(*key),
            Event::Called { key, .. } => {
                state.around.leave();
                if at.phase == Phase::Closing && state.over.remove(key) {
                    state.around.remove(*key);
                }
            }
            Event::TurnEnd { .. } => state.around.leave(),
            Event::Layer(event) => {
                let any = event.as_any();
                if let Some(event) = any.downcast_ref::<NetEvent>() {
                    state.on_net(event);
                } else if let Some(event) = any.downcast_ref::<HttpEvent>() {
                    state.on_http(event);
                } else if let Some(event) = any.downcast_ref::<ClientEvent>() {
                    state.on_client(event);
                } else if event.layer() == "tls" {
                    state.on_tls(*event);
                }
            }
            _ => {}
        }
    }
}

impl Drop for Observe {
    fn drop(&mut self) {
        if let Ok(mut state) = self.0.0.try_borrow_mut() {
            state.end_all();
        }
    }
}
