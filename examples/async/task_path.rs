//! One echo by a task, step by step: how a readiness bit becomes a wake, and a wake a poll.
//!
//! ```text
//! cargo run --release --example task_path
//! ```
//! A server gives each connection to a task; a second task beside it counts the echoes, and is
//! woken by the first through a `oneshot`. The client is a blocking one. Each line is an event that
//! the loop's observer got: the turn, the phase, and what happened. The program ends by itself.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::task::{AcceptAsync, Async, TaskEvent, TaskOptions, oneshot};

/// Keeps the events that tell the story.
#[derive(Clone, Default)]
struct Story(Rc<RefCell<Vec<String>>>);

impl Observer for Story {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        let text = match event {
            Event::Polled { events, .. } => format!("the kernel reports {events}"),
            Event::Ready { kind, bits, .. } => format!("{kind} is called: {bits:?}"),
            Event::Layer(e) => match e.as_any().downcast_ref() {
                Some(TaskEvent::Polled { task, ready, .. }) => {
                    let name = task.name.as_deref().unwrap_or("the connection's task");
                    let how = if *ready { "ready" } else { "pending" };
                    format!("    {name} is polled: {how}")
                }
                _ => return,
            },
            _ => return,
        };
        self.0.borrow_mut().push(format!("turn {:<2} {:<6} {text}", at.turn, at.phase));
    }
}

fn main() -> std::io::Result<()> {
    if std::env::args().len() > 1 {
        println!("usage: task_path");
        return Ok(());
    }
    let mut lp = Loop::new()?;
    let (echoed, waits) = oneshot();
    let mut echoed = Some(echoed);
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        let server = conn.server_key();
        let _ = conn.server(server).close();
        let echoed = echoed.take();
        let spawned = conn.accept_spawn(|socket| async move {
            let mut buffer = [0; 64];
            let n = socket.read(&mut buffer).await?;
            socket.write_all(&buffer[..n]).await?;
            if let Some(echoed) = echoed {
                let _ = echoed.send(n);
            }
            // The peer's end.
            socket.read(&mut buffer).await
        });
        if spawned.is_err() {
            eprintln!("the loop is full");
        }
    })?;
    let at = lp.server(server).local_addr()?;
    let counter = lp.spawn_with(TaskOptions::new().name("the counter"), async move {
        let bytes = waits.await;
        println!("counted: {bytes:?}\n");
    });
    counter?.detach();

    let mut client = TcpStream::connect(at)?;
    // Accepted, spawned, and polled for the first time: it waits.
    while lp.task_metrics().polls < 2 {
        lp.run_once()?;
    }
    let story = Story::default();
    lp.observe(story.clone());
    client.write_all(b"tide")?;
    lp.run_once()?;
    let mut answer = [0; 4];
    client.read_exact(&mut answer)?;
    drop(client);
    lp.run()?;
    for line in story.0.borrow().iter() {
        println!("{line}");
    }
    Ok(())
}
