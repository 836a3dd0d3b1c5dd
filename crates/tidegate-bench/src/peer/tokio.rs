//! tokio's servers: one thread, a task for each connection, written the ordinary way.
#![forbid(unsafe_code)]

use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Builder;

use crate::peer::contract::{ANSWER, Mode, Options, PIECE, TICK, asked, obey};
use crate::sys::cores;

async fn serve_one(mut s: TcpStream, mode: Mode, buffer: usize) {
    match mode {
        Mode::Answer => drop(s.write_all(b"x").await),
        Mode::Batch(messages) => {
            for _ in 0..messages {
                if s.write_all(b"Hello, world.").await.is_err() {
                    return;
                }
            }
            let _ = s.shutdown().await;
        }
        _ => {}
    }
    let mut buffer = Vec::with_capacity(buffer);
    loop {
        buffer.clear();
        match s.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) if matches!(mode, Mode::Echo | Mode::Flooded) => {
                if s.write_all(&buffer).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
        }
    }
}

async fn accept(listener: TcpListener, options: Options) {
    loop {
        let Ok((s, _)) = listener.accept().await else { continue };
        if options.mode != Mode::Flooded {
            options.mark();
        }
        if options.mode != Mode::Accept {
            tokio::spawn(serve_one(s, options.mode, options.buffer));
        }
    }
}

/// Answers datagrams, as the mode says.
async fn answer(socket: UdpSocket, options: Options) {
    let (mut buffer, piece) = (vec![0; 64 * 1024], [7; PIECE]);
    loop {
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else { continue };
        match options.mode {
            Mode::Flooded => options.count(),
            Mode::Answers => drop(socket.send_to(&piece[..ANSWER], from).await),
            Mode::Bulk => {
                for _ in 0..asked(&buffer[..n]).unwrap_or(0) {
                    let _ = socket.send_to(&piece, from).await;
                }
                options.mark();
            }
            _ => drop(socket.send_to(&buffer[..n], from).await),
        }
    }
}

/// Notes how late a timer is.
async fn tick(options: Options) {
    let mut armed = cores::now();
    loop {
        tokio::time::sleep(Duration::from_nanos(TICK)).await;
        armed = options.note_late(armed + TICK);
    }
}

/// Answers datagrams until the other end of `control` is dropped.
pub fn serve_datagrams(socket: std::net::UdpSocket, control: UnixStream, options: Options) {
    let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
    rt.block_on(async {
        tokio::spawn(answer(UdpSocket::from_std(socket).expect("a socket"), options));
        follow(control).await;
    });
}

/// Follows orders until the last one.
pub(crate) async fn follow(control: UnixStream) {
    let control = tokio::net::UnixStream::from_std(control).expect("a socket");
    let mut stop = false;
    while !stop {
        control.readable().await.expect("the poller works");
        let _ = control.try_io(Interest::READABLE, || {
            stop = obey(&control);
            // It was read until there was nothing more.
            Err::<(), _>(std::io::ErrorKind::WouldBlock.into())
        });
    }
}

/// Serves until the other end of `control` is dropped.
pub fn serve(
    listener: std::net::TcpListener,
    udp: Option<std::net::UdpSocket>,
    control: UnixStream,
    options: &Options,
) {
    assert!(options.work.is_zero(), "tokio has no turn that could work");
    let rt = Builder::new_current_thread().enable_all().build().expect("a runtime");
    rt.block_on(async {
        if let Some(socket) = udp {
            tokio::spawn(answer(UdpSocket::from_std(socket).expect("a socket"), options.clone()));
            tokio::spawn(tick(options.clone()));
        }
        let listener = TcpListener::from_std(listener).expect("a listener");
        tokio::spawn(accept(listener, options.clone()));
        follow(control).await;
    });
}
