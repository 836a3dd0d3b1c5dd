//! One turn, phase by phase: what each of them does, and in which order.
//!
//! ```text
//! cargo run --release --example phases
//! ```
//! A callback is put into every phase; then the loop is stepped through with
//! `run_phase`, and each step says what it was and how many calls it made.

use std::time::Duration;

use tidegate::prelude::*;
use tidegate::{HookKey, Phase};

fn say(what: &str) -> impl FnMut(&mut Cx<'_>, HookKey) + 'static {
    let what = what.to_owned();
    move |cx, me| {
        println!("             {what}");
        // A hook of each kind is enough for one turn to see.
        cx.close(me).ok();
    }
}

fn main() -> std::io::Result<()> {
    let mut lp = Loop::new()?;

    // Ready: a server that gets a connection, and answers it.
    let server = lp.listen("127.0.0.1:0", |mut conn| {
        println!("             a connection was accepted: on_connection");
        let server = conn.server();
        let _ = conn.close_server(server);
        let mut s = conn.accept(
            On::new()
                .finish(|_| println!("             our end is out: on_finish"))
                .close(|_, close| println!("             {close}: on_close")),
        );
        s.next_tick(|_| println!("             and its tick, right after"));
        s.end();
    })?;
    let at = lp.local_addr(server)?;
    lp.connect(at, On::new().connect(|_| println!("             connected: on_connect")));

    // The hooks and a timer.
    let mut cx = lp.as_cx();
    cx.idle(say("an idle hook: poll will not wait while there is one"));
    cx.prepare(say("a prepare hook: the poller is asked next"));
    cx.check(say("a check hook: what the poller said is handled"));
    cx.timer(Duration::ZERO, |_, _| println!("             a timer that is due"));

    let mut turn = 0;
    while lp.is_alive() {
        let step = lp.run_phase()?;
        if step.phase == Phase::Outside {
            break;
        }
        if step.turn != turn {
            turn = step.turn;
            println!("turn {turn}");
        }
        let what = match step.phase {
            Phase::Poll => format!("{} events from the kernel", step.calls),
            _ => format!("{} calls", step.calls),
        };
        println!("  {:<8} : {what}", step.phase);
    }
    println!("nothing is left that could call back, after {turn} turns");
    Ok(())
}
