//! A process to be traced: the loop on its first thread, a client on another.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;
use tidegate::prelude::*;

const MESSAGE: [u8; 64] = [7; 64];

fn connect_and_see_the_end(at: SocketAddr, n: u64) -> io::Result<()> {
    for _ in 0..n {
        let mut c = TcpStream::connect(at)?;
        while c.read(&mut [0; 1])? > 0 {}
        // No TIME_WAIT.
        SockRef::from(&c).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

fn echo(c: &mut TcpStream, n: u64) -> io::Result<()> {
    for _ in 0..n {
        c.write_all(&MESSAGE)?;
        c.read_exact(&mut [0; MESSAGE.len()])?;
    }
    Ok(())
}

fn connect_echo_close(at: SocketAddr, n: u64) -> io::Result<()> {
    (0..n).try_for_each(|_| echo(&mut TcpStream::connect(at)?, 1))
}

fn echo_on_one(at: SocketAddr, n: u64) -> io::Result<()> {
    echo(&mut TcpStream::connect(at)?, n)
}

/// What the client does, and whether the server keeps the connection.
type Plan = (fn(SocketAddr, u64) -> io::Result<()>, bool);

/// The operations that can be traced.
pub(super) const NAMES: [&str; 3] = ["accept_and_close", "connect_echo_close", "echo"];

/// Does an operation `n` times.
pub(crate) fn operate(name: &str, n: u64) -> io::Result<()> {
    let (client, keeps): Plan = match name {
        "accept_and_close" => (connect_and_see_the_end, false),
        "connect_echo_close" => (connect_echo_close, true),
        "echo" => (echo_on_one, true),
        other => return Err(io::Error::new(io::ErrorKind::InvalidInput, other.to_owned())),
    };
    let mut lp = Loop::new()?;
    let server = lp.listen("127.0.0.1:0", move |conn| {
        if keeps {
            conn.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
            }));
        } else {
            conn.reject();
        }
    })?;
    let (at, remote) = (lp.local_addr(server)?, lp.as_cx().remote());
    let client = std::thread::spawn(move || {
        let done = client(at, n);
        let _ = remote.post(|cx| cx.stop());
        done
    });
    lp.run()?;
    client.join().map_err(|_| io::Error::other("the client panicked"))?
}
