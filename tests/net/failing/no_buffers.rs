//! The kernel has no memory for a write: it waits, and nothing is lost. strace makes that so, in
//! a child process.
#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::io::Read;
use std::process::Command;
use std::rc::Rc;

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

/// Runs one of the ignored functions below. Of each thread's calls these fail.
fn without_memory(function: &str, calls: &str) {
    let run = Command::new("strace")
        .args(["-f", "-e", "trace=sendto,sendmsg", "-e"])
        .arg(format!("inject=sendto,sendmsg:error=ENOBUFS:when={calls}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("failing::no_buffers::{function}"), "--ignored"])
        .output();
    let run = match run {
        Ok(run) => run,
        Err(e) => return println!("skipped: strace cannot be started: {e}"),
    };
    let said = String::from_utf8_lossy(&run.stderr);
    if said.contains("Operation not permitted") {
        return println!("skipped: strace may not trace: {}", said.trim());
    }
    assert!(said.contains("(INJECTED)"), "{said}");
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stdout));
}

#[test]
fn a_write_without_buffers_waits() {
    without_memory("writes", "1..3");
}

/// The first is what is written, the rest is what is queued.
#[test]
fn what_is_queued_waits_for_buffers() {
    without_memory("gathers", "2..4");
}

#[test]
#[ignore = "strace runs it"]
fn writes() {
    arrives(|s| {
        for part in ["high ", "water", " comes"] {
            let _ = s.write(part);
        }
        let _ = s.end_with("!");
    });
}

#[test]
#[ignore = "strace runs it"]
fn gathers() {
    arrives(|s| {
        let _ = s.write("high ");
        s.cork();
        let _ = s.write("water");
        let _ = s.write(Vec::from(" comes"));
        s.uncork();
        let _ = s.end_with("!");
    });
}

/// What `write` sends comes whole, and the connection ends well.
fn arrives(write: impl Fn(&mut SocketCx<'_>) + 'static) {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let ended = Rc::new(RefCell::new(None));
    let e = ended.clone();
    let handler = On::new().close(move |_, c| *e.borrow_mut() = Some(c.to_string()));
    let key = lp.adopt(ours, handler).unwrap();
    lp.next_tick(move |cx| write(&mut cx.socket(key)));
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        (&peer).read_to_string(&mut text).unwrap();
        text
    });
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), "high water comes!");
    assert_eq!(ended.borrow().as_deref(), Some("both sides ended"));
}
