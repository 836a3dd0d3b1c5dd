//! [`OtlpClient`]: sends what an exporter of OTLP has written, by its own loop.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tidegate_http::{ClientRequest, HttpClient as _, Timeouts};
use tidegate_loop::Loop;

/// Bytes of a collector's answer.
const MOST_ANSWER: usize = 1 << 20;

/// The client for `opentelemetry-otlp` with its feature `http-proto`, in place of one that brings
/// tokio. Each export runs a loop to its end on the thread that calls it: that of a
/// `BatchSpanProcessor`, never your loop's. To `http://` alone, as to a collector beside the program.
///
/// ```
/// use opentelemetry_http::HttpClient;
/// let client = tidegate_otel::OtlpClient::new();
/// let _: &dyn HttpClient = &client;
/// ```
#[derive(Clone, Debug)]
pub struct OtlpClient {
    timeout: Duration,
}

impl Default for OtlpClient {
    fn default() -> OtlpClient {
        OtlpClient { timeout: Duration::from_secs(10) }
    }
}

impl OtlpClient {
    /// Each export takes 10 s at most.
    pub fn new() -> OtlpClient {
        OtlpClient::default()
    }

    /// How long an export may take.
    pub fn timeout(mut self, after: Duration) -> OtlpClient {
        self.timeout = after;
        self
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let timeouts = Timeouts { total: self.timeout, ..Timeouts::default() };
        let to = ClientRequest::new(head.method.as_str().to_owned(), &head.uri.to_string());
        // It may be sent twice: a collector knows spans by their ids.
        let mut request = to.timeouts(timeouts).idempotent(true).body(body);
        for (name, value) in &head.headers {
            if !matches!(name.as_str(), "host" | "content-length") {
                request = request.header(name.as_str(), value.as_bytes());
            }
        }
        let answer = Rc::new(RefCell::new(None));
        let got = answer.clone();
        let mut lp = Loop::new()?;
        lp.fetch(request, MOST_ANSWER, move |_, answer| *got.borrow_mut() = Some(answer))?;
        lp.run()?;
        let answer = answer.borrow_mut().take().ok_or("the loop ended without an answer")??;
        Ok(Response::builder().status(answer.status).body(answer.body)?)
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.send(request)
    }
}
