//! What is sent: a text, so many bytes, or standard input. A thread reads standard input, because
//! not every file tells the poller when it is ready; it waits while the peer is too slow.
#![forbid(unsafe_code)]

use std::io::Read;
use std::sync::mpsc::{self, Receiver, Sender};

use tidegate::Remote;
use tidegate::prelude::*;

/// What is left to be sent.
pub(super) enum Input {
    Text(Vec<u8>),
    Bytes(u64),
    /// Each credit lets the thread read once more.
    Stdin(Option<Sender<()>>),
}

/// Bytes that one read of standard input takes.
const BLOCK: usize = 64 * 1024;

/// Reads standard input for this connection, until it ends or the loop does.
pub(super) fn read_stdin(remote: Remote, to: SocketKey, hold: bool) -> Sender<()> {
    let (credit, credits) = mpsc::channel();
    let given = credit.clone();
    // It may wait for a person when the program ends; then it ends with it.
    let _ = std::thread::spawn(move || forward(&remote, to, hold, &given, &credits));
    let _ = credit.send(());
    credit
}

fn forward(remote: &Remote, to: SocketKey, hold: bool, given: &Sender<()>, credits: &Receiver<()>) {
    let mut block = vec![0; BLOCK];
    let mut stdin = std::io::stdin().lock();
    while credits.recv().is_ok() {
        let read = match stdin.read(&mut block) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {
                let _ = given.send(());
                continue;
            }
            // What cannot be read has ended.
            Err(_) | Ok(0) => break,
            Ok(read) => read,
        };
        let (chunk, credit) = (block[..read].to_vec(), given.clone());
        let posted = remote.post(move |cx: &mut Cx<'_>| {
            // After `Full` the drain gives the credit.
            if cx.socket(to).write(chunk) == Flow::Ready {
                let _ = credit.send(());
            }
        });
        if posted.is_err() {
            return;
        }
    }
    if !hold {
        let _ = remote.post(move |cx: &mut Cx<'_>| cx.socket(to).end());
    }
}
