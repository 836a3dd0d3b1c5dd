//! `doctor`: of a subcommand and of a file; with findings and without.

use crate::running::{Running, nobody, run};

fn file(name: &str) -> String {
    let name = format!("tidegate-doctor-{}-{name}", std::process::id());
    std::env::temp_dir().join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_blocked_server_is_told_while_it_runs() {
    let arguments = ["doctor", "serve", "echo", "127.0.0.1:0", "--block", "100ms"];
    let (mut server, at) = Running::serve(&arguments);
    run(&["connect", &at.to_string(), "--text", "tide", "--quiet"]).good();
    let said = server.complains("blocked loop");
    assert!(said.contains("a callback of connection c"), "{said}");
    server.complains("next_tick");
    let done = server.stop();
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.err.contains("findings: 1"), "{done:?}");
}

#[test]
fn a_good_server_has_no_finding() {
    let arguments = ["doctor", "--slow-call", "10s", "serve", "echo", "127.0.0.1:0"];
    let (server, at) = Running::serve(&arguments);
    run(&["connect", &at.to_string(), "--text", "tide", "--quiet"]).good();
    let done = server.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("the doctor has found nothing"), "{done:?}");
}

/// The queue of the kernel is full while the server is held at its limit of connections.
#[test]
#[cfg(target_os = "linux")]
fn a_full_accept_queue_is_told() {
    let options = ["--max-connections", "1", "--backlog", "4", "--quiet"];
    let mut arguments = vec!["doctor", "serve", "echo", "127.0.0.1:0"];
    arguments.extend(options);
    let (mut server, at) = Running::serve(&arguments);
    let _clients: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
    let said = server.complains("accept queue");
    assert!(said.contains("4 connections wait to be accepted"), "{said}");
}

#[test]
fn a_file_is_read() {
    let out = file("blocked.jsonl");
    let arguments = ["trace", "-o", &out, "serve", "echo", "127.0.0.1:0", "--block", "100ms"];
    let (server, at) = Running::serve(&arguments);
    run(&["connect", &at.to_string(), "--text", "tide", "--quiet"]).good();
    server.stop().good();
    let done = run(&["doctor", &out]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.out.starts_with("blocked loop, after "), "{done:?}");
    let calm = run(&["doctor", "--slow-call", "100s", &out]);
    assert_eq!((calm.code, calm.out.as_str()), (Some(0), "the doctor has found nothing\n"));
    // A line that is not complete comes from a program that was killed.
    let text = std::fs::read_to_string(&out).unwrap();
    std::fs::write(&out, &text[..text.len() - 5]).unwrap();
    let cut = run(&["doctor", &out]);
    assert!(cut.code == Some(3) && cut.err.contains("is not complete"), "{cut:?}");
    std::fs::remove_file(&out).unwrap();
}

#[test]
fn files_that_are_none() {
    assert_eq!(run(&["doctor", "/no/such/file"]).code, Some(1));
    let out = file("none.jsonl");
    std::fs::write(&out, "high water\n").unwrap();
    let done = run(&["doctor", &out]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("line 1: it is no JSON object"), "{done:?}");
    std::fs::remove_file(&out).unwrap();
}

#[test]
fn the_failure_of_a_subcommand_stays_one() {
    assert_eq!(run(&["doctor", "connect", &nobody(), "--text", "x"]).code, Some(1));
}
