//! OpenTelemetry for tidegate: an observer that makes spans of requests, connects and handshakes,
//! by the API crate alone. The program brings the SDK.
//!
//! | span | from | to |
//! |---|---|---|
//! | `GET`, of a server | the head of a request | the end of its response |
//! | `GET`, of a client: [`Traces::request`] | the call | the end of the answer |
//! | `connect` | `connect` | connected, or failed |
//! | `tls handshake` | its first step | its last |
//!
//! A request that comes with a `traceparent` (W3C Trace Context) goes on with its trace; one that
//! [`Traces::request`] makes takes it along. While callbacks run that belong to a request, its
//! context is the current one of OpenTelemetry: spans that they start, and requests that they make,
//! are its children.
//!
//! ```
//! use opentelemetry::global;
//! use tidegate_http::Http;
//! use tidegate_loop::Loop;
//! use tidegate_net::Net;
//! use tidegate_otel::Traces;
//! let traces = Traces::new(global::tracer("tide"));
//! let mut lp = Loop::new()?;
//! lp.observe(traces.observer());
//! let server = lp.http_listen("127.0.0.1:0", move |head, x| {
//!     traces.route(x.key(), "/levels/{place}");
//!     x.reply(200, "high tide\n");
//! })?;
//! # lp.server(server).close()?;
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Floors, from the ground: `traceparent` and `around` (which know no events), `state`, the spans
//! (`served`, `sent`, `linked`), `traces` (what users call). `bridge` and `otlp` stand alone.
#![deny(unsafe_code)]

mod around;
#[cfg(feature = "tracing")]
mod bridge;
mod linked;
#[cfg(feature = "otlp")]
mod otlp;
mod sent;
mod served;
mod state;
mod traceparent;
mod traces;

#[cfg(feature = "tracing")]
pub use bridge::TracingSpans;
pub use opentelemetry;
#[cfg(feature = "otlp")]
pub use otlp::OtlpClient;
pub use traceparent::{read_traceparent, write_traceparent};
pub use traces::{Observe, TraceCounts, Traces};
