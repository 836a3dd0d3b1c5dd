//! HTTP/1.1 of tidegate.
//!
//! `codec/` turns bytes into messages and messages into bytes. It knows no socket, no loop and no
//! clock, and it allocates nothing. The plain types that it needs stand beside it.
//!
//! `client/` has what users write and get when they make requests, `agent/` what a loop keeps of
//! these, `requests/` what is done with them.
#![deny(unsafe_code)]

mod agent;
mod client;
pub mod codec;
mod encode_error;
mod limits;
mod refusal;
mod requests;
mod status;
mod version;

pub use client::callbacks::{Answered, RequestCx, ResponseHandler};
pub use client::error::{Deadline, RequestCause, RequestError, RequestStage};
pub use client::event::{AgentMetrics, ClientEvent};
pub use client::key::{AgentKey, RequestKey};
pub use client::on_response::OnResponse;
pub use client::options::{Agent, Scheduling};
pub use client::origin::Origin;
pub use client::request::{ClientRequest, Timeouts};
pub use requests::ends::{RequestBody, ResponseBody};
pub use requests::face::HttpClient;
pub use requests::fetch::Answer;
