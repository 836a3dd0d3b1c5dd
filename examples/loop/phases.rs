//! Turns of every kind, and the order in which callbacks are called.
//!
//! ```text
//! cargo run --release --example phases
//! ```
//! Each scene has its own loop. It prints its title, and then one line for each callback,
//! with the phase that called it. An observer prints the turns, and how long each poll may wait.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::{HookKey, Phase};

/// Longer than any scene takes.
const LONG: Duration = Duration::from_secs(3600);

/// A line of the scene: the phase, and what happened in it.
fn say(at: &mut impl AsCx, what: &str) {
    println!("  {:<8} {what}", at.cx().phase());
}

fn hook(what: &'static str) -> impl FnMut(&mut Cx<'_>, HookKey) + 'static {
    move |cx, me| {
        say(cx, what);
        let _ = cx.close(me);
    }
}

/// Prints what callbacks cannot see: the turns and the polls.
struct Print;

impl Observer for Print {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        match event {
            Event::Turn { .. } => println!("turn {}", at.turn),
            Event::Poll { timeout, .. } => {
                let wait = match timeout {
                    None => "may wait as long as it takes",
                    Some(t) if t.is_zero() => "does not wait",
                    Some(_) => "may wait until the next timer",
                };
                print!("  {:<8} {wait}", at.phase);
            }
            Event::Polled { events, .. } => println!(": {events} events"),
            _ => {}
        }
    }
}

fn scene(title: &str, mut lp: Loop) -> Loop {
    println!("\n{title}\n");
    lp.observe(Print);
    lp
}

/// A server that prints each connection.
fn server(lp: &mut Loop) -> io::Result<SocketAddr> {
    let server = lp.listen("127.0.0.1:0", |mut conn| {
        say(&mut conn, "on_connection");
        conn.accept(On::new());
    })?;
    lp.server(server).local_addr()
}

fn waits() -> io::Result<()> {
    let mut lp =
        scene("A turn that waits (run_once): for the kernel, or for the next timer", Loop::new()?);
    let at = server(&mut lp)?;
    lp.connect(at, On::new().connect(|s| say(s, "on_connect")));
    lp.run_once()?;
    lp.after(Duration::from_millis(5), |cx| say(cx, "a timer of 5 ms"));
    lp.run_once()?;
    Ok(())
}

fn does_not_wait() -> io::Result<()> {
    let mut lp =
        scene("A turn that does not wait (run_nowait), though a timer is far off", Loop::new()?);
    lp.after(LONG, |cx| say(cx, "never"));
    let more = lp.run_nowait()?;
    println!("more can happen: {more}");
    Ok(())
}

/// Two connections, both ends of which are in this loop. What is prepared before a turn leads to
/// callbacks in all its phases.
fn everything() -> io::Result<()> {
    let mut lp = Loop::new()?;
    let client = Rc::new(Cell::new(None));
    let other = client.clone();
    let server = lp.listen("127.0.0.1:0", move |conn| {
        let client = other.clone();
        let on = On::new()
            .data(move |s, _| {
                say(s, "on_data of a server's connection, which ends its client's side");
                s.next_tick(|cx| say(cx, "  a tick of that call"));
                if let Some(client) = client.get() {
                    s.socket(client).end();
                }
            })
            .end(|s| say(s, "on_end of another, so our side ends, too"))
            .finish(|s| say(s, "on_finish of that one"))
            .close(|s, close| say(s, &format!("on_close of that one: {close}")));
        conn.accept(on);
    })?;
    let at = lp.server(server).local_addr()?;
    let a = lp.connect(at, On::new().finish(|s| say(s, "on_finish of an end() in the ready pass")));
    let b = lp.connect(at, On::new().finish(|s| say(s, "on_finish of an end() before the turn")));
    client.set(Some(a));
    // Until both are connected and nothing is left to do.
    while lp.server(server).stats()?.connections < 2 {
        lp.run_once()?;
    }
    lp.run_nowait()?;

    let mut lp = scene("A turn with something in every phase, step by step (run_phase)", lp);
    let _ = lp.socket(a).write(b"tide");
    lp.socket(b).end();
    let mut cx = lp.cx();
    cx.next_tick(|cx| say(cx, "a tick from outside"));
    cx.idle(hook("an idle hook: while there is one, poll does not wait"));
    cx.prepare(hook("a prepare hook"));
    cx.check(hook("a check hook"));
    cx.after(Duration::ZERO, |cx| {
        say(cx, "a timer of 0 ms");
        cx.next_tick(|cx| say(cx, "  a tick of that call"));
    });
    let posted = cx.remote().post(|cx| say(cx, "a post"));
    assert!(posted.is_ok(), "the loop is there");
    loop {
        let step = lp.run_phase()?;
        println!("  {:<8} - is over", step.phase);
        if step.phase == Phase::Timers {
            return Ok(());
        }
    }
}

/// Five connections wait, and two may be accepted in one turn.
fn accept_budget() -> io::Result<()> {
    let lp = Loop::builder().limits(NetLimits::new().accept_budget(2)).build()?;
    let mut lp = scene("Turns that carry over: 5 connections wait, accept_budget is 2", lp);
    let at = server(&mut lp)?;
    let _clients: Vec<TcpStream> =
        (0..5).map(|_| TcpStream::connect(at)).collect::<io::Result<_>>()?;
    for _ in 0..3 {
        lp.run_once()?;
    }
    println!("carried over: {} times", lp.metrics().carried_over);
    Ok(())
}

fn tick_budget() -> io::Result<()> {
    let lp = Loop::builder().tick_budget(2).build()?;
    let mut lp = scene("The same with ticks: 3 were asked for, tick_budget is 2", lp);
    for n in 1..=3 {
        lp.next_tick(move |cx| say(cx, &format!("tick {n}")));
    }
    lp.run_nowait()?;
    lp.run_nowait()?;
    Ok(())
}

fn once_with_news() -> io::Result<()> {
    let peer = TcpListener::bind("127.0.0.1:0")?;
    let mut lp = Loop::new()?;
    let client = lp.connect(peer.local_addr()?, On::new().finish(|s| say(s, "on_finish")));
    while lp.socket(client).is_connecting() {
        lp.run_once()?;
    }
    let mut lp = scene("A turn that has something to tell does not wait (run_once)", lp);
    lp.socket(client).end();
    lp.run_once()?;
    Ok(())
}

fn to_the_end() -> io::Result<()> {
    let mut lp =
        scene("Turns to the end (run): due timers come once before the first", Loop::new()?);
    lp.after(Duration::ZERO, |cx| {
        say(cx, "a timer of 0 ms, which starts another");
        cx.after(Duration::ZERO, |cx| say(cx, "the other"));
    });
    lp.run()?;
    println!("nothing is left that could call back, after {} turns", lp.metrics().turns);
    Ok(())
}

fn main() -> io::Result<()> {
    waits()?;
    does_not_wait()?;
    once_with_news()?;
    everything()?;
    accept_budget()?;
    tick_budget()?;
    to_the_end()
}
