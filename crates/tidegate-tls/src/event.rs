//! [`TlsEvent`]: what observers of a loop see of TLS. No event has bytes of a connection, or keys.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::time::Duration;

use tidegate_loop::{LayerEvent, Value};
use tidegate_net::{ConnectionInfo, Stage};

use crate::config::versions::TlsVersion;
use crate::error::alert::Alert;

/// What happened to TLS on a connection. An observer finds it by
/// [`LayerEvent::as_any`]; others write its fields down.
///
/// ```
/// use tidegate_loop::{Event, Moment, Observer};
/// use tidegate_tls::{TlsEvent, TlsEventKind};
/// struct Resumed(u64);
/// impl Observer for Resumed {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         let Event::Layer(event) = event else { return };
///         let Some(tls) = event.as_any().downcast_ref::<TlsEvent>() else { return };
///         if let TlsEventKind::Handshake { resumed: true, .. } = tls.what {
///             self.0 += 1;
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsEvent {
    /// The connection.
    pub connection: ConnectionInfo,
    /// What happened.
    pub what: TlsEventKind,
}

/// What happened.
///
/// ```
/// fn is_good(what: &tidegate_tls::TlsEventKind) -> bool {
///     matches!(what, tidegate_tls::TlsEventKind::Handshake { .. })
/// }
/// # let _ = is_good;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsEventKind {
    /// A handshake is over.
    Handshake {
        /// The version.
        version: Option<TlsVersion>,
        /// The cipher suite, in the spelling of RFC 8446.
        suite: Option<&'static str>,
        /// The protocol above TLS.
        alpn: Option<String>,
        /// The name that the client asked for; of a server.
        server_name: Option<String>,
        /// Whether it was a resumed one.
        resumed: bool,
        /// How long it took, waiting for the peer included.
        took: Duration,
    },
    /// TLS failed: the connection ends.
    Failed {
        /// At which stage.
        stage: Stage,
        /// The code, as [`TlsError::code`](crate::TlsError::code).
        code: &'static str,
        /// The alert that we sent.
        sent: Option<Alert>,
        /// The alert that came.
        received: Option<Alert>,
    },
}

impl LayerEvent for TlsEvent {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn layer(&self) -> &'static str {
        "tls"
    }

    fn name(&self) -> &'static str {
        match self.what {
            TlsEventKind::Handshake { .. } => "handshake",
            TlsEventKind::Failed { .. } => "failed",
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        self.connection.fields(visit);
        match &self.what {
            TlsEventKind::Handshake { version, suite, alpn, server_name, resumed, took } => {
                if let Some(version) = version {
                    visit("version", version.name().into());
                }
                if let Some(suite) = *suite {
                    visit("suite", suite.into());
                }
                if let Some(alpn) = alpn {
                    visit("alpn", alpn.as_str().into());
                }
                if let Some(name) = server_name {
                    visit("server_name", name.as_str().into());
                }
                visit("resumed", (*resumed).into());
                visit("took", (*took).into());
            }
            TlsEventKind::Failed { stage, code, sent, received } => {
                visit("stage", Value::Text(stage));
                visit("code", (*code).into());
                if let Some(alert) = sent {
                    visit("alert_sent", Value::Text(alert));
                }
                if let Some(alert) = received {
                    visit("alert_received", Value::Text(alert));
                }
            }
        }
    }
}

impl fmt::Display for TlsEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(remote) = self.connection.remote {
            write!(f, "{remote}: ")?;
        }
        match &self.what {
            TlsEventKind::Handshake { version, suite, alpn, resumed, took, .. } => {
                write!(f, "{} handshake", if *resumed { "resumed" } else { "full" })?;
                write!(f, " after {took:.1?}")?;
                let version = version.map(TlsVersion::name);
                for part in [version, *suite, alpn.as_deref()].into_iter().flatten() {
                    write!(f, ", {part}")?;
                }
                Ok(())
            }
            TlsEventKind::Failed { stage, code, .. } => write!(f, "{stage} failed: {code}"),
        }
    }
}
