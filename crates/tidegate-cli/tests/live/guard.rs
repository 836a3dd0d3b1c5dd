//! Who may ask: the page itself, with its token. What a wrong request does, and how the program ends.

use std::process::Command;

use crate::program::Program;

#[test]
fn a_page_of_another_origin_cannot_press_a_button_nor_listen() {
    let program = Program::run(&["demo"]);
    let (host, token) = (program.host(), program.token());
    let press = format!("/do/stop?token={token}");
    let ours = format!("http://{host}");
    type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16);
    let rows: [Row<'_>; 8] = [
        (&press, vec![("Host", host), ("Origin", "http://evil.example")], 403),
        (&press, vec![("Host", host), ("Origin", "null")], 403),
        (&press, vec![("Host", "evil.example")], 403),
        ("/do/stop", vec![("Host", host), ("Origin", &ours)], 403),
        ("/do/stop?token=0123456789abcdef0123456789abcdef", vec![("Host", host)], 403),
        (&press, vec![("Host", host), ("Origin", &ours)], 204),
        ("/do/nothing?token=", vec![("Host", host)], 403),
        ("/", vec![("Host", host)], 403),
    ];
    for (target, fields, status) in &rows {
        if *status == 403 {
            assert_eq!(program.status("POST", target, fields), 403, "{target} {fields:?}");
            assert_eq!(program.status("GET", target, fields), 403, "{target} {fields:?}");
        }
    }
    // None of them has stopped the loop.
    program.events(&[]).find("doing", |doing| {
        assert_ne!(doing["stopped"], true);
        (doing["state"] == "waits").then_some(())
    });
    let (target, fields, status) = &rows[5];
    assert_eq!(program.status("POST", target, fields), *status);
    program.events(&[]).find("doing", |doing| (doing["stopped"] == true).then_some(()));
}

#[test]
fn what_is_not_there_is_told() {
    let program = Program::run(&["demo"]);
    let host = [("Host", program.host())];
    let with = |target: &str| format!("{target}token={}", program.token());
    for (method, target, status) in [
        ("GET", "/?", 200),
        ("GET", "/nothing?", 404),
        ("GET", "/replay?", 404),
        ("GET", "/do/stop?", 404),
        ("POST", "/do/fly?", 400),
        ("POST", "/do/preset?name=nothing&", 400),
        ("POST", "/do/block?", 400),
        ("POST", "/?", 404),
        ("PUT", "/?", 405),
    ] {
        assert_eq!(program.status(method, &with(target), &host), status, "{method} {target}");
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_it_also_while_the_loop_is_stopped_or_blocked() {
    for button in ["stop", "block?ms=2000", "run"] {
        let mut program = Program::run(&["demo"]);
        program.events(&[]).next();
        program.press(button);
        let id = program.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert_eq!(program.wait().code(), Some(0), "{button}");
    }
}

#[test]
fn a_file_that_is_no_trace_is_refused_with_a_reason() {
    let path = std::env::temp_dir().join(format!("tidegate-no-trace-{}", std::process::id()));
    std::fs::write(&path, "hello\n").unwrap();
    let file = path.to_str().unwrap();
    for (file, why) in [(file, "line 1"), ("/no/such/file", "No such file")] {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["replay", file]).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(why), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
}
