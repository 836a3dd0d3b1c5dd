//! What can be asked of a request's head beside its fields.
#![forbid(unsafe_code)]

use crate::codec::RequestHead;

impl<'b> RequestHead<'b> {
    /// The path of the target: without a query, and of `http://host/path` without the host. As it
    /// came: `%41` is not an `A`.
    ///
    /// ```
    /// use tidegate_http::codec::{Event, Fields, Limits, RequestDecoder};
    /// let bytes = b"GET http://a/tide/high?at=noon HTTP/1.1\r\nHost: a\r\n\r\n";
    /// let mut fields = Fields::new();
    /// let mut decoder = RequestDecoder::new(Limits::default());
    /// let (_, Event::Head(head)) = decoder.next(bytes, &mut fields) else { unreachable!() };
    /// assert_eq!((head.path(), head.query()), ("/tide/high", Some("at=noon")));
    /// ```
    pub fn path(&self) -> &'b str {
        let target = self.without_host();
        // Most are short: no search by blocks.
        let path = match target.bytes().position(|b| b == b'?') {
            Some(end) => &target[..end],
            None => target,
        };
        match path {
            "" if !self.is_connect() => "/",
            path => path,
        }
    }

    /// What comes behind the first `?` of the target, if there is one.
    pub fn query(&self) -> Option<&'b str> {
        self.without_host().split_once('?').map(|(_, query)| query)
    }

    fn without_host(&self) -> &'b str {
        let target = self.target;
        if target.starts_with('/') || self.is_connect() {
            return target;
        }
        let Some((_, rest)) = target.split_once("://") else { return target };
        &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
    }

    /// The value of the first field with this name, in upper or lower case.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.get(name)
    }
}
