//! What a server decides when a client has said what it wants: [`Hello`] and [`Choice`].
#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::ClientHello;
use tidegate_net::SocketKey;

use crate::error::alert::Alert;

/// What a client said first.
///
/// ```
/// fn speaks_h2(hello: &tidegate_tls::Hello<'_>) -> bool {
///     hello.alpn().any(|protocol| protocol == b"h2")
/// }
/// # let _ = speaks_h2;
/// ```
pub struct Hello<'a> {
    pub(crate) hello: ClientHello<'a>,
    pub(crate) key: Option<SocketKey>,
}

impl Hello<'_> {
    /// The name that it wants to reach (SNI).
    pub fn server_name(&self) -> Option<&str> {
        self.hello.server_name()
    }

    /// The protocols that it would speak above TLS.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        self.hello.alpn().into_iter().flatten()
    }

    /// The connection, for [`Choice::Later`]. It is not accepted yet.
    pub fn key(&self) -> Option<SocketKey> {
        self.key
    }

    /// The rest, as rustls shows it.
    pub fn rustls(&self) -> &ClientHello<'_> {
        &self.hello
    }
}

/// What becomes of a connection whose [`Hello`] came.
///
/// ```
/// use tidegate_net::Net;
/// use tidegate_tls::{Alert, Choice, Tls, TlsServer};
/// // A thread looks the name up, and the loop goes on meanwhile.
/// fn serve(remote: tidegate_loop::Remote) -> tidegate_tls::TlsServerBuilder {
///     TlsServer::builder().choose(move |hello| {
///         let (Some(key), Some(name)) = (hello.key(), hello.server_name()) else {
///             return Choice::Refuse(Alert::UNRECOGNISED_NAME);
///         };
///         let (remote, name) = (remote.clone(), name.to_owned());
///         std::thread::spawn(move || {
///             let choice = match name.as_str() {
///                 "tide.example" => Choice::Default,
///                 _ => Choice::Refuse(Alert::UNRECOGNISED_NAME),
///             };
///             let _ = remote.post(move |cx| {
///                 let mut s = cx.socket(key);
///                 if let Some(tls) = s.filter::<Tls>() {
///                     tls.choose(choice);
///                 }
///                 s.poke_filter();
///             });
///         });
///         Choice::Later
///     })
/// }
/// # let _ = serve;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Choice {
    /// The configuration of the server.
    Default,
    /// Another one: see [`TlsServerBuilder::build_config`](crate::TlsServerBuilder::build_config).
    Config(Arc<ServerConfig>),
    /// Not known yet: [`Tls::choose`](crate::Tls::choose) and
    /// [`poke_filter`](tidegate_net::SocketCx::poke_filter) follow. The server's
    /// [`handshake_timeout`](tidegate_net::ListenOptions::handshake_timeout) goes on.
    Later,
    /// It is refused, with this alert.
    Refuse(Alert),
}
