//! A SOCKS5 proxy (RFC 1928): CONNECT to an address or a name, with or without a password
//! (RFC 1929).
//!
//! ```text
//! cargo run --release --example socks5 [HOST:PORT [USER:PASSWORD]]        # 127.0.0.1:1080
//! ```
//! Try it with `curl --socks5-hostname 127.0.0.1:1080 URL`; stop it with Ctrl-C.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::process::exit;
use std::time::Duration;

use tidegate::net::{AtLimit, Decode, NetError, PeerState};
use tidegate::observe::OneLine;
use tidegate::prelude::*;
use tidegate::stream::BoxError;

const USAGE: &str =
    "usage: socks5 [HOST:PORT [USER:PASSWORD]]    # 127.0.0.1:1080; Ctrl-C stops it";
/// For all that a client says, and then for the connection to its target.
const PATIENCE: Duration = Duration::from_secs(10);
/// Without a byte in either direction.
const IDLE: Duration = Duration::from_secs(300);

/// What a client says, in this order; the login only if we ask for one.
#[derive(Clone, Copy)]
enum Next {
    Methods,
    Login,
    Request,
}

enum Said<'a> {
    Methods(&'a [u8]),
    Login(&'a [u8], &'a [u8]),
    Request(u8, Option<String>, u16),
}

struct Socks {
    next: Next,
    wants_login: bool,
}

impl Decode for Socks {
    type Frame<'a> = Said<'a>;

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Said<'a>>, BoxError> {
        let version = if let Next::Login = self.next { 1 } else { 5 };
        if input.first().is_some_and(|first| *first != version) {
            return Err("not SOCKS version 5".into());
        }
        let mut rest = input.get(1..).unwrap_or_default();
        let Some(said) = self.next.take(&mut rest) else { return Ok(None) };
        *input = rest;
        self.next = match said {
            Said::Methods(_) if self.wants_login => Next::Login,
            _ => Next::Request,
        };
        Ok(Some(said))
    }

    fn limit(&self) -> usize {
        1024
    }
}

impl Next {
    /// What stands behind the version, if all of it has come.
    fn take<'a>(self, input: &mut &'a [u8]) -> Option<Said<'a>> {
        Some(match self {
            Next::Methods => Said::Methods(prefixed(input)?),
            Next::Login => Said::Login(prefixed(input)?, prefixed(input)?),
            Next::Request => {
                let [command, _, kind] = *array(input)?;
                let host = match kind {
                    1 => Some(IpAddr::from(*array::<4>(input)?).to_string()),
                    3 => Some(String::from_utf8_lossy(prefixed(input)?).into_owned())
                        .filter(|name| !name.is_empty()),
                    4 => Some(IpAddr::from(*array::<16>(input)?).to_string()),
                    _ => None,
                };
                let port = if host.is_some() { u16::from_be_bytes(*array(input)?) } else { 0 };
                Said::Request(command, host, port)
            }
        })
    }
}

fn array<'a, const N: usize>(input: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(taken)
}

/// Bytes, with their number before them.
fn prefixed<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [len] = array(input)?;
    let (taken, rest) = input.split_at_checked(usize::from(*len))?;
    *input = rest;
    Some(taken)
}

/// The answer to a request: a code, and our end of the connection to the target.
fn reply(code: u8, bound: SocketAddr) -> Vec<u8> {
    let mut reply = vec![5, code, 0];
    match bound.ip() {
        IpAddr::V4(ip) => reply.extend([&[1][..], &ip.octets()].concat()),
        IpAddr::V6(ip) => reply.extend([&[4][..], &ip.octets()].concat()),
    }
    reply.extend(bound.port().to_be_bytes());
    reply
}

fn refusal(code: u8) -> Vec<u8> {
    reply(code, SocketAddr::from(([0; 4], 0)))
}

fn code(error: &NetError) -> u8 {
    match error.kind() {
        ErrorKind::PermissionDenied => 2,
        ErrorKind::NetworkUnreachable => 3,
        ErrorKind::HostUnreachable | ErrorKind::NotFound | ErrorKind::TimedOut => 4,
        ErrorKind::ConnectionRefused => 5,
        _ => 1,
    }
}

/// Connects to the target, and answers the client when that is done.
fn connect(s: &mut SocketCx<'_>, host: &str, port: u16) -> SocketKey {
    let client = s.key();
    let name = format!("{}:{port}", OneLine(host));
    let to = ConnectOptions::new((host, port)).connect_timeout(PATIENCE);
    let target = On::with(false)
        .connect(move |is_connected, target| {
            *is_connected = true;
            let (key, bound) = (target.key(), target.local_addr());
            let bound = bound.unwrap_or(SocketAddr::from(([0; 4], 0)));
            let _ = target.socket(client).write(reply(0, bound));
            // An error of one closes the other, too; their handlers say which.
            target.join(client, key, |_, _| {});
        })
        .close(move |is_connected, target, close| {
            println!("{name}: {close}, {} bytes back", close.bytes_read);
            if !*is_connected {
                let code = close.reason.error().map_or(1, code);
                let _ = target.socket(client).end_with(refusal(code));
            }
        });
    s.connect(to, target)
}

/// The last answer: what the client sends after it is not looked at.
fn dismiss(s: &mut SocketCx<'_>, answer: &[u8]) -> Flow {
    let _ = s.end_with(answer);
    Flow::Closed
}

/// The connection of a client; its state is the connection to the target.
fn client(login: Option<String>) -> impl Handler {
    let socks = Socks { next: Next::Methods, wants_login: login.is_some() };
    On::with(None)
        .timer(|_, s, _| s.destroy())
        .hangup(|_, s, peer| {
            if peer == PeerState::Gone {
                s.destroy();
            }
        })
        .close(|target, s, _| {
            if let Some(target) = *target {
                s.socket(target).destroy();
            }
        })
        .framed(socks, move |target, s, said| match said {
            Said::Methods(offered) => {
                let method = if login.is_some() { 2 } else { 0 };
                match offered.contains(&method) {
                    true => s.write(&[5, method]),
                    false => dismiss(s, &[5, 0xFF]),
                }
            }
            Said::Login(user, password) => {
                let given = [user, b":", password].concat();
                match login.as_ref().is_some_and(|login| login.as_bytes() == given) {
                    true => s.write(&[1, 0]),
                    false => dismiss(s, &[1, 1]),
                }
            }
            Said::Request(1, Some(host), port) => {
                s.clear_timer(0);
                // Until the pipe takes over.
                s.pause();
                *target = Some(connect(s, &host, port));
                Flow::Ready
            }
            Said::Request(1, None, _) => dismiss(s, &refusal(8)),
            Said::Request(..) => dismiss(s, &refusal(7)),
        })
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (at, login) = match &arguments[..] {
        [] => ("127.0.0.1:1080", None),
        [help] if help == "--help" => {
            println!("{USAGE}");
            return Ok(());
        }
        [at] => (&at[..], None),
        [at, login] if login.contains(':') => (&at[..], Some(login.clone())),
        _ => refuse("too many arguments, or a login without ':'"),
    };
    let mut lp = Loop::new()?;
    let options = ListenOptions::new(at).max_connections(4096, AtLimit::Hold).idle_timeout(IDLE);
    let server = lp.listen(options, move |conn| {
        let mut s = conn.accept(client(login.clone()));
        s.set_timer(0, PATIENCE);
    });
    let server = server.unwrap_or_else(|e| refuse(e));
    lp.server(server).shutdown_on_signals(PATIENCE)?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()
}

fn refuse(why: impl Display) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
