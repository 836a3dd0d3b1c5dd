//! The types of the `http` crate: what was decoded becomes them when it is asked for, and they
//! become responses and requests. Nothing else in this crate uses them.
#![forbid(unsafe_code)]

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::client::request::ClientRequest;
use crate::codec::{FieldList, RequestHead, ResponseHead, Version};
use crate::exchange::response::Response;
use crate::requests::fetch::Answer;

impl From<Version> for http::Version {
    fn from(version: Version) -> http::Version {
        match version {
            Version::Http10 => http::Version::HTTP_10,
            Version::Http11 => http::Version::HTTP_11,
        }
    }
}

/// Copies fields. Both sides have the same rules for names and values.
fn copied<'f>(
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    most: usize,
) -> Result<HeaderMap, http::Error> {
    let mut map = HeaderMap::try_with_capacity(most)?;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        map.try_append(name, HeaderValue::from_bytes(value)?)?;
    }
    Ok(map)
}

impl FieldList<'_> {
    /// The fields as a map, with names in lower case. It copies them. An error: more than the map
    /// can have.
    ///
    /// ```
    /// use tidegate_http::codec::{Event, Fields, Limits, RequestDecoder};
    /// use tidegate_http::http::header::COOKIE;
    /// let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n";
    /// let mut fields = Fields::new();
    /// let (_, event) = RequestDecoder::new(Limits::default()).next(bytes, &mut fields);
    /// let Event::Head(head) = event else { unreachable!() };
    /// let map = head.fields.to_map()?;
    /// assert_eq!(map.get_all(COOKIE).iter().count(), 2);
    /// # Ok::<(), tidegate_http::http::Error>(())
    /// ```
    pub fn to_map(&self) -> Result<HeaderMap, http::Error> {
        copied(self.iter(), self.len())
    }
}

impl RequestHead<'_> {
    /// The method as a [`Method`]. No memory is allocated for a method of the standard, nor for
    /// another one of up to 15 bytes.
    ///
    /// ```
    /// use tidegate_http::http::Method;
    /// use tidegate_http::{Exchange, Head};
    /// fn on_request(head: &Head<'_>, x: Exchange<'_>) {
    ///     match head.to_method() {
    ///         Method::GET | Method::HEAD => x.reply(200, "high tide\n"),
    ///         _ => x.reply(405, ""),
    ///     }
    /// }
    /// # let _ = on_request;
    /// ```
    pub fn to_method(&self) -> Method {
        // What the decoder accepts is a token, as it must be there.
        Method::from_bytes(self.method.as_bytes()).unwrap_or_default()
    }

    /// The whole head, copied. An error: [`Uri`] does not accept the target. It has its own rules;
    /// `/a<b` and `` /a`b `` are none.
    ///
    /// ```
    /// use tidegate_http::{Exchange, Head};
    /// fn on_request(head: &Head<'_>, x: Exchange<'_>) {
    ///     match head.to_request() {
    ///         Ok(request) => x.reply(200, format!("{:?}\n", request.uri().query())),
    ///         Err(e) => x.reply(400, format!("{e}\n")),
    ///     }
    /// }
    /// # let _ = on_request;
    /// ```
    pub fn to_request(&self) -> Result<http::Request<()>, http::Error> {
        let mut request = http::Request::new(());
        *request.method_mut() = self.to_method();
        *request.uri_mut() = Uri::try_from(self.target)?;
        *request.version_mut() = self.version.into();
        *request.headers_mut() = self.fields.to_map()?;
        Ok(request)
    }
}

/// A status that the decoder accepted is one there, too.
fn to_status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or_default()
}

impl ResponseHead<'_> {
    /// The status as a [`StatusCode`]. No memory is allocated.
    ///
    /// ```
    /// use tidegate_http::OnResponse;
    /// let on = OnResponse::new().head(|r, head| {
    ///     if !head.to_status().is_success() {
    ///         r.destroy();
    ///     }
    /// });
    /// # let _ = on;
    /// ```
    pub fn to_status(&self) -> StatusCode {
        to_status(self.status)
    }

    /// The whole head, copied, but for the text behind the status.
    ///
    /// ```
    /// use tidegate_http::codec::{Event, Fields, Limits, ResponseDecoder};
    /// let bytes = b"HTTP/1.1 204 No Content\r\nServer: tide\r\n\r\n";
    /// let mut fields = Fields::new();
    /// let mut decoder = ResponseDecoder::new(Limits::default());
    /// decoder.expect("GET");
    /// let (_, Event::Head(head)) = decoder.next(bytes, &mut fields) else { unreachable!() };
    /// assert_eq!(head.to_response()?.headers()["server"], "tide");
    /// # Ok::<(), tidegate_http::http::Error>(())
    /// ```
    pub fn to_response(&self) -> Result<http::Response<()>, http::Error> {
        let mut response = http::Response::new(());
        *response.status_mut() = self.to_status();
        *response.version_mut() = self.version.into();
        *response.headers_mut() = self.fields.to_map()?;
        Ok(response)
    }
}

impl Answer {
    /// As a response of the `http` crate. The fields are copied, the body is not.
    ///
    /// ```
    /// use tidegate_http::Answer;
    /// fn is_text(answer: Answer) -> bool {
    ///     let response = answer.into_response();
    ///     response.is_ok_and(|r| r.headers().get("content-type").is_some_and(|v| v == "text/plain"))
    /// }
    /// # let _ = is_text;
    /// ```
    pub fn into_response(self) -> Result<http::Response<Bytes>, http::Error> {
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), &value[..]));
        let map = copied(fields, self.fields.len())?;
        let mut response = http::Response::new(self.body);
        *response.status_mut() = to_status(self.status);
        *response.headers_mut() = map;
        Ok(response)
    }
}

/// ```
/// use tidegate_http::http::StatusCode;
/// use tidegate_http::{Exchange, HttpError};
/// fn no_place(x: Exchange<'_>) -> Result<(), HttpError> {
///     x.respond(StatusCode::NOT_FOUND, "no such place\n")
/// }
/// # let _ = no_place;
/// ```
impl From<StatusCode> for Response<'_> {
    fn from(status: StatusCode) -> Self {
        Response::new(status.as_u16())
    }
}

/// Status and fields. The body is given beside it.
///
/// ```
/// use tidegate_http::{Exchange, HttpError};
/// fn answer(x: Exchange<'_>) -> Result<(), HttpError> {
///     let made = tidegate_http::http::Response::builder()
///         .header("content-type", "text/plain")
///         .body("high tide\n");
///     match made {
///         Ok(made) => x.respond(&made, *made.body()),
///         Err(_) => x.respond(500, ""),
///     }
/// }
/// # let _ = answer;
/// ```
impl<'a, B> From<&'a http::Response<B>> for Response<'a> {
    fn from(made: &'a http::Response<B>) -> Response<'a> {
        let mut response = Response::new(made.status().as_u16());
        response.more = made.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        response
    }
}

/// Method, URL, fields and body; a URL without a host is reported when the request is made.
///
/// ```
/// use tidegate_http::{ClientRequest, HttpClient};
/// let mut lp = tidegate_loop::Loop::new()?;
/// let request = tidegate_http::http::Request::post("http://127.0.0.1:1/levels")
///     .header("content-type", "text/plain")
///     .body("high")
///     .unwrap();
/// lp.fetch(ClientRequest::from(request), 1000, |_, answer| assert!(answer.is_err()))?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
impl<B: Into<Bytes>> From<http::Request<B>> for ClientRequest {
    fn from(request: http::Request<B>) -> ClientRequest {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let mut made = ClientRequest::new(parts.method.as_str().to_owned(), &url).body(body);
        for (name, value) in &parts.headers {
            made = made.header(name.as_str(), value.as_bytes());
        }
        made
    }
}
