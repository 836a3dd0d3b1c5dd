//! mio and quinn-udp, written by hand: a server that only sends in bulk.
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{Transmit, UdpSocketState};
use std::os::fd::AsRawFd;

use crate::peer::contract::{Options, PIECE, RUN, asked, obey};

const SOCKET: Token = Token(0);
const CONTROL: Token = Token(1);

/// Sends what it is asked for until the other end of `control` is dropped.
pub fn send_bulk(socket: UdpSocket, control: &UnixStream, options: &Options) {
    let mut socket = mio::net::UdpSocket::from_std(socket);
    let state = UdpSocketState::new((&socket).into()).expect("a UDP socket");
    let mut poll = Poll::new().expect("a poller");
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut socket, SOCKET, both).expect("a socket can be watched");
    let fd = control.as_raw_fd();
    let watched = poll.registry().register(&mut SourceFd(&fd), CONTROL, Interest::READABLE);
    watched.expect("a socket can be watched");
    let mut events = Events::with_capacity(16);
    let (mut buffer, run) = ([0; 64], vec![7; PIECE * RUN]);
    let mut open: Option<(SocketAddr, usize)> = None;
    loop {
        if poll.poll(&mut events, None).is_err() {
            continue;
        }
        if events.iter().any(|e| e.token() == CONTROL) && obey(control) {
            return;
        }
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            open = asked(&buffer[..n]).map(|n| (from, n));
        }
        let Some((to, left)) = &mut open else { continue };
        while *left > 0 {
            let n = RUN.min(*left);
            let transmit = Transmit {
                destination: *to,
                ecn: None,
                contents: &run[..n * PIECE],
                segment_size: Some(PIECE),
                src_ip: None,
            };
            match socket.try_io(|| state.try_send((&socket).into(), &transmit)) {
                Ok(()) => *left -= n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("quinn-udp cannot send: {e}"),
            }
        }
        if *left == 0 {
            options.mark();
            open = None;
        }
    }
}
