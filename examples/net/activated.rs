//! A server whose listening socket is opened by the process that starts it: systemd's socket
//! activation, or any supervisor that hands over descriptor 3. A restart then refuses no client.
//!
//! ```text
//! cargo run --release --example activated                                  # a demonstration, which ends
//! systemd-socket-activate -l 8080 target/release/examples/activated serve  # one connection
//! ```

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, exit};
use std::time::Duration;

use tidegate::prelude::*;

/// Serves one connection on the socket that was handed over.
fn serve() -> io::Result<()> {
    let handed = listenfd::ListenFd::from_env().take_tcp_listener(0)?;
    let Some(listener) = handed else {
        eprintln!("no socket was handed over: start this by systemd-socket-activate -l PORT");
        exit(1)
    };
    let mut lp = Loop::new()?;
    // The client may never end its side.
    let options = ListenOptions::from(listener).lifetime(Duration::from_secs(10));
    let server = lp.listen(options, |mut conn| {
        let _ = conn.server(conn.server_key()).close();
        let text = format!("served by process {}\n", std::process::id());
        let _ = conn.accept(On::new()).end_with(text.as_str());
    })?;
    println!("  process {} listens on {}", std::process::id(), lp.server(server).local_addr()?);
    lp.run()
}

/// Opens the socket, and starts two servers on it, one after the other. The second client
/// connects before its server runs: it waits in the kernel's queue.
#[cfg(unix)]
fn demonstrate() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    // A copy that the servers inherit.
    let socket = socket2::SockRef::from(&listener).try_clone()?;
    socket.set_cloexec(false)?;
    println!("the supervisor opened {at}");
    let clients = [TcpStream::connect(at)?, TcpStream::connect(at)?];
    for mut client in clients {
        let mut server = Command::new("sh")
            .args(["-c", "exec \"$1\" serve 3<&\"$2\"", "sh"])
            .arg(std::env::current_exe()?)
            .arg(socket.as_raw_fd().to_string())
            .env("LISTEN_FDS", "1")
            .env_remove("LISTEN_PID")
            .spawn()?;
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        println!("  the client: {}", answer.trim_end());
        drop(client);
        server.wait()?;
    }
    println!("two servers, one socket, nobody refused");
    Ok(())
}

#[cfg(not(unix))]
fn demonstrate() -> io::Result<()> {
    let _: Option<(TcpListener, TcpStream, Command)> = None;
    let _ = |mut s: TcpStream| s.read(&mut []);
    println!("skipped: descriptors are handed over on Unix");
    Ok(())
}

const USAGE: &str = "usage: activated [serve]";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    env_logger::init();
    match std::env::args().nth(1).as_deref() {
        None => demonstrate(),
        Some("serve") => serve(),
        Some(_) => {
            eprintln!("{USAGE}");
            exit(2)
        }
    }
}
