//! A SOCKS5 proxy (RFC 1928): CONNECT, without authentication. `small_socks5 [ADDR]`

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tidegate::net::{BoxError, Decode, NetError, Parser};
use tidegate::prelude::*;

// The codes of replies.
const SUCCEEDED: u8 = 0;
const GENERAL_FAILURE: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const NETWORK_UNREACHABLE: u8 = 3;
const HOST_UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const COMMAND_NOT_SUPPORTED: u8 = 7;
const ADDRESS_NOT_SUPPORTED: u8 = 8;

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

enum Message<'a> {
    /// The methods that the client offers.
    Greeting(&'a [u8]),
    /// Where it wants to go, or the code of the refusal.
    Request(Result<(String, u16), u8>),
}

#[derive(Default)]
struct Messages {
    is_greeted: bool,
}

impl Decode for Messages {
    type Frame<'a> = Message<'a>;

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Message<'a>>, BoxError> {
        Parser::parse(input, |p| {
            p.expect(&[5])?;
            if !self.is_greeted {
                let methods = p.byte()?;
                let greeting = Message::Greeting(p.bytes(methods.into())?);
                self.is_greeted = true;
                return Ok(greeting);
            }
            let [command, _, kind] = p.array()?;
            let host = match kind {
                1 => Ok(IpAddr::from(p.array::<4>()?).to_string()),
                3 => {
                    let length = p.byte()?;
                    let name = String::from_utf8(p.bytes(length.into())?.to_vec());
                    name.ok().filter(|name| !name.is_empty()).ok_or(GENERAL_FAILURE)
                }
                4 => Ok(IpAddr::from(p.array::<16>()?).to_string()),
                _ => return Ok(Message::Request(Err(ADDRESS_NOT_SUPPORTED))),
            };
            let port = u16::from_be_bytes(p.array()?);
            let host = if command == 1 { host } else { Err(COMMAND_NOT_SUPPORTED) };
            Ok(Message::Request(host.map(|host| (host, port))))
        })
    }

    fn limit(&self) -> usize {
        262 // a request with the longest name
    }
}

fn reply(code: u8, bound: SocketAddr) -> Vec<u8> {
    let (kind, ip) = match bound.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (4, ip.octets().to_vec()),
    };
    [&[5, code, 0, kind][..], &ip, &bound.port().to_be_bytes()].concat()
}

fn code(error: &NetError) -> u8 {
    match error.kind() {
        ErrorKind::PermissionDenied => NOT_ALLOWED,
        ErrorKind::NetworkUnreachable => NETWORK_UNREACHABLE,
        ErrorKind::HostUnreachable | ErrorKind::NotFound | ErrorKind::TimedOut => HOST_UNREACHABLE,
        ErrorKind::ConnectionRefused => REFUSED,
        _ => GENERAL_FAILURE,
    }
}

fn on_message(s: &mut SocketCx<'_>, message: Message<'_>) -> Flow {
    let refusal = match message {
        Message::Greeting(methods) if methods.contains(&0) => return s.write(b"\x05\x00"),
        Message::Greeting(_) => vec![5, 0xFF],
        Message::Request(Err(code)) => reply(code, NOWHERE),
        Message::Request(Ok((host, port))) => {
            let to = ConnectOptions::new((&*host, port)).connect_timeout(Duration::from_secs(10));
            s.tunnel(to, answer, |_, result| {
                result.unwrap_or_else(|error| eprintln!("{error}"));
            });
            return Flow::Closed;
        }
    };
    let _ = s.end_with(refusal);
    Flow::Closed
}

/// The target is connected, or cannot be reached.
fn answer(client: &mut SocketCx<'_>, target: Result<SocketKey, &Reason>) {
    let _ = match target {
        Ok(target) => {
            let bound = client.socket(target).local_addr();
            client.write(reply(SUCCEEDED, bound.unwrap_or(NOWHERE)))
        }
        Err(reason) => {
            client.end_with(reply(reason.error().map_or(GENERAL_FAILURE, code), NOWHERE))
        }
    };
}

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1080".to_owned());
    let mut lp = Loop::new()?;
    let options = ListenOptions::new(at)
        .idle_timeout(Duration::from_secs(300))
        .linger_timeout(Duration::from_secs(60));
    let server = lp.listen(options, |conn| {
        conn.accept(On::new().framed(Messages::default(), on_message));
    })?;
    lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
    println!("listening on {}", lp.server(server).local_addr()?);
    Ok(lp.run()?)
}
