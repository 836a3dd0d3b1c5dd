//! tokio's servers: one thread, a task for each connection, written the ordinary way.
#![forbid(unsafe_code)]

use std::os::unix::net::UnixStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Builder;

use crate::peer::contract::{Mode, Options, obey};

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
            Ok(_) if mode == Mode::Echo => {
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
        if let Some(stamps) = &options.stamps {
            stamps.mark();
        }
        if options.mode != Mode::Accept {
            tokio::spawn(serve_one(s, options.mode, options.buffer));
        }
    }
}

async fn echo(socket: UdpSocket) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else { continue };
        let _ = socket.send_to(&buffer[..n], from).await;
    }
}

/// Echoes datagrams until the other end of `control` is dropped.
pub fn echo_datagrams(socket: std::net::UdpSocket, control: UnixStream) {
    let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
    rt.block_on(async {
        tokio::spawn(echo(UdpSocket::from_std(socket).expect("a socket")));
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
pub fn serve(listener: std::net::TcpListener, control: UnixStream, options: &Options) {
    assert!(options.work.is_zero(), "tokio has no turn that could work");
    let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
    rt.block_on(async {
        let listener = TcpListener::from_std(listener).expect("a listener");
        tokio::spawn(accept(listener, options.clone()));
        follow(control).await;
    });
}
