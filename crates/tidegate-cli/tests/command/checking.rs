//! `check`: reachable or not, the right answer or not.

use crate::running::{Running, nobody, run};

#[test]
fn reachable_and_not() {
    let (_server, at) = Running::serve(&["serve", "echo", "127.0.0.1:0"]);
    let said = run(&["check", &at.to_string()]).good();
    assert!(said.contains(": reachable\n") && said.contains("this host sends from"), "{said}");
    let done = run(&["check", &nobody()]);
    assert_eq!(done.code, Some(1));
    assert!(done.out.contains("not reachable") && done.out.contains("ECONNREFUSED"), "{done:?}");
}

#[test]
fn the_answer_is_looked_at() {
    let (_server, at) = Running::serve(&["serve", "echo", "127.0.0.1:0"]);
    let at = at.to_string();
    let said = run(&["check", &at, "--text", "PING\\r\\n", "--expect", "PING"]).good();
    assert!(said.contains("answers \"PING\""), "{said}");
    let arguments = ["check", &at, "--text", "PING", "--expect", "PONG", "--timeout", "100ms"];
    let done = run(&arguments);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.out.contains("but answers \"PING\""), "{done:?}");
}

#[test]
fn a_server_that_says_nothing() {
    let (_server, at) = Running::serve(&["serve", "discard", "127.0.0.1:0"]);
    let done = run(&["check", &at.to_string(), "--text", "PING", "--timeout", "100ms"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.out.contains("no answer"), "{done:?}");
}

#[test]
fn tls_names_the_step_that_fails() {
    let (_server, at) = Running::serve(&["serve", "http", "127.0.0.1:0", "--quiet"]);
    let done = run(&["check", &at.to_string(), "--tls", "--name", "tide.example"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.out.contains("not reachable"), "{done:?}");
}
