//! A TCP proxy: two connections piped to each other, in both directions.
//!
//! ```text
//! cargo run --release --example proxy                       # a demonstration, which ends
//! cargo run --release --example proxy LISTEN UPSTREAM       # a proxy; Ctrl-C stops it
//! ```
//! Each direction ends for itself, so a half-close passes through. An error on either side ends
//! both directions.

use std::io;
use std::process::exit;
use std::time::Duration;

use tidegate::net::AtLimit;
use tidegate::prelude::*;

/// After this time without a byte the client's connection ends, and with it the upstream's.
const IDLE: Duration = Duration::from_secs(300);

fn proxy(lp: &mut Loop, at: &str, upstream: String) -> io::Result<ServerKey> {
    // Each client needs a connection upstream, and each peer may vanish without a word.
    let options = ListenOptions::new(at).max_connections(4096, AtLimit::Hold).idle_timeout(IDLE);
    let server = lp.listen(options, move |conn| {
        let mut a = conn.accept(On::new());
        // Until the upstream is connected, bytes wait in its queue up to the high-water mark;
        // then the client is paused.
        let to = ConnectOptions::new(upstream.as_str()).connect_timeout(Duration::from_secs(10));
        let b = a.connect(to, On::new());
        let client = a.key();
        // An error of the client is one of the source, an error upstream one of the sink.
        a.join(client, b, |_, result| match result {
            Ok(()) => println!("  client and upstream: both ended"),
            Err(e) => println!("  client and upstream: {e}"),
        });
    });
    Ok(server?)
}

/// Reads until the client ends its side, and only then answers.
fn upstream(lp: &mut Loop) -> io::Result<ServerKey> {
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
    let server = lp.listen(options, |conn| {
        let answer = |seen: &mut usize, s: &mut SocketCx<'_>| {
            let text = format!("you asked {seen} bytes");
            let _ = s.write(text);
            s.end();
        };
        conn.accept(On::with(0).data(|seen, _, chunk| *seen += chunk.len()).end(answer));
    });
    Ok(server?)
}

/// Three scenes, one after the other: a server that is not referenced does not keep the loop
/// alive, so `run` returns when all connections of a scene are over.
fn demonstrate(lp: &mut Loop) -> io::Result<()> {
    let up = upstream(lp)?;
    let up_at = lp.server(up).local_addr()?.to_string();
    let good = proxy(lp, "127.0.0.1:0", up_at)?;
    let nobody = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
        taken.local_addr()?.to_string()
    };
    let bad = proxy(lp, "127.0.0.1:0", nobody)?;
    for server in [up, good, bad] {
        lp.cx().set_ref(server, false)?;
    }
    let over = |_: &mut SocketCx<'_>, close: Close| println!("  client: {close}");

    println!("half-close: the client ends its side first, and is answered all the same");
    let to = ConnectOptions::new(lp.server(good).local_addr()?).allow_half_open(true);
    let client = On::new()
        .connect(|s| {
            let _ = s.end_with("how high is the water?");
        })
        .data(|_, chunk| println!("  client got: {}", String::from_utf8_lossy(chunk)))
        .close(over);
    lp.connect(to, client);
    lp.run()?;

    println!("nobody upstream: the client is closed, too");
    let to = lp.server(bad).local_addr()?;
    let ask = |s: &mut SocketCx<'_>| {
        let _ = s.write("is anybody there?");
    };
    lp.connect(to, On::new().connect(ask).close(over));
    lp.run()?;

    println!("the client resets: the upstream's connection ends as well");
    let to = lp.server(good).local_addr()?;
    let leave = |s: &mut SocketCx<'_>| {
        let _ = s.write("never mind");
        s.set_timer(0, Duration::from_millis(20));
    };
    lp.connect(to, On::new().connect(leave).timer(|s, _| s.reset()).close(over));
    lp.run()
}

const USAGE: &str = "usage: proxy [LISTEN UPSTREAM], each as HOST:PORT";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    env_logger::init();
    let mut lp = Loop::new()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => demonstrate(&mut lp),
        [at, to] => {
            // Before the first client comes: a text that is not a valid address stays so.
            let upstream = ConnectOptions::new(to.as_str()).check().map_err(io::Error::from);
            let server = upstream.and_then(|()| proxy(&mut lp, at, to.clone()));
            let server = server.unwrap_or_else(|e| {
                eprintln!("{e}\n{USAGE}");
                exit(1)
            });
            println!(
                "listening on {}, passing on to {to}; Ctrl-C stops",
                lp.server(server).local_addr()?
            );
            lp.run()
        }
        _ => {
            eprintln!("{USAGE}");
            exit(2)
        }
    }
}
