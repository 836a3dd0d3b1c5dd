//! What turns into options: a text, an address, a port, a socket that listens.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::options::address::{Adopted, At};
use crate::options::connect::ConnectOptions;
use crate::options::listen::ListenOptions;

macro_rules! from {
    ($($t:ty => |$x:ident| $at:expr;)*) => {
        $(impl From<$t> for ListenOptions {
            fn from($x: $t) -> ListenOptions { ListenOptions::at($at) }
        }
        impl From<$t> for ConnectOptions {
            fn from($x: $t) -> ConnectOptions { ConnectOptions::to($at) }
        })*
    };
}

from! {
    &str => |s| At::Text(s.to_owned());
    String => |s| At::Text(s);
    SocketAddr => |a| At::Addr(a);
    (IpAddr, u16) => |a| At::Addr(a.into());
    (&str, u16) => |a| At::Host(a.0.to_owned(), a.1);
}

/// A socket that listens already: from the process that started this one, or made with options that
/// have no method here. The server owns it from then on. Its backlog stays as it is, unless
/// [`backlog`](ListenOptions::backlog) is set, and options that apply before bind are an error.
/// Cloned options cannot be used twice.
impl From<TcpListener> for ListenOptions {
    fn from(listener: TcpListener) -> ListenOptions {
        ListenOptions::at(At::Adopted(Adopted::new(listener)))
    }
}

impl From<u16> for ListenOptions {
    fn from(port: u16) -> ListenOptions {
        ListenOptions::at(At::Port(port))
    }
}
