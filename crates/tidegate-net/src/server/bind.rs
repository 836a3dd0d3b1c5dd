//! Opening a listening socket, with its options in the kernel's order: create, options, bind,
//! listen. Or taking over one that is there.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use mio::net::TcpListener;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};

use crate::endpoint::Endpoint;
use crate::error::listen::ListenError;
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::lookup;
use crate::options::address::{Adopted, At, Target, check_path};
use crate::options::listen::ListenOptions;
use crate::sys::{self, ListenSocket};

/// A socket that listens as the options say: on the first of the addresses that will have it.
pub(crate) fn first(options: &ListenOptions) -> Result<(ListenSocket, Endpoint), ListenError> {
    if let Err(e) = options.check() {
        return Err(ListenError::Failed(NetError::new(Stage::Listen, e)));
    }
    match &options.at {
        At::Unix(path) => {
            check_path(path).map_err(ListenError::Address)?;
            return bind_path(path, options).map_err(ListenError::Failed);
        }
        At::Adopted(listener) => {
            return adopt(listener, options).and_then(address).map_err(ListenError::Failed);
        }
        _ => {}
    }
    let target = options.at.target().map_err(ListenError::Address)?;
    let name = match &target {
        Target::Name(host, port) => Some(format!("{host}:{port}")),
        _ => None,
    };
    let lookup = |e| {
        let error = NetError::new(Stage::Lookup, e);
        ListenError::Failed(if name.is_some() { error.tried(name, Vec::new()) } else { error })
    };
    let candidates = candidates(&target).map_err(lookup)?;
    let mut first = None;
    for addr in candidates {
        match bind(addr, options, &target) {
            Ok(socket) => return address(socket).map_err(ListenError::Failed),
            Err(e) => {
                // Without a host: no IPv6 here, so IPv4 it is.
                let next = matches!(target, Target::AnyHost(_)) && e.kind() != ErrorKind::AddrInUse;
                first.get_or_insert(e);
                if !next {
                    break;
                }
            }
        }
    }
    let e = first.unwrap_or_else(|| NetError::new(Stage::Lookup, ErrorKind::NotFound.into()));
    Err(ListenError::Failed(e))
}

/// What to try, in order. A name takes the first address that the system's lookup says,
/// which may block: servers listen on names seldom, and before they serve.
fn candidates(target: &Target) -> io::Result<Vec<SocketAddr>> {
    match target {
        Target::Addr(a) => Ok(vec![*a]),
        Target::Path(_) => Ok(Vec::new()),
        Target::AnyHost(port) => {
            Ok(vec![(Ipv6Addr::UNSPECIFIED, *port).into(), (Ipv4Addr::UNSPECIFIED, *port).into()])
        }
        Target::Name(host, port) => {
            let mut found = lookup::resolve(host)?;
            found.truncate(1);
            found.iter_mut().for_each(|addr| addr.set_port(*port));
            Ok(found)
        }
    }
}

fn bind_path(path: &Path, options: &ListenOptions) -> Result<(ListenSocket, Endpoint), NetError> {
    let backlog = options.queue_length();
    let local = Endpoint::Path(path.to_owned());
    let at = |stage| {
        let name = local.to_string();
        move |e| NetError::new(stage, e).tried(Some(name), Vec::new())
    };
    let bound = sys::unix_bind(path, options.mode).map_err(at(Stage::Bind))?;
    let socket = sys::unix_listen(bound, backlog).map_err(at(Stage::Listen))?;
    Ok((socket, local))
}

/// Where it listens: the port that the system chose.
fn address(socket: TcpListener) -> Result<(ListenSocket, Endpoint), NetError> {
    let local = socket.local_addr().map_err(|e| NetError::new(Stage::Listen, e))?;
    Ok((ListenSocket::Tcp(socket), Endpoint::Ip(local)))
}

/// A listener that is there already: it goes over to the server. What the kernel sets per
/// connection holds from here on.
fn adopt(listener: &Adopted, options: &ListenOptions) -> Result<TcpListener, NetError> {
    let failed = |local| move |e| NetError::new(Stage::Listen, e).at(local, None);
    let used = || io::Error::new(ErrorKind::InvalidInput, "these options were used before");
    let listener = listener.take().ok_or_else(used).map_err(failed(None))?;
    let socket = SockRef::from(&listener);
    let local = socket.local_addr().map_err(failed(None))?;
    let invalid = |text| io::Error::new(ErrorKind::InvalidInput, text);
    let Some(local) = local.as_socket().map(Some) else {
        let text = "it is no TCP socket: for a Unix domain socket use ListenOptions::unix";
        return Err(failed(None)(invalid(text)));
    };
    if !sys::is_listener(&socket).map_err(failed(local))? {
        return Err(failed(local)(invalid("this socket does not listen")));
    }
    listener.set_nonblocking(true).map_err(failed(local))?;
    options.stream.check().map_err(failed(local))?;
    options.stream.apply(SockRef::from(&listener)).map_err(failed(local))?;
    if let Some(at_most) = options.defer_accept {
        sys::defer_accept(&SockRef::from(&listener), at_most).map_err(failed(local))?;
    }
    if options.backlog.is_some() {
        socket.listen(options.queue_length()).map_err(failed(local))?;
    }
    Ok(TcpListener::from_std(listener))
}

/// create -> options -> bind -> listen, the order the kernel wants.
fn bind(
    addr: SocketAddr,
    options: &ListenOptions,
    target: &Target,
) -> Result<TcpListener, NetError> {
    let at = |stage| move |e: io::Error| NetError::new(stage, e).at(Some(addr), None);
    let domain = Domain::for_address(addr);
    let socket =
        RawSocket::new(domain, Type::STREAM, Some(Protocol::TCP)).map_err(at(Stage::Bind))?;
    let prepare = || -> io::Result<()> {
        socket.set_nonblocking(true)?;
        sys::reuse_address(&socket)?;
        if options.reuse_port {
            sys::reuse_port(&socket)?;
        }
        match options.ipv6_only {
            Some(_) if addr.is_ipv4() => {
                let text = "ipv6_only is for IPv6 addresses";
                return Err(io::Error::new(ErrorKind::InvalidInput, text));
            }
            Some(only) => socket.set_only_v6(only)?,
            None if addr.is_ipv6() && matches!(target, Target::AnyHost(_)) => {
                socket.set_only_v6(false)?;
            }
            None => {}
        }
        options.stream.check()?;
        options.stream.apply(SockRef::from(&socket))?;
        if let Some(at_most) = options.defer_accept {
            sys::defer_accept(&socket, at_most)?;
        }
        socket.bind(&addr.into())
    };
    prepare().map_err(at(Stage::Bind))?;
    let backlog = options.queue_length();
    socket.listen(backlog).map_err(at(Stage::Listen))?;
    Ok(TcpListener::from_std(socket.into()))
}
