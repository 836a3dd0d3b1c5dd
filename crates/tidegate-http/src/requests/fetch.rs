//! [`Answer`]: a whole answer, collected up to a limit.
#![forbid(unsafe_code)]

use bytes::Bytes;
use tidegate_loop::{AsCx, Cx};

use crate::client::callbacks::{Answered, RequestCx, ResponseHandler};
use crate::client::error::{RequestCause, RequestError};
use crate::client::key::RequestKey;
use crate::codec::{Framing, ResponseHead};
use crate::requests::ending::fail;

/// A whole answer: see [`HttpClient::fetch`](crate::HttpClient::fetch).
///
/// ```
/// fn level(answer: &tidegate_http::Answer) -> Option<u32> {
///     std::str::from_utf8(&answer.body).ok()?.trim().parse().ok()
/// }
/// # let _ = level;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The fields of the head in the order in which they came.
    pub fields: Vec<(String, Bytes)>,
    /// The body.
    pub body: Bytes,
    /// The totals of the request.
    pub totals: Answered,
}

impl Answer {
    /// The value of the first field with this name, in upper or lower case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }
}

/// The most memory that is taken before a body has come.
const MOST_AHEAD: usize = 1 << 20;

type Done = Box<dyn FnOnce(&mut Cx<'_>, Result<Answer, RequestError>)>;

/// Collects an answer.
pub(crate) struct Collect {
    limit: usize,
    fields: Vec<(String, Bytes)>,
    body: Vec<u8>,
    done: Option<Done>,
}

impl Collect {
    pub(crate) fn new(limit: usize, done: Done) -> Collect {
        Collect { limit, fields: Vec::new(), body: Vec::new(), done: Some(done) }
    }

    fn too_large(&self, r: &mut RequestCx<'_>) {
        let key = r.key.0;
        fail(&mut r.cx(), key, RequestCause::TooLarge(self.limit));
    }
}

impl ResponseHandler for Collect {
    fn on_head(&mut self, r: &mut RequestCx<'_>, head: &ResponseHead<'_>) {
        let own = |(name, value): (&str, &[u8])| (name.to_owned(), Bytes::copy_from_slice(value));
        self.fields = head.fields.iter().map(own).collect();
        match head.framing {
            Framing::Length(n) if n > self.limit as u64 => self.too_large(r),
            // What is announced need not come.
            Framing::Length(n) => self.body.reserve_exact((n as usize).min(MOST_AHEAD)),
            _ => {}
        }
    }

    fn on_data(&mut self, r: &mut RequestCx<'_>, part: &[u8]) {
        if self.body.len() + part.len() > self.limit {
            return self.too_large(r);
        }
        self.body.extend_from_slice(part);
    }

    fn on_close(&mut self, cx: &mut Cx<'_>, _: RequestKey, result: Result<Answered, RequestError>) {
        let Some(done) = self.done.take() else { return };
        let (fields, body) = (std::mem::take(&mut self.fields), std::mem::take(&mut self.body));
        let whole =
            |totals: Answered| Answer { status: totals.status, fields, body: body.into(), totals };
        done(cx, result.map(whole));
    }
}
