//! Servers of tasks, and connections between callbacks and tasks.

use std::cell::Cell;
use std::io::Read;
use std::net::Shutdown;
use std::rc::Rc;

use tidegate::prelude::*;
use tidegate::task::{
    Async, AsyncLimits, AsyncListener, IntoAsync, NotOnLoop, spawn, with, yield_now,
};

use crate::support::*;
use crate::{echo, run, server};

/// A task takes connections slowly: no more than the limit are held, the others wait in the kernel.
#[test]
fn b29_a_bound_for_what_nobody_took() {
    const CLIENTS: usize = 200;
    let lp = Loop::builder().limits(AsyncLimits::new().accepted(4)).build().unwrap();
    let mut lp = guard(lp);
    let mut listener =
        AsyncListener::bind_in(&mut *lp, ListenOptions::new("127.0.0.1:0").backlog(1024)).unwrap();
    let key = listener.key();
    let at = lp.server(key).local_addr().unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(at)).collect();
    for _ in 0..20 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(lp.server(key).stats().unwrap().accepted, 4);
    let most = Rc::new(Cell::new(0));
    let seen = most.clone();
    run(&mut lp, async move {
        for n in 1..=CLIENTS {
            let (socket, _) = listener.accept().await?;
            let accepted = with(|cx| cx.server(key).stats().unwrap().accepted)?;
            seen.set(seen.get().max(accepted as usize - n));
            socket.write_all(b"hello").await?;
            yield_now().await;
        }
        Ok(())
    });
    assert!(most.get() <= 4, "{} were held", most.get());
    lp.run().unwrap();
    for c in &clients {
        assert_eq!(read_to_end(c), b"hello");
    }
    assert_eq!(handles(&lp), 0);
}

/// Connections that nobody took are closed with their listener; those that were taken live on.
#[test]
fn b29_a_listener_that_is_dropped() {
    let mut lp = guarded();
    let mut listener = AsyncListener::bind_in(&mut *lp, "127.0.0.1:0").unwrap();
    let at = lp.server(listener.key()).local_addr().unwrap();
    let (taken, left) = (client(at), client(at));
    run(&mut lp, async move {
        let (socket, _) = listener.accept().await?;
        while with(|cx| cx.server(listener.key()).stats().unwrap().accepted)? < 2 {
            yield_now().await;
        }
        drop(listener);
        spawn(echo(socket))?.detach();
        Ok(())
    });
    write_all(&taken, b"alive");
    taken.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    let mut end = Vec::new();
    let ended = (&left).read_to_end(&mut end);
    assert!(end.is_empty() && (ended.is_ok() || ended.is_err()));
    assert_eq!(read_to_end(&taken), b"alive");
    assert_eq!(handles(&lp), 0);
}

/// A server that is closed by its key says so to who waits.
#[test]
fn b29_a_listener_that_is_closed() {
    let mut lp = guarded();
    let mut listener = AsyncListener::bind_in(&mut *lp, "127.0.0.1:0").unwrap();
    let key = listener.key();
    lp.after(std::time::Duration::from_millis(1), move |cx| cx.server(key).close().unwrap());
    let e = run(&mut lp, async move { Ok(listener.accept().await.unwrap_err()) });
    assert_eq!(e.kind(), std::io::ErrorKind::NotConnected);
    lp.run().unwrap();
    let e = AsyncListener::bind("127.0.0.1:0").unwrap_err();
    assert_eq!(e.to_string(), NotOnLoop::Outside.to_string());
}

/// A callback reads the first line and gives the rest to a task, which gives the connection to
/// another callback: no byte is lost.
#[test]
fn b30_from_a_callback_to_a_task_and_back() {
    let mut lp = guarded();
    let last = Log::default();
    let seen = last.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let seen = seen.clone();
            conn.accept(On::new().data(move |s, chunk| {
                let line = chunk.iter().position(|b| *b == b'\n').unwrap() + 1;
                assert_eq!(&chunk[..line], b"first\n");
                let socket = s.into_async().unwrap();
                s.unread(&chunk[line..]);
                let seen = seen.clone();
                s.spawn(async move {
                    let mut six = [0; 7];
                    for byte in &mut six {
                        let mut one = [0];
                        assert_eq!(socket.read(&mut one).await.unwrap(), 1);
                        *byte = one[0];
                    }
                    assert_eq!(&six, b"second\n");
                    let on = On::new().data(move |_, chunk| {
                        seen.add(String::from_utf8_lossy(chunk).into_owned());
                    });
                    with(|cx| socket.into_callback(cx, on)).unwrap().unwrap();
                })
                .detach();
            }));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let c = client(at);
    write_all(&c, b"first\nsecond\nthird\n");
    c.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(last.lines().concat(), "third\n");
    assert_eq!(handles(&lp), 0);
}

/// A handler takes a connection that a task waits for: the task is told.
#[test]
fn b30_taken_while_a_task_waits() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    let socket = lp.socket(key).into_async().unwrap();
    let echoes = || On::new().data(|s, chunk| assert_eq!(s.write(chunk), Flow::Ready));
    lp.after(std::time::Duration::from_millis(1), move |cx| cx.socket(key).set_handler(echoes()));
    let e = run(&mut lp, async move { Ok(socket.read(&mut [0; 8]).await.unwrap_err()) });
    assert!(e.to_string().contains("has taken the connection"), "{e}");
    // The handler's connection lives on.
    lp.socket(key).resume();
    write_all(&peer, b"tide");
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer), b"tide");
}

/// Two connections in pipes: no task is polled for their bytes.
#[test]
fn b30_pipes_of_tasks() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, echo);
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    let near = lp.socket(key).into_async().unwrap();
    write_all(&peer, b"through");
    peer.shutdown(Shutdown::Write).unwrap();
    run(&mut lp, async move {
        let far = tidegate::task::connect(at).await?;
        with(|cx| {
            cx.pipe(near.key(), far.key(), |_, _| {}).unwrap();
            cx.pipe(far.key(), near.key(), |_, _| {}).unwrap();
        })?;
        while near.with(|s| s.state().is_ok())? {
            yield_now().await;
        }
        drop(far);
        Ok(())
    });
    assert_eq!(read_to_end(&peer), b"through");
    lp.close_all();
    lp.run().unwrap();
}
