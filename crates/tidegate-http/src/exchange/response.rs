//! [`Response`]: a status and fields, to be written.
#![forbid(unsafe_code)]

/// The head of a response: a status, and fields that are borrowed. A number turns into one.
///
/// ```
/// use tidegate_http::Response;
/// let fields = [("content-type", "text/plain"), ("cache-control", "no-store")];
/// let constant = Response::new(200).headers(&fields);
/// let one_more = Response::new(404).header("content-type", "text/html");
/// let bare: Response<'_> = 204.into();
/// # let _ = (constant, one_more, bare);
/// ```
#[derive(Clone, Debug)]
pub struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) list: &'a [(&'a str, &'a str)],
    pub(crate) more: Vec<(&'a str, &'a [u8])>,
    pub(crate) length: Option<u64>,
    pub(crate) keep_alive: bool,
}

impl<'a> Response<'a> {
    /// A response with this status, from 200 to 999, and without fields.
    pub fn new(status: u16) -> Response<'a> {
        Response { status, list: &[], more: Vec::new(), length: None, keep_alive: true }
    }

    /// Its fields, in this order. No memory is allocated for them. Names and values are checked when
    /// the response is sent. `Date`, `Connection` and what frames the body are added by themselves.
    pub fn headers(mut self, fields: &'a [(&'a str, &'a str)]) -> Response<'a> {
        self.list = fields;
        self
    }

    /// One more field.
    pub fn header(mut self, name: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Response<'a> {
        self.more.push((name, value.as_ref()));
        self
    }

    /// How long the body will be, if it is written in parts. Without it, it goes out in chunks.
    pub fn length(mut self, bytes: u64) -> Response<'a> {
        self.length = Some(bytes);
        self
    }

    /// Closes the connection after this response.
    pub fn close(mut self) -> Response<'a> {
        self.keep_alive = false;
        self
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let list = self.list.iter().map(|(name, value)| (*name, value.as_bytes()));
        list.chain(self.more.iter().copied())
    }
}

impl From<u16> for Response<'_> {
    fn from(status: u16) -> Self {
        Response::new(status)
    }
}
