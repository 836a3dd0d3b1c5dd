//! Connections of tasks: bytes, waits, back-pressure, halves, filters.

mod lent;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use tidegate::net::{Filter, FilterError, Net, Passed};
use tidegate::prelude::*;
use tidegate::task::{Async, AsyncListener, AsyncSocket, BlockOn, connect, oneshot, spawn, with};

use crate::support::*;
use crate::{echo, run, server};

#[test]
fn b17_connect_and_duplex() {
    const BYTES: usize = 3 << 20;
    let mut lp = guarded();
    let (_, at) = server(&mut lp, echo);
    run(&mut lp, async move {
        let socket = connect(at).await?;
        assert_eq!(socket.peer_addr(), Some(at));
        assert!(socket.local_addr()?.ip().is_loopback());
        let (reader, writer) = socket.into_split();
        let writes = spawn(async move {
            let data: Vec<u8> = (0..BYTES).map(|n| n as u8).collect();
            writer.socket().write_all(&data).await?;
            writer.shutdown().await
        })?;
        let (mut buffer, mut next) = (vec![0; 50_000], 0_usize);
        loop {
            let n = reader.socket().read(&mut buffer).await?;
            if n == 0 {
                break;
            }
            for byte in &buffer[..n] {
                assert_eq!(*byte, next as u8);
                next += 1;
            }
        }
        assert_eq!(next, BYTES);
        writes.await?
    });
    lp.close_all();
    lp.run().unwrap();
}

#[test]
fn b18_gathered_writes_and_empty_ones() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, |socket| async move {
        let pieces = [&b"high"[..], b" ", b"", b"water"].map(IoSlice::new);
        assert_eq!(socket.write_vectored(&pieces).await.unwrap(), 10);
        assert_eq!(socket.write(b"").await.unwrap(), 0);
        assert_eq!(socket.read(&mut []).await.unwrap(), 0, "and is no end");
        socket.flush().await.unwrap();
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 2);
    });
    let c = client(at);
    write_all(&c, b"ok");
    let reads = std::thread::spawn(move || read_to_end(&c));
    turn_until(&mut lp, |lp| lp.task_metrics().finished == 1);
    assert_eq!(reads.join().unwrap(), b"high water");
    lp.close_all();
    lp.run().unwrap();
}

/// The peer writes as much as the kernel takes, and nobody reads: we hold nothing, and the loop
/// sleeps.
#[test]
fn b19_nobody_reads_and_nothing_is_held() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, |socket| async move {
        let _socket = socket;
        pending::<()>().await;
    });
    let mut c = client(at);
    c.set_nonblocking(true).unwrap();
    let mut sent = 0_u64;
    loop {
        match c.write(&[7; 64 * 1024]) {
            Ok(n) => sent += n as u64,
            Err(e) if e.kind() == ErrorKind::WouldBlock && lp.task_metrics().polls > 0 => break,
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
        lp.run_nowait().unwrap();
    }
    let m = lp.net_metrics();
    assert!(sent > 100_000 && m.bytes_read == 0 && m.held == 0, "{sent} {m:?}");
    lp.run_nowait().unwrap();
    assert_ne!(lp.backend_timeout(), Some(std::time::Duration::ZERO), "it spins");
    lp.close_all();
    lp.run().unwrap();
}

/// A writer waits while the peer does not read, and is woken when there is room; it never queues.
#[test]
fn b20_a_slow_reader_stops_the_writer() {
    let mut lp = guarded();
    let written = Rc::new(Cell::new(0_usize));
    let counted = written.clone();
    let (_, at) = server(&mut lp, move |socket| {
        let counted = counted.clone();
        async move {
            loop {
                match socket.write(&[7; 64 * 1024]).await {
                    Ok(n) => counted.set(counted.get() + n),
                    Err(e) => return e.kind(),
                }
            }
        }
    });
    let mut c = client(at);
    let stopped = |lp: &mut Loop| {
        let mut before = usize::MAX;
        turn_until_quiet(lp, |_| std::mem::replace(&mut before, written.get()) == written.get());
        written.get()
    };
    let first = stopped(&mut lp);
    assert!(first > 100_000);
    assert_eq!(lp.net_metrics().queued, 0);
    let polls = lp.task_metrics().polls;
    lp.run_nowait().unwrap();
    assert_eq!(lp.task_metrics().polls, polls, "it waits");
    let mut half = vec![0; first / 2 + 1];
    c.read_exact(&mut half).unwrap();
    turn_until(&mut lp, |_| written.get() > first);
    drop(c);
    turn_until(&mut lp, |lp| lp.task_metrics().finished == 1);
    lp.close_all();
    lp.run().unwrap();
}

/// Turns that do not wait, until nothing has changed in some of them.
fn turn_until_quiet(lp: &mut Loop, mut same: impl FnMut(&mut Loop) -> bool) {
    let mut quiet = 0;
    poll_until(lp, |lp| {
        quiet = if same(lp) { quiet + 1 } else { 0 };
        quiet > 50
    });
}

/// Each side ends, and the other one still sends.
#[test]
fn b21_half_close_both_ways() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, |socket| async move {
        // The peer ends first, and gets an answer.
        let mut all = Vec::new();
        let mut buffer = [0; 64];
        loop {
            match socket.read(&mut buffer).await.unwrap() {
                0 => break,
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
        tidegate::task::yield_now().await;
        socket.write_all(&all).await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(socket.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
    run(&mut lp, async move {
        let socket = connect(at).await?;
        socket.write_all(b"all of it").await?;
        socket.shutdown().await?;
        socket.shutdown().await?;
        let mut answer = [0; 64];
        assert_eq!(socket.read(&mut answer).await?, 9);
        assert_eq!(socket.read(&mut answer).await?, 0);
        Ok(())
    });
    lp.close_all();
    lp.run().unwrap();
    // Our side ends first; the peer writes on.
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    let socket = into_async(&mut lp, key);
    run(&mut lp, async {
        socket.shutdown().await?;
        Ok(())
    });
    assert_eq!(read_to_end(&peer), b"");
    write_all(&peer, b"late");
    run(&mut lp, async {
        let mut buffer = [0; 8];
        assert_eq!(socket.read(&mut buffer).await?, 4);
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(socket.read(&mut buffer).await?, 0);
        assert_eq!(socket.read(&mut buffer).await?, 0, "and stays so");
        Ok(())
    });
    drop(socket);
    lp.run().unwrap();
}

fn into_async(lp: &mut Loop, key: SocketKey) -> AsyncSocket {
    use tidegate::task::IntoAsync;
    lp.socket(key).into_async().unwrap()
}

/// A connection is used in tasks of its own loop alone; it is `Send` all the same.
#[test]
fn b38_it_is_send_and_says_where_it_does_not_work() {
    fn is_send<T: Send + Sync>(_: &T) {}
    let (mut a, mut b) = (guarded(), guarded());
    let (_peer, ours) = pair();
    let key = a.adopt(ours, On::new()).unwrap();
    let socket = into_async(&mut a, key);
    is_send(&socket);
    let e = b.block_on(socket.read(&mut [0; 8])).unwrap().unwrap_err();
    assert!(e.to_string().contains("another loop"), "{e}");
    let e = b.block_on(socket.write(b"x")).unwrap().unwrap_err();
    assert!(e.to_string().contains("another loop"), "{e}");
    let there = std::thread::spawn(move || {
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        let read = socket.poll_read(cx, &mut [0; 8]);
        let Poll::Ready(Err(e)) = read else { panic!("{read:?}") };
        e.to_string() // and it is dropped there
    });
    assert!(there.join().unwrap().contains("not in a task"));
    a.run().unwrap();
    assert_eq!(handles(&a), 0);
}

/// Bytes go through a filter both ways, in records that are held back.
#[test]
fn b32_through_a_filter() {
    /// Changes each byte.
    struct Xor(u8);
    impl Filter for Xor {
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
            out.up.extend(wire.iter().map(|b| b ^ self.0));
            Ok(())
        }
        fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            out.down.extend(user.iter().map(|b| b ^ self.0));
            Ok(user.len())
        }
    }
    const BYTES: usize = 2 << 20;
    let mut lp = guarded();
    let (_, at) = server(&mut lp, |socket| async move {
        socket.with(|s| s.set_filter(Xor(0x55))).unwrap();
        echo(socket).await.unwrap();
    });
    run(&mut lp, async move {
        let socket = connect(at).await?;
        socket.with(|s| s.set_filter(Xor(0x55)))?;
        let (reader, writer) = socket.into_split();
        let writes = spawn(async move {
            writer.socket().write_all(&vec![9; BYTES]).await?;
            writer.socket().flush().await?;
            writer.shutdown().await
        })?;
        let (mut all, mut buffer) = (0, vec![0; 10_000]);
        loop {
            match reader.socket().read(&mut buffer).await? {
                0 => break,
                n => {
                    assert!(buffer[..n].iter().all(|b| *b == 9));
                    all += n;
                }
            }
        }
        assert_eq!(all, BYTES);
        writes.await?
    });
    lp.close_all();
    lp.run().unwrap();
}

/// Two futures of one task wait for two connections at once; each wakes the task.
#[test]
fn b05_two_connections_in_one_task() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, echo);
    run(&mut lp, async move {
        let (one, other) = (connect(at).await?, connect(at).await?);
        let (mut a, mut b) = ([0; 4], [0; 5]);
        let mut reads = (pin!(one.read(&mut a)), pin!(other.read(&mut b)));
        let mut got = (None, None);
        other.write_all(b"other").await?;
        poll_fn(|cx| {
            if got.1.is_none() {
                if let Poll::Ready(n) = reads.1.as_mut().poll(cx) {
                    got.1 = Some(n);
                }
            }
            if got.0.is_none() {
                if let Poll::Ready(n) = reads.0.as_mut().poll(cx) {
                    got.0 = Some(n);
                }
            }
            match &got {
                (None, Some(Ok(5))) => {
                    with(|cx| {
                        let _ = cx.socket(one.key()).write("ones");
                    })
                    .unwrap();
                    Poll::Pending
                }
                (Some(Ok(4)), Some(Ok(5))) => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        Ok(())
    });
    lp.close_all();
    lp.run().unwrap();
}

#[test]
fn b17_a_listener_in_a_task_serves_many() {
    let mut lp = guarded();
    run(&mut lp, async {
        let mut listener = AsyncListener::bind("127.0.0.1:0")?;
        let at = listener.local_addr()?;
        let serve = spawn(async move {
            for _ in 0..50 {
                let (socket, peer) = listener.accept().await.unwrap();
                assert!(peer.is_some());
                spawn(echo(socket)).unwrap().detach();
            }
        })?;
        let mut clients = Vec::new();
        for n in 0..50_u8 {
            let text = [n; 100];
            clients.push(spawn(async move {
                let socket = connect(at).await.unwrap();
                socket.write_all(&text).await.unwrap();
                socket.shutdown().await.unwrap();
                let (mut all, mut buffer) = (0, [0; 64]);
                loop {
                    match socket.read(&mut buffer).await.unwrap() {
                        0 => return all,
                        n => all += n,
                    }
                }
            })?);
        }
        for client in clients {
            assert_eq!(client.await?, 100);
        }
        serve.await?;
        Ok(())
    });
    lp.run().unwrap();
    assert_eq!((handles(&lp), lp.task_metrics().tasks), (0, 0));
}

/// The task has read all; what `unread` gives back is read in the same poll.
#[test]
fn b30_given_back_in_the_poll_that_read_it() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, |socket| async move {
        let mut bytes = [0; 16];
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 4);
        poll_fn(|cx| {
            let n = ready!(socket.poll_read(cx, &mut bytes)).unwrap();
            assert_eq!(&bytes[..n], b"tide");
            socket.with(|s| s.unread(b"gate")).unwrap();
            assert!(matches!(socket.poll_read(cx, &mut bytes), Poll::Ready(Ok(4))));
            assert_eq!(&bytes[..4], b"gate");
            assert!(socket.poll_read(cx, &mut bytes).is_pending());
            Poll::Ready(())
        })
        .await;
        socket.write_all(b"ok").await.unwrap();
    });
    let c = client(at);
    write_all(&c, b"high");
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_read == 4);
    write_all(&c, b"tide");
    turn_until(&mut lp, |lp| lp.task_metrics().finished == 1);
    assert_eq!(read_to_end(&c), b"ok");
    lp.close_all();
    lp.run().unwrap();
}

/// A waker that counts, and wakes a task.
struct Counts {
    task: Waker,
    wakes: AtomicU32,
}

impl Wake for Counts {
    fn wake(self: Arc<Counts>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

/// Two wakers wait for the same in one poll: the last one is woken.
#[test]
fn b05_the_last_waker_of_a_poll_waits() {
    for own_last in [false, true] {
        let mut lp = guarded();
        let (_, at) = server(&mut lp, move |socket| async move {
            let mut bytes = [0; 16];
            let mut got = 0;
            let mut other: Option<Arc<Counts>> = None;
            poll_fn(|cx| {
                let mut read =
                    |cx: &mut Context<'_>| socket.poll_read(cx, &mut bytes).map(|n| n.unwrap());
                while got < 12 {
                    got += ready!(read(cx));
                    if got == 8 {
                        let (task, wakes) = (cx.waker().clone(), AtomicU32::new(0));
                        let counts = other.insert(Arc::new(Counts { task, wakes })).clone();
                        let both = [Waker::from(counts), cx.waker().clone()];
                        let order = if own_last { [0, 1] } else { [1, 0] };
                        for i in order {
                            // Its own is lent as it is: a clone counts as the same.
                            let mut by = Context::from_waker(&both[i]);
                            assert!(read(&mut by).is_pending());
                        }
                        return Poll::Pending;
                    }
                }
                Poll::Ready(())
            })
            .await;
            let woken = other.unwrap().wakes.load(Ordering::Relaxed);
            assert_eq!(woken, u32::from(!own_last));
            socket.write_all(b"ok").await.unwrap();
        });
        let c = client(at);
        for sent in 1..=3 {
            write_all(&c, b"tide");
            turn_until(&mut lp, |lp| lp.net_metrics().bytes_read == 4 * sent);
        }
        turn_until(&mut lp, |lp| lp.task_metrics().finished == 1);
        assert_eq!(read_to_end(&c), b"ok");
        lp.close_all();
        lp.run().unwrap();
    }
}

/// A task leaves bytes unread and waits for something else: it is not polled for them, the loop
/// sleeps, and they are there when it reads again.
#[test]
fn b19_a_reader_that_waits_for_something_else() {
    let mut lp = guarded();
    let (sender, receiver) = oneshot();
    let mut receiver = Some(receiver);
    let (_, at) = server(&mut lp, move |socket| {
        let receiver = receiver.take().unwrap();
        async move {
            let mut two = [0; 2];
            for _ in 0..2 {
                assert_eq!(socket.read(&mut two).await.unwrap(), 2);
            }
            receiver.await.unwrap();
            assert_eq!(socket.read(&mut two).await.unwrap(), 2);
            assert_eq!(&two, b"de");
            assert_eq!(socket.read(&mut two).await.unwrap(), 0);
        }
    });
    let c = client(at);
    write_all(&c, b"hi");
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_read == 2);
    // With its end, in one event.
    write_all(&c, b"tide");
    c.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_read == 4);
    let mut before = u64::MAX;
    turn_until_quiet(&mut lp, |lp| {
        let polls = lp.task_metrics().polls;
        std::mem::replace(&mut before, polls) == polls
    });
    assert_ne!(lp.backend_timeout(), Some(std::time::Duration::ZERO), "it spins");
    sender.send(()).unwrap();
    turn_until(&mut lp, |lp| lp.task_metrics().finished == 1);
    lp.close_all();
    lp.run().unwrap();
}
