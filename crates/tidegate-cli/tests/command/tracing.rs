//! `trace`: the file is complete, and the subcommand does what it does without.

use crate::running::{Running, nobody, run};

fn file(name: &str) -> String {
    let name = format!("tidegate-{}-{name}", std::process::id());
    std::env::temp_dir().join(name).to_str().unwrap().to_owned()
}

fn taken(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

#[test]
fn a_perfetto_file_of_a_client() {
    let (_server, at) = Running::serve(&["serve", "echo", "127.0.0.1:0"]);
    let out = file("client.json");
    let done = run(&["trace", "-o", &out, "connect", &at.to_string(), "--text", "tide"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "tide"), "{done:?}");
    assert!(done.err.contains("ui.perfetto.dev"), "{done:?}");
    let text = taken(&out);
    let events: serde_json::Value = serde_json::from_str(&text).unwrap();
    let events = events.as_array().or_else(|| events["traceEvents"].as_array()).unwrap();
    assert!(events.iter().any(|e| e["name"] == "ready"), "{text}");
    assert!(text.contains("connect"), "{text}");
}

#[test]
fn json_lines_of_a_server_that_ctrl_c_ends() {
    let out = file("server.jsonl");
    let (server, at) = Running::serve(&["trace", "-o", &out, "serve", "echo", "127.0.0.1:0"]);
    run(&["connect", &at.to_string(), "--text", "tide", "--quiet"]).good();
    server.stop().good();
    let text = taken(&out);
    let name = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["event"].as_str().unwrap().to_owned()
    };
    let names: Vec<String> = text.lines().map(name).collect();
    for known in ["turn", "listening", "accept", "close", "turn end"] {
        assert!(names.iter().any(|n| n == known), "{known}: {names:?}");
    }
}

#[test]
fn the_exit_code_is_that_of_the_subcommand() {
    let out = file("refused.json");
    let done = run(&["trace", "-o", &out, "connect", &nobody(), "--text", "x"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(taken(&out).contains("ECONNREFUSED"));
}

#[test]
fn a_file_that_cannot_be_written_is_a_failure() {
    let done = run(&["trace", "-o", "/no/such/folder/a.json", "check", "127.0.0.1:1"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("/no/such/folder/a.json"), "{done:?}");
}

#[test]
fn a_full_file_says_what_is_lost() {
    let (_server, at) = Running::serve(&["serve", "echo", "127.0.0.1:0"]);
    let out = file("full.jsonl");
    let arguments = ["trace", "-o", &out, "--limit", "200", "check", &at.to_string()];
    let done = run(&arguments);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("events are not in the file"), "{done:?}");
    std::fs::remove_file(&out).unwrap();
}
