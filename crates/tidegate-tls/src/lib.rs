//! TLS on connections of tidegate: rustls as a [`Filter`](tidegate_net::Filter).
//!
//! ```text
//! kernel -> read buffer of the loop -> Tls: rustls -> on_data
//! kernel <- write queue <- records <- Tls: rustls <- write
//! ```
//! A [`TlsServer`] goes into [`ListenOptions::filter`](tidegate_net::ListenOptions::filter), a
//! [`TlsClient`] into [`ConnectOptions::filter`](tidegate_net::ConnectOptions::filter). Everything
//! else is as without TLS: handlers, back-pressure, limits, pipes, deadlines.
//!
//! Floors, from the ground: `error/`, `certificate/`, `config/versions.rs`; `stats.rs`, `event.rs`;
//! what certificates and roots are (`config/identity.rs`, `roots.rs`, `names.rs`, `tickets.rs`); one
//! connection (`connection/`); what users call (`config/server.rs`, `client.rs`). Imports go down.
//!
//! The versions are 1.2 and 1.3, without renegotiation and without early data (0-RTT). The
//! cryptography is that of ring.
#![deny(unsafe_code)]

mod certificate;
mod config;
mod connection;
mod error;
mod event;
mod stats;

pub use certificate::shown::Certificate;
pub use config::client::{TlsClient, TlsClientBuilder};
pub use config::identity::Identity;
pub use config::roots::Roots;
pub use config::server::TlsServer;
pub use config::server_builder::{ClientAuth, TlsServerBuilder};
pub use config::tickets::Tickets;
pub use config::versions::TlsVersion;
pub use connection::choice::{Choice, Hello};
pub use connection::tls::Tls;
pub use error::alert::Alert;
pub use error::config_error::TlsConfigError;
pub use error::tls_error::TlsError;
pub use event::{TlsEvent, TlsEventKind};
/// The crate that does TLS: for its configurations, verifiers and key logs.
pub use rustls;
pub use stats::TlsStats;
