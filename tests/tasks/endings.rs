//! How connections of tasks end: resets, drops anywhere, halves, deadlines, connects that are given
//! up.

use std::future::{pending, poll_fn};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tidegate::net::{Filter, FilterError, Passed};
use tidegate::prelude::*;
use tidegate::task::{
    Async, AsyncSocket, BlockOn, IntoAsync, connect, connect_in, spawn, timeout, yield_now,
};

use crate::support::*;
use crate::{run, server};

/// One end in the loop, as a socket for tasks, and the peer.
fn one(lp: &mut Loop) -> (AsyncSocket, std::net::TcpStream) {
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    (lp.socket(key).into_async().unwrap(), peer)
}

/// A filter that changes nothing.
struct Through;

impl Filter for Through {
    fn inbound(&mut self, bytes: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.up.extend_from_slice(bytes);
        Ok(())
    }
    fn outbound(&mut self, bytes: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// A task that waits to read and one that waits to write each get the reset, and so does who asks
/// again.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn b22_a_reset_reaches_reader_and_writer() {
    let mut lp = guarded();
    let (socket, peer) = one(&mut lp);
    let (reader, writer) = socket.into_split();
    let writes = lp.spawn(async move {
        loop {
            if let Err(e) = writer.socket().write(&[7; 64 * 1024]).await {
                let again = writer.socket().write(b"x").await.unwrap_err();
                return (e.kind(), again.kind());
            }
        }
    });
    let reads = lp.spawn(async move {
        let e = reader.socket().read(&mut [0; 8]).await.unwrap_err();
        let again = reader.socket().read(&mut [0; 8]).await.unwrap_err();
        (e.kind(), again.kind())
    });
    for _ in 0..20 {
        lp.run_nowait().unwrap();
    }
    reset(peer);
    let (reads, writes) = run(&mut lp, async { Ok((reads.await?, writes.await?)) });
    assert_eq!(reads, (ErrorKind::ConnectionReset, ErrorKind::ConnectionReset));
    let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(reset.contains(&writes.0) && reset.contains(&writes.1), "{writes:?}");
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

#[test]
fn b23_the_end_is_told_as_often_as_asked() {
    let mut lp = guarded();
    let (socket, peer) = one(&mut lp);
    drop(peer);
    run(&mut lp, async {
        for _ in 0..3 {
            assert_eq!(socket.read(&mut [0; 8]).await?, 0);
            yield_now().await;
        }
        socket.shutdown().await?;
        yield_now().await;
        assert_eq!(socket.read(&mut [0; 8]).await?, 0, "also when all is over");
        assert_eq!(socket.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        socket.shutdown().await
    });
    drop(socket);
    lp.run().unwrap();
}

/// With bytes that nobody read: in a poll, in a callback, outside of the run, on another thread.
#[test]
fn b24_dropped_anywhere() {
    for place in 0..4 {
        let mut lp = guarded();
        let (socket, peer) = one(&mut lp);
        write_all(&peer, b"unread");
        lp.run_nowait().unwrap();
        match place {
            0 => lp.block_on(async move { drop(socket) }).unwrap(),
            1 => lp.next_tick(move |_| drop(socket)),
            2 => drop(socket),
            _ => std::thread::spawn(move || drop(socket)).join().unwrap(),
        }
        lp.run().unwrap();
        let mut end = [0; 1];
        let read = std::io::Read::read(&mut &peer, &mut end);
        assert!(matches!(read, Ok(0) | Err(_)), "{place}: {read:?}");
        assert_eq!(handles(&lp), 0, "{place}");
    }
}

/// What filters hold was accepted. If it does not get out after the drop, no task is left that
/// could get the error: the loop counts it.
#[test]
fn b24_dropped_with_bytes_that_do_not_get_out() {
    for resets in [true, false] {
        // Without the guard: its deadline comes before that of the drain.
        let (mut lp, _script) = Loop::scripted().unwrap();
        let (socket, peer) = one(&mut lp);
        let key = socket.key();
        lp.socket(key).set_filter(Through);
        // One poll writes 1 MiB, which may not be enough.
        while lp.socket(key).buffered() == 0 {
            let fills = poll_fn(|cx| {
                while socket.poll_write(cx, &[7; 64 * 1024]).is_ready() {}
                Poll::Ready(())
            });
            lp.block_on(fills).unwrap();
        }
        drop(socket);
        lp.run_nowait().unwrap();
        assert!(lp.socket(key).buffered() > 0);
        assert_eq!(lp.metrics().unhandled_errors, 0);
        let _peer = match resets {
            true => {
                reset(peer);
                None
            }
            // Reads nothing: the last deadline ends it.
            false => Some(peer),
        };
        lp.run().unwrap();
        assert_eq!((lp.handles(), lp.metrics().unhandled_errors), (0, 1), "{resets}");
    }
}

/// With futures in the loop that drop sockets as they are cancelled: each is closed.
#[test]
fn b24_dropped_with_its_task() {
    let mut lp = guarded();
    let mut peers = Vec::new();
    let mut tasks = Vec::new();
    for waits in [true, false] {
        let (socket, peer) = one(&mut lp);
        peers.push(peer);
        tasks.push(lp.spawn(async move {
            if waits {
                let _ = socket.read(&mut [0; 8]).await;
            }
            let _socket = socket;
            pending::<()>().await
        }));
    }
    lp.run_nowait().unwrap();
    drop(tasks);
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
    for peer in peers {
        assert_eq!(read_to_end(&peer), b"");
    }
}

#[test]
fn b25_halves_are_dropped_in_each_order() {
    for writer_first in [true, false] {
        let mut lp = guarded();
        let (socket, peer) = one(&mut lp);
        let (reader, writer) = socket.into_split();
        if writer_first {
            drop(writer);
            lp.run_nowait().unwrap();
            arrived(&peer);
            assert_eq!(read_to_end(&peer), b"", "our side has ended");
            write_all(&peer, b"late");
            run(&mut lp, async {
                assert_eq!(reader.socket().read(&mut [0; 8]).await?, 4);
                Ok(())
            });
            drop(reader);
        } else {
            drop(reader);
            run(&mut lp, async { writer.socket().write_all(b"still").await });
            drop(writer);
            lp.run().unwrap();
            assert_eq!(read_to_end(&peer), b"still");
        }
        lp.run().unwrap();
        assert_eq!(handles(&lp), 0);
    }
}

#[test]
fn b25_halves_become_one_again() {
    let mut lp = guarded();
    let (one_socket, peer) = one(&mut lp);
    let (other_socket, _other) = one(&mut lp);
    let ((a, b), (c, d)) = (one_socket.into_split(), other_socket.into_split());
    let (a, d) = a.unite(d).unwrap_err();
    let socket = a.unite(b).unwrap();
    drop(c.unite(d).unwrap());
    run(&mut lp, async { socket.write_all(b"whole").await });
    drop(socket);
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer), b"whole");
}

/// A connect that nobody waits for any more is given up.
#[test]
fn b26_a_connect_that_is_dropped() {
    let mut lp = guarded();
    let Some((listener, _fill)) = silent() else { return };
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
    let given_up = lp.block_on(timeout(Duration::from_millis(5), connect(at))).unwrap();
    assert!(given_up.is_err());
    lp.run().unwrap();
    assert_eq!((handles(&lp), lp.net_metrics().connecting), (0, 0));
    drop(connect_in(&mut *lp, at));
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
    let refused = lp.block_on(connect(closed_port())).unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(refused.error().unwrap().code(), Some("ECONNREFUSED"));
}

#[test]
fn b28_deadlines_end_waits() {
    let mut lp = guarded();
    let (socket, _peer) = one(&mut lp);
    let e = run(&mut lp, async {
        socket.with(|s| s.set_idle_timeout(Duration::from_millis(5)))?;
        Ok(socket.read(&mut [0; 8]).await.unwrap_err())
    });
    assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
    let again = lp.block_on(socket.write(b"x")).unwrap().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::TimedOut);
    drop(socket);
    lp.run().unwrap();
}

/// Its server shuts down: our side ends, and the task reads to the end.
#[test]
fn b28_a_server_that_shuts_down() {
    let mut lp = guarded();
    let (key, at) = server(&mut lp, |socket| async move {
        let mut all = 0;
        loop {
            match socket.read(&mut [0; 8]).await.unwrap() {
                0 => return all,
                n => all += n,
            }
        }
    });
    let c = client(at);
    turn_until(&mut lp, |lp| lp.task_metrics().polls == 1);
    lp.server(key).shutdown(DEADLINE).unwrap();
    lp.run_nowait().unwrap();
    assert_eq!(read_to_end(&c), b"");
    c.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!((handles(&lp), lp.task_metrics().finished), (0, 1));
}

/// Closed by its key, in the middle of a wait.
#[test]
fn b24_closed_by_its_key() {
    let mut lp = guarded();
    let (socket, _peer) = one(&mut lp);
    let key = socket.key();
    lp.after(Duration::from_millis(1), move |cx| cx.close(key).unwrap());
    let e = run(&mut lp, async {
        let mut read = pin!(socket.read(&mut [0; 8])).await;
        if read.is_ok() {
            read = Err(ErrorKind::Other.into());
        }
        Ok(read.unwrap_err())
    });
    assert_eq!(e.kind(), ErrorKind::ConnectionAborted, "{e}");
    drop(socket);
    lp.run().unwrap();
}

/// Reads that are dropped before they are ready lose no byte.
#[test]
fn b24_a_read_that_is_dropped_loses_nothing() {
    let mut lp = guarded();
    let (socket, peer) = one(&mut lp);
    run(&mut lp, async {
        let mut buffer = [0; 8];
        {
            let mut read = pin!(socket.read(&mut buffer));
            let first = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending())).await;
            assert!(first);
        }
        let write = spawn(async move {
            write_all(&peer, b"tide");
            peer
        })?;
        let _peer = write.await?;
        yield_now().await;
        assert_eq!(socket.read(&mut buffer).await?, 4);
        Ok(())
    });
    drop(socket);
    lp.run().unwrap();
}
