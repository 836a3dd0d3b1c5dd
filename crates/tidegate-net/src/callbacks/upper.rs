//! What stands above a connection: a handler of the user's, or the protocol of a layer.
#![forbid(unsafe_code)]

use tidegate_loop::kind::Kind;

use crate::callbacks::handler::Handler;
use crate::callbacks::protocol::{Protocol, ProtocolCall};

/// Who is called for a connection.
pub(crate) enum Upper {
    User(Box<dyn Handler>),
    /// Nobody yet; or the handler's callback runs, which has it.
    Away,
    Protocol(&'static Protocol, u64),
}

impl Upper {
    /// Takes a handler out for its call.
    #[inline(always)]
    pub(crate) fn take_user(&mut self) -> Option<Box<dyn Handler>> {
        match self {
            Upper::User(_) => match std::mem::replace(self, Upper::Away) {
                Upper::User(handler) => Some(handler),
                _ => None,
            },
            _ => None,
        }
    }

    /// Puts it back, into its empty place.
    #[inline(always)]
    pub(crate) fn put_back(&mut self, handler: Box<dyn Handler>) {
        debug_assert!(matches!(self, Upper::Away));
        // There is nothing to be dropped.
        std::mem::forget(std::mem::replace(self, Upper::User(handler)));
    }

    pub(crate) fn protocol(&self) -> Option<(&'static Protocol, u64)> {
        match self {
            Upper::Protocol(p, data) => Some((p, *data)),
            _ => None,
        }
    }

    /// The kind of a connection that it gets for the time of a call.
    #[inline]
    pub(crate) fn lends(&self) -> Option<&'static Kind> {
        match self {
            Upper::Protocol(p, _) => p.lends,
            _ => None,
        }
    }

    /// What to call if it reads itself.
    pub(crate) fn readable(&self) -> Option<(ProtocolCall, u64)> {
        self.protocol().and_then(|(p, data)| Some((p.readable?, data)))
    }
}
