//! Bytes to messages and back, without I/O, clock or allocation.
//!
//! Read `fields` (a head's fields and their syntax), `target` and `framing` (what a head means),
//! `request` and `response` (heads), `body` (what follows them), `decoder` (all of it in order),
//! `encoder` and `frame`. Connections and callbacks are not here.
//!
//! The decoders are strict. They refuse bytes that two implementations could read in two ways, and
//! forms that only old or wrong software writes.
//!
//! ```
//! use tidegate_http::codec::{Event, Fields, Limits, RequestDecoder};
//! let mut bytes = &b"POST /tide HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhigh"[..];
//! let mut decoder = RequestDecoder::new(Limits::default());
//! loop {
//!     let mut fields = Fields::new();
//!     let (consumed, event) = decoder.next(bytes, &mut fields);
//!     match event {
//!         Event::Head(head) => assert_eq!((head.method, head.target), ("POST", "/tide")),
//!         Event::Body(part) => assert_eq!(part, b"high"),
//!         Event::End => break,
//!         _ => unreachable!(),
//!     }
//!     bytes = &bytes[consumed..];
//! }
//! ```
#![forbid(unsafe_code)]

mod body;
mod decoder;
mod encoder;
mod fields;
mod frame;
mod framing;
mod request;
mod response;
mod target;

pub use crate::message::encode_error::EncodeError;
pub use crate::message::limits::Limits;
pub use crate::message::refusal::Refusal;
pub use crate::message::version::Version;
pub use decoder::{Event, RequestDecoder, ResponseDecoder};
pub use encoder::{Answering, Encoder, Length};
pub use fields::{Field, FieldList, Fields, join_folded};
pub use frame::Frame;
pub use framing::{Expect, Framing};
pub use request::RequestHead;
pub use response::ResponseHead;
