//! The doctor in running loops: each finding comes where it should, and not where it should not.
//! Its rules one by one are tested beside them, in `rules_tests.rs`.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::ServerKey;
use tidegate::observe::{Doctor, Finding, JsonLines, LineDoctor, Sign};
use tidegate::prelude::*;

use crate::scene::Memory;
use crate::support::*;

const MS: Duration = Duration::from_millis(1);

fn signs(findings: &[Finding]) -> Vec<Sign> {
    findings.iter().map(|f| f.sign).collect()
}

fn at(lp: &mut Loop, server: ServerKey) -> SocketAddr {
    lp.server(server).local_addr().unwrap()
}

/// In a callback, so many clients come, and the callback takes so long. What was found, by the
/// doctor and by that of files.
fn blocked(clients: usize, during: Duration) -> [Vec<Finding>; 2] {
    let mut lp = guarded();
    let (doctor, file) = (Doctor::new(), Memory::default());
    lp.observe((doctor.clone(), JsonLines::new(file.clone())));
    let mut left = clients;
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        left -= 1;
        if left == 0 {
            let server = conn.server_key();
            conn.server(server).close().unwrap();
        }
        conn.reject();
    });
    let to = at(&mut lp, server.unwrap());
    lp.after(MS, move |_| {
        for _ in 0..clients {
            drop(TcpStream::connect(to).unwrap());
        }
        std::thread::sleep(during);
    });
    lp.run().unwrap();
    drop(lp);
    let mut of_file = LineDoctor::new();
    file.text().lines().for_each(|line| of_file.line(line).unwrap());
    [doctor.findings(), of_file.findings()]
}

#[test]
fn a_blocked_loop_is_named_with_the_clients_that_waited() {
    for found in blocked(5, 200 * MS) {
        let finding = found.iter().find(|f| f.sign == Sign::BlockedLoop).unwrap();
        assert!(finding.text.starts_with("a callback of timer h"), "{finding}");
        assert!(finding.text.contains("5 connections waited"), "{finding}");
        assert!(finding.to_string().ends_with("`next_tick`."), "{finding}");
    }
}

#[test]
fn a_file_is_judged_as_the_loop_is() {
    let [live, of_file] = blocked(3, 100 * MS);
    assert_eq!(live, of_file);
}

#[test]
fn a_loop_that_nothing_blocks_has_no_finding() {
    let mut lp = guarded();
    // On a machine that is very busy, any call may take 50 ms.
    let doctor = Doctor::new().slow_call(Duration::from_secs(5));
    lp.observe(doctor.clone());
    lp.after(MS, |_| std::thread::sleep(60 * MS));
    lp.run().unwrap();
    assert_eq!(doctor.findings(), []);
}

/// A server writes until `Full`, to a client that reads or does not; six seconds pass.
fn full(client_reads: bool) -> Vec<Finding> {
    let (mut lp, _script) = scripted();
    let doctor = Doctor::new();
    lp.observe(doctor.clone());
    doctor.ask_every(&mut *lp, Duration::from_secs(1));
    let block: bytes::Bytes = vec![7; 1 << 20].into();
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        let server = conn.server_key();
        conn.server(server).close().unwrap();
        let mut s = conn.accept(On::new());
        while s.write(block.clone()) != Flow::Full {}
        s.end();
    });
    let to = at(&mut lp, server.unwrap());
    lp.connect(
        to,
        On::new().connect(move |s| {
            if !client_reads {
                s.pause();
            }
        }),
    );
    lp.after(Duration::from_secs(6), |cx| cx.close_all());
    lp.run().unwrap();
    doctor.findings()
}

#[test]
fn a_reader_that_is_too_slow_is_named() {
    let found = full(false);
    assert_eq!(signs(&found), [Sign::SlowReader], "{found:?}");
    assert!(found[0].of.starts_with('c') && found[0].text.contains("is full for 5s"), "{found:?}");
}

#[test]
fn a_reader_that_catches_up_is_not() {
    assert_eq!(full(true), []);
}

/// So many clients wait for a server that accepts nobody for three seconds.
#[cfg(target_os = "linux")]
fn queued(clients: usize) -> Vec<Finding> {
    let (mut lp, _script) = scripted();
    let doctor = Doctor::new();
    lp.observe(doctor.clone());
    doctor.ask_every(&mut *lp, 250 * MS);
    let options = ListenOptions::new("127.0.0.1:0").backlog(8);
    let server = lp.listen(options, |conn| conn.reject()).unwrap();
    lp.server(server).pause().unwrap();
    let to = at(&mut lp, server);
    let _clients: Vec<_> = (0..clients).map(|_| TcpStream::connect(to).unwrap()).collect();
    lp.after(Duration::from_secs(3), |cx| cx.close_all());
    lp.run().unwrap();
    doctor.findings()
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_accept_queue_is_told_once() {
    let found = queued(7);
    assert_eq!(signs(&found), [Sign::AcceptQueue], "{found:?}");
    assert!(found[0].text.starts_with("7 connections wait"), "{found:?}");
    assert_eq!(queued(5), []);
}

/// A timer of 10 ms in a loop whose poller finds a connection that is called for so long.
fn timer(call: Duration) -> Vec<Finding> {
    let (mut lp, script) = scripted();
    let doctor = Doctor::new();
    lp.observe(doctor.clone());
    let script = Rc::new(script);
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        let server = conn.server_key();
        conn.server(server).close().unwrap();
        script.advance(call);
        conn.reject();
    });
    let to = at(&mut lp, server.unwrap());
    let mut client = TcpStream::connect(to).unwrap();
    client.write_all(b"x").unwrap();
    lp.after(10 * MS, |_| ());
    lp.run().unwrap();
    doctor.findings()
}

#[test]
fn a_timer_that_comes_late_names_what_ran() {
    let found = timer(45 * MS);
    assert_eq!(signs(&found), [Sign::LateTimers], "{found:?}");
    assert!(found[0].text.contains("was called for 45ms"), "{found:?}");
    assert_eq!(timer(15 * MS), []);
}

fn refused(on: On) -> Vec<Finding> {
    let mut lp = guarded();
    let doctor = Doctor::new();
    lp.observe(doctor.clone());
    let timer = doctor.ask_every(&mut *lp, MS);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    lp.connect(nobody, on);
    lp.run().unwrap();
    lp.set_ref(timer, true).unwrap();
    lp.run_once().unwrap();
    doctor.findings()
}

#[test]
fn an_error_that_no_code_handles_is_told() {
    let found = refused(On::new());
    assert_eq!(signs(&found), [Sign::UnhandledErrors], "{found:?}");
    assert!(found[0].text.contains("ECONNREFUSED"), "{found:?}");
    assert_eq!(refused(On::new().close(|_, _| {})), []);
}

#[test]
fn the_same_sign_is_said_again_after_a_while() {
    let (mut lp, script) = scripted();
    let doctor = Doctor::new().say_again(Duration::from_secs(3));
    lp.observe(doctor.clone());
    let mut left = 14;
    lp.interval(500 * MS, move |cx, me| {
        script.advance(60 * MS);
        left -= 1;
        if left == 0 {
            cx.close(me).unwrap();
        }
    });
    lp.run().unwrap();
    let found = doctor.findings();
    assert_eq!(signs(&found), [Sign::BlockedLoop; 3], "{found:?}");
    assert_eq!(found.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(found[1].unsaid >= 4, "{found:?}");
    assert!(found[1].to_string().contains("times more"), "{}", found[1]);
}

#[test]
fn lines_of_others_are_refused() {
    let mut doctor = LineDoctor::new();
    for bad in ["", "tide", "[]", r#"{"at_ns":"now"}"#, r#"{"at_ns":1,"layer":"loop"}"#] {
        assert!(doctor.line(bad).is_err(), "{bad}");
    }
    doctor.line(r#"{"at_ns":1,"layer":"mine","event":"opened"}"#).unwrap();
    assert_eq!(doctor.findings(), []);
}
