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
//! Floors, from the ground: `message/` and `exchange/` (plain data), `codec/` (bytes to messages
//! and back, without I/O), `callbacks/` (what users write), `state/` (who owns what), `server/`
//! (what is done to it), `face/` (what users call). Of requests that a program makes itself:
//! `client/` (what users write and get), `agent/` (what a loop keeps), `requests/` (what is done
//! with them). Imports go down.
#![deny(unsafe_code)]

mod agent;
mod callbacks;
mod client;
pub mod codec;
mod exchange;
mod face;
mod message;
mod requests;
mod server;
mod state;

pub use ::http;
pub use callbacks::contexts::{Exchange, ExchangeCx};
pub use callbacks::handler::{Broken, ExchangeHandler, HttpHandler};
pub use callbacks::on::OnExchange;
pub use client::callbacks::{Answered, RequestCx, ResponseHandler};
pub use client::error::{Deadline, RequestCause, RequestError, RequestStage};
pub use client::event::{AgentMetrics, ClientEvent};
pub use client::key::{AgentKey, RequestKey};
pub use client::on_response::OnResponse;
pub use client::options::{Agent, Scheduling};
pub use client::origin::Origin;
pub use client::request::{ClientRequest, Timeouts};
pub use codec::RequestHead as Head;
pub use exchange::error::HttpError;
pub use exchange::event::HttpEvent;
pub use exchange::key::ExchangeKey;
pub use exchange::metrics::HttpMetrics;
pub use exchange::options::HttpOptions;
pub use exchange::response::Response;
pub use face::http::Http;
pub use face::request_id::RequestId;
pub use message::refusal::Refusal;
pub use requests::ends::{RequestBody, ResponseBody};
pub use requests::face::HttpClient;
pub use requests::fetch::Answer;
pub use server::ends::{BodyEnd, ReplyEnd};
