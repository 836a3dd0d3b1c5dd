//! HTTP/1.1 of tidegate: a server in callbacks, with the back-pressure of the connections below it.
//!
//! ```
//! use tidegate_http::Http;
//! use tidegate_loop::Loop;
//! use tidegate_net::Net;
//! let mut lp = Loop::new()?;
//! let server = lp.http_listen("127.0.0.1:0", |head, x| match (head.method, head.path()) {
//!     ("GET", "/hello") => x.reply(200, "world\n"),
//!     ("POST", "/echo") => x.collect(1 << 20, |x, body| { let _ = x.reply(200, body); }),
//!     _ => x.reply(404, ""),
//! })?;
//! # lp.server(server).close()?;
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Floors, from the ground: plain data, `codec/` (bytes to messages and back, without I/O),
//! `callbacks/` (what users write), `state/` (who owns what), `server/` (what is done to it),
//! `face/` (what users call). Imports go down.
#![deny(unsafe_code)]

mod callbacks;
pub mod codec;
mod date;
mod encode_error;
mod error;
mod event;
mod face;
mod key;
mod limits;
mod metrics;
mod options;
mod refusal;
mod response;
mod server;
mod state;
mod status;
mod version;

pub use callbacks::contexts::{Exchange, ExchangeCx};
pub use callbacks::handler::{Broken, ExchangeHandler, HttpHandler};
pub use callbacks::on::OnExchange;
pub use codec::RequestHead as Head;
pub use error::HttpError;
pub use event::HttpEvent;
pub use face::http::Http;
pub use key::ExchangeKey;
pub use metrics::HttpMetrics;
pub use options::HttpOptions;
pub use refusal::Refusal;
pub use response::Response;
pub use server::ends::{BodyEnd, ReplyEnd};
